"""The documents: pages of results are those that their templates give, and links lead somewhere."""

import json
import re

import pytest

from docs import render
from docs.speed import Speed
from experiments.results.result import Flag, Result, Table, write_result

ROOT = render.ROOT
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("template", render.PAGES)
def test_a_page_is_what_its_template_gives(template):
    page = render.PAGES[template]
    assert page.read_text() == render.render(template, page), "run `make docs-results`"


def test_charts_are_those_that_were_kept_with_the_results():
    charts = {}
    for path in render.RESULTS.glob("*.json"):
        for protocol in json.loads(path.read_text()).values():
            charts |= {f"{path.stem}_{name}": digest for name, digest in protocol["charts"].items()}
    shown = {path.name: render.digest(path) for path in render.RESULTS.glob("*.png")}
    assert shown
    assert shown == {name: charts[name] for name in shown}
    pages = "".join(page.read_text() for page in render.PAGES.values())
    assert all(name in pages for name in shown)


def test_of_the_verdicts_on_a_data_set_the_first_that_decides_counts(tmp_path):
    verdicts = {"first": ["not decided", "holds"], "second": ["does not hold"] * 2, "other": ["not decided"] * 2}
    for study, (one, two) in verdicts.items():
        rows = [["1", "Snow is white", one, "n 3"], ["2", "Snow is cold", two, "n 4"]]
        claims = {"tables": [{"title": "Claims", "header": ["", "claim", "verdict", "statistic"], "rows": rows}]}
        (tmp_path / f"{study}.json").write_text(json.dumps({"claims": claims}))
    table = render.Results(tmp_path, tmp_path / "page.md").verdicts({"A": ["first", "second"], "B": ["other"]})
    assert table.splitlines()[2:] == [
        "| 1 | Snow is white | does not hold | not decided |",
        "| 2 | Snow is cold | holds | not decided |",
    ]


