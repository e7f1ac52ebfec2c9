"""The report: one page that opens offline and says what was found, and its text."""

import errno
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import evaluate
from experiments.detection.transfer.controls import underflow
from experiments.evaluation import command, report
from experiments.evaluation.protocols import PROTOCOLS
from experiments.evaluation.report import write_report
from experiments.evaluation.summary import Statement
from experiments.results.result import Flag, Result, Table, read_result, write_result
from tests.experiments.studies import copy_of


class Page(HTMLParser):
    """Collects tags, links and text, and notices tags that are never closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.sources, self.text, self.scripts = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] == "script" else self.text).append(data)


SCRIPT = Path(report.__file__).with_name("report.js").read_text().strip()


@pytest.fixture(scope="module")
def evaluated(finished, tmp_path_factory):
    """A run whose only report is that on transfer."""
    folder = copy_of(finished, tmp_path_factory.mktemp("evaluated"))
    assert evaluate.main(["transfer", "--run", str(folder), "--device", "cpu"]) == 0
    return folder


@pytest.fixture(scope="module")
def page(evaluated):
    page = Page()
    page.feed((evaluated / "report/report.html").read_text())
    return page


def test_the_page_is_whole_and_needs_no_other_file(page):
    assert page.open == []
    assert all(re.match(r"data:image/png;base64,|#", source) for source in page.sources)
    assert page.tags.count("img") == 2
    assert [script.strip() for script in page.scripts] == [SCRIPT]


def test_the_page_says_question_finding_claims_and_what_is_missing(page, evaluated):
    text = " ".join("".join(page.text).split())
    told = read_result(evaluated / "report/transfer.json")["report"]
    assert told["question"] in text
    assert told["finding"] in text
    assert "The paper's claims" in text
    for name in PROTOCOLS:  # what takes several runs is not missing from one
        assert (f"evaluate.py {name} --run" in text) == (name != "pipelines")


def test_the_text_has_the_same(evaluated):
    text = (evaluated / "report/report.md").read_text()
    told = read_result(evaluated / "report/transfer.json")["report"]
    assert told["finding"] in text
    assert "| A | The learnt detectors SPD and SMD beat" in text


def test_a_claim_is_judged_where_its_protocols_were_run(evaluated, tmp_path):
    told = (evaluated / "report/report.md").read_text()
    for number in ("2a", "2b", "3", "4", "10", "12", "A", "B"):  # judged from transfer alone
        assert f"\n| {number} |" in told
    for number in ("1", "5", "6a", "6b", "7", "8", "9", "11"):
        assert f"\n| {number} |" not in told
    assert "Not judged without `white-box`: 6a, 6b, 8, 9. " in told
    assert "Not judged without `strength`: 11. " in told
    run = SimpleNamespace(report=tmp_path, folder=tmp_path, named="--run x")
    write_result(replace(RESULT, protocol="recover-photographs", figures={}), tmp_path)
    assert 'id="claims"' not in write_report(run, list(PROTOCOLS)).read_text()


def test_the_summary_comes_first_on_the_page_and_in_the_text(evaluated, page):
    text, told = "".join(page.text), (evaluated / "report/report.md").read_text()
    for place in (text, told):
        said = [
            place.index(words)
            for words in ("Digits: 40 test images of 10 classes.", "What to distrust", "The paper's claims")
        ]
        assert said == sorted(said)
    assert "#transfer" in page.sources


@pytest.mark.slow
def test_an_interrupted_evaluation_of_everything_leaves_a_whole_page(finished, tmp_path, monkeypatch, capsys):
    def interrupted(study):  # noqa: ARG001 - by this name it is called
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "PROTOCOLS", {name: PROTOCOLS[name] for name in ("strength", "shift")})
    monkeypatch.setattr("experiments.detection.shift.protocol.shift", interrupted)
    run = copy_of(finished, tmp_path)
    assert evaluate.main(["all", "--run", str(run), "--device", "cpu"]) == 130
    page = Page()
    page.feed((run / "report/report.html").read_text())
    assert page.open == []
    assert "Strength of the attacks" in "".join(page.text)
    assert "Strength of the attacks" in (run / "report/report.md").read_text()
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_file_of_an_earlier_evaluation_stops_none_that_replaces_it(finished, tmp_path, monkeypatch):
    protocols = {name: PROTOCOLS[name] for name in ("strength", "gallery")}
    monkeypatch.setattr(command, "PROTOCOLS", protocols)
    run = copy_of(finished, tmp_path)
    (run / "report").mkdir()
    (run / "report/gallery.json").write_text("{")
    assert evaluate.main(["all", "--run", str(run), "--device", "cpu"]) == 0
    assert 'id="gallery"' in (run / "report/report.html").read_text()


RESULT = Result(
    protocol="sizes",
    title="A <title> & more",
    question="Is 1 < 2?",
    finding="It is.",
    meta={"command": "python evaluate.py sizes --run 'a b'"},
    rows=[{"name": "a", "value": 0.5}, {"name": "b", "value": None}],
    tables=[Table("Values", ["name", "value"], [["a", 0.5], ["b", None]], "A note.", bold=[(0, 1)])],
    figures={"": b"\x89PNG", "more": b"\x89PNG"},
    flags=[Flag("Order", raised=True, sentence="Wrong."), Flag("Box", None, "Unknown.")],
)


def test_a_result_comes_back_from_its_files(tmp_path):
    write_result(RESULT, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"sizes.{suffix}" for suffix in ("json", "csv", "md", "png")),
        "sizes_more.png",
    }
    contents = read_result(tmp_path / "sizes.json")
    assert contents["rows"] == RESULT.rows
    assert contents["report"]["figures"] == ["sizes.png", "sizes_more.png"]
    assert (tmp_path / "sizes.csv").read_text() == "name,value\na,0.5\nb,\n"
    text = (tmp_path / "sizes.md").read_text()
    assert "| a | **0.500** |\n| b | - |" in text
    assert "- RAISED: Order. Wrong." in text
    assert "- not checked: Box. Unknown." in text


def test_numbers_that_are_none_are_refused(tmp_path):
    broken = Result(**(vars(RESULT) | {"rows": [{"value": float("nan")}]}))
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        write_result(broken, tmp_path)
    assert not (tmp_path / "sizes.json").exists()


@pytest.mark.parametrize(("contents", "message"), [("{", "is damaged"), ("{}", "is of an older version")])
def test_a_damaged_file_is_named(tmp_path, contents, message):
    (tmp_path / "sizes.json").write_text(contents)
    with pytest.raises(ValueError, match=rf"sizes\.json {message}.*: delete it, and evaluate again"):
        read_result(tmp_path / "sizes.json")


@pytest.mark.parametrize(
    "damage",
    [
        lambda contents: contents.update(meta=None),
        lambda contents: contents["meta"].pop("command"),
        lambda contents: contents["report"].pop("title"),
        lambda contents: contents["report"].update(title=["a", "list"]),
        lambda contents: contents["report"].update(figures=None),
        lambda contents: contents["report"].update(tables=[{"title": "without rows"}]),
        lambda contents: contents["report"]["flags"][0].update(raised="perhaps"),
    ],
)
def test_a_report_that_lacks_something_is_named(tmp_path, damage):
    write_result(RESULT, tmp_path)
    contents = json.loads((tmp_path / "sizes.json").read_text())
    damage(contents)
    (tmp_path / "sizes.json").write_text(json.dumps(contents))
    with pytest.raises(ValueError, match=r"sizes\.json is damaged, or of another version: delete it, and evaluate"):
        read_result(tmp_path / "sizes.json")


@pytest.mark.parametrize("figure", ["../secret.png", "/secret.png", "notes.txt", "link.png", 7])
def test_a_figure_that_is_no_png_beside_its_report_is_refused(tmp_path, figure):
    write_result(RESULT, tmp_path)
    (tmp_path / "link.png").symlink_to(tmp_path.parent / "secret.png")
    contents = json.loads((tmp_path / "sizes.json").read_text())
    contents["report"]["figures"] = [figure]
    (tmp_path / "sizes.json").write_text(json.dumps(contents))
    with pytest.raises(ValueError, match=r"sizes\.json names the figure .*, which is no PNG beside it: delete it"):
        read_result(tmp_path / "sizes.json")


HOSTILE = "\"><script>alert('1')</script>"


def poisoned(value):
    """Return a report's contents with hostile text in the place of all texts."""
    if isinstance(value, dict):
        return {key: poisoned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [poisoned(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def test_no_text_of_a_run_becomes_a_tag_of_the_page(tmp_path):
    folder = tmp_path / f"run {HOSTILE.replace('/', '')}"
    run = SimpleNamespace(report=folder / "report", folder=folder, named=f"--run {HOSTILE}")
    write_result(replace(RESULT, protocol="recover"), run.report)
    path = run.report / "recover.json"
    contents = json.loads(path.read_text())
    contents["report"] = poisoned(contents["report"]) | {"figures": contents["report"]["figures"]}
    contents["meta"] = poisoned(contents["meta"])
    path.write_text(json.dumps(contents))
    path.rename(path.with_name(f"recover-{HOSTILE.replace('/', '')}.json"))
    page = Page()
    page.feed(write_report(run, list(PROTOCOLS)).read_text())
    assert page.open == []
    assert [script.strip() for script in page.scripts] == [SCRIPT]
    assert "".join(page.text).count("<script>") > 8


def test_a_claim_of_a_run_becomes_no_tag_of_the_page(tmp_path):
    page = Page()
    header, claims = ["", "claim", "verdict", "statistic"], [[HOSTILE] * 4]
    claimed = {"claim_header": header, "claims": claims, "unjudged": HOSTILE}
    summary = {"Summary": [Statement(HOSTILE, HOSTILE)]}
    page.feed(report._as_html(tmp_path, name=HOSTILE, summary=summary, missing="", results={}, **claimed))
    assert page.open == []
    assert [script.strip() for script in page.scripts] == [SCRIPT]
    assert page.tags.count("td") == 4


@pytest.mark.slow
def test_a_run_that_cannot_be_written_is_evaluated_into_another_folder(finished, tmp_path, monkeypatch, capsys):
    run, apart = copy_of(finished, tmp_path), tmp_path / "apart"
    before = sorted(run.rglob("*"))
    mkdir = Path.mkdir

    def refuse(path, *args, **kwargs):  # root may write anywhere
        if path.is_relative_to(run) and not path.exists():
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert evaluate.main(["strength", "--run", str(run), "--device", "cpu"]) == 1
    assert capsys.readouterr().err == (
        f"error: {run}/report cannot be written (Read-only file system): give --report FOLDER to have everything "
        "written there\n"
    )
    assert evaluate.main(["strength", "--run", str(run), "--report", str(apart), "--device", "cpu"]) == 0
    assert f"evaluate.py transfer --run {run} --report {apart}" in (apart / "report.md").read_text()
    assert list((apart / "adversarial").glob("*/shard_*.pt"))
    assert sorted(run.rglob("*")) == before


@pytest.mark.slow
def test_all_runs_what_it_can_and_says_what_is_missing(finished, tmp_path, capsys):
    import shutil  # noqa: PLC0415

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("report"))
    (copy / "detectors/spd/fgsm/seed_0/model.ckpt").unlink()
    assert evaluate.main(["all", "--run", str(copy), "--device", "cpu"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "transfer was left out" in told
    assert f"train.py pipeline --config {copy}/pipeline.yaml --run {copy}" in told
    assert "strength" in {path.stem for path in (copy / "report").glob("*.json")}
    assert not (copy / "report/transfer.json").exists()
    assert (copy / "report/report.html").exists()
    assert "What to distrust - " in told
    assert "Not measured. Run `python evaluate.py white-box" in told


def test_all_goes_on_after_a_protocol_for_which_there_are_too_few_images(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("experiments.detection.corruptions.protocol.threshold", lambda *_: None)
    two = {name: PROTOCOLS[name] for name in ("corruptions", "speed")}
    monkeypatch.setattr("experiments.evaluation.command.PROTOCOLS", two)
    assert evaluate.main(["all", "--run", str(finished), "--report", str(tmp_path), "--device", "cpu"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "corruptions was left out: " in told
    assert "are too few for a threshold at 0.05: `evaluate.py corruptions` takes a higher --rate" in told
    assert (tmp_path / "speed.json").exists()


def test_underflow_counts_images_whose_gradient_is_exactly_zero():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    nn.init.zeros_(linear[1].weight)
    linear[1].weight.data[0] = 1000.0
    images = torch.stack([torch.full((1, 2, 2), 1e-4), torch.ones(1, 2, 2), torch.ones(1, 2, 2)])
    found = underflow(linear, images, torch.device("cpu"))
    assert found["n"] == 3
    assert found["share"] == pytest.approx(2 / 3)
    assert found["share_logit"] == 0
    assert 0 < found["low"] < found["share"] < found["high"] <= 1
    json.dumps(found, allow_nan=False)