def headings(text):
    """Anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_map_of_the_house_names_every_room():
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## The house")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    rooms = {f"{path.parent.name}/" for path in (ROOT / "experiments").glob("*/__init__.py")}
    rooms |= {path.name for path in (ROOT / "experiments").glob("*.py")} - {"__init__.py"}
    assert {name for cell in cells for name in re.findall(r"`(.+?)`", cell)} == rooms


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(document):
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", text):
        file, _, heading = target.partition("#")
        path = document.parent / file if file else document
        assert path.exists(), target
        assert not heading or heading in headings(path.read_text()), target


@pytest.fixture
def kept(tmp_path):
    table = Table("Rates", ["detector", "trained on", "rate"], [["spd", "fgsm", 0.91234], ["id", None, 0.5]], "In all.")
    twice = Table("Twice", ["x", "paper's", "paper's"], [["y", 1, 2]], "")
    meta = {"command": "python evaluate.py transfer --run runs/x", "seeds": [0], "private": "not kept"}
    rows = [{"detector": "spd", "rate": 0.91234}]
    result = Result(
        "rates", "T", "Q?", "So.", meta, rows, [table, twice], {"": b"png"}, [Flag("F", raised=True, sentence="Few.")]
    )
    write_result(result, tmp_path / "run" / "report")
    folder = tmp_path / "results"
    folder.mkdir()
    render.keep(tmp_path / "run", "study", folder)
    return render.Results(folder, tmp_path / "page.md")


def test_values_and_tables_are_those_that_the_protocol_printed(kept):
    assert kept.value("study/rates", "Rates", "rate", detector="spd", trained_on="fgsm") == "0.912"
    assert kept.table("study/rates", "Rates", ["rate"], {"detector": ["id"]}) == "| rate |\n| --- |\n| 0.500 |\n"
    assert kept.table("study/rates", "Rates", note=True).endswith("| id | - | 0.500 |\n\nIn all.\n")
    assert kept.table("study/rates", "Twice").endswith("| y | 1 | 2 |\n")  # two columns of one name
    turned = kept.table("study/rates", "Rates", turned=2)
    assert turned == "|  | spd fgsm | id |\n| --- | --- | --- |\n| rate | 0.912 | 0.500 |\n"
    about = kept.about("study/rates")
    assert (about["finding"], about["seeds"], about["flags"][0]["raised"]) == ("So.", [0], True)
    assert "private" not in about
    assert kept.chart("study/rates", "A chart") == "![A chart](results/study_rates.png)"


def test_a_value_is_refused_where_no_row_or_several_have_it(kept):
    for where in ({"detector": "smd"}, {}):
        with pytest.raises(LookupError, match="one is needed"):
            kept.value("study/rates", "Rates", "rate", **where)
    with pytest.raises(LookupError, match="no chart"):
        kept.chart("study/rates", "A chart", "maps")


@pytest.mark.usefixtures("kept")
def test_keeping_a_study_anew_leaves_the_charts_of_others(tmp_path):
    folder = tmp_path / "results"
    other = folder / "study_two_rates.png"
    other.write_bytes(b"other")
    render.keep(tmp_path / "run", "study", folder)
    assert other.is_file()
    assert (folder / "study_rates.png").read_bytes() == b"png"


def test_a_run_without_a_report_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="evaluate"):
        render.keep(tmp_path, "study", tmp_path)


def attacked(contender, speed, success, l2, images=4):
    about = {"comparison": "deepfool", "contender": contender, "images": images, "ratio": [8 / speed]}
    measured = {"images_per_second": speed, "success": success, "l2": l2, "forward": 1, "backward": 1, "peak_mib": 1}
    return about | measured


def speeds(folder, *rows, device="busy core"):
    meta = {"subject": "mnist", "images": "4", "batch": "4", "device": device, "date": "-", "command": "-"}
    (folder / f"{device}.json").write_text(json.dumps({"meta": meta, "rows": rows}))
    return Speed(folder).fastest().splitlines()[2:]


def test_the_fastest_peer_is_among_those_with_equal_images(tmp_path):
    ours, fast, equal, slow = (
        attacked("ours", 8, 1.0, 2.0),
        attacked("torchattacks", 6, 0.5, 2.0),
        attacked("foolbox", 4, 0.96, 2.09),
        attacked("art", 2, 1.0, 2.0),
    )
    (line,) = speeds(
        tmp_path, ours, fast, equal, slow, attacked("ours", 8, 1.0, 2.0, 2), attacked("art", 2, 1.0, 2.0, 2)
    )
    assert line == "| DeepFool | MNIST, 4 | 8 | foolbox | 4 | **2.00x** | 1.000 / 0.960 | L2 2 / 2.09 |"


def test_without_a_peer_of_equal_images_it_is_the_fastest_of_longer_ones(tmp_path):
    (line,) = speeds(tmp_path, attacked("ours", 8, 1.0, 2.0), attacked("a", 6, 1.0, 1.0), attacked("b", 4, 1.0, 3.0))
    assert "| b | 4 | **2.00x** |" in line


def test_figures_with_the_other_core_idle_come_first(tmp_path):
    speeds(tmp_path, attacked("ours", 8, 1.0, 2.0), attacked("a", 4, 1.0, 2.0))
    (line,) = speeds(tmp_path, attacked("ours", 9, 1.0, 2.0), attacked("a", 5, 1.0, 2.0), device="idle")
    assert "| 9 | a | 5 |" in line


def test_the_strongest_white_box_attack_of_the_gpu_is_shown_for_each_detector(tmp_path):
    rows = [{"detector": "spd", "attack": name, "sr_at_5": rate, "n": 200} for name, rate in (("a", 0.1), ("b", 0.3))]
    (tmp_path / "gpu.json").write_text(json.dumps({"meta": {}, "white_box": rows}))
    assert Speed(tmp_path).white_box_on_gpu().splitlines()[2:] == ["| spd | b | 0.30 | 200 |"]
