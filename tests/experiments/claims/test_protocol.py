"""`evaluate.py pipelines`: several whole pipelines judged together, from their reports."""

import csv
import json
import re
import statistics

import pytest

import evaluate
from experiments.evaluation.protocols import PROTOCOLS
from experiments.evaluation.report import write_report
from experiments.results.bootstrap import clopper_pearson
from experiments.training.run_folder import Run
from tests.experiments.claims.conftest import AHEAD, UNDERFLOWS, change


@pytest.fixture
def told(three, capsys):
    """The folder of the report, after the command was run."""
    assert evaluate.main(["pipelines", "--run", str(three[0])]) == 0
    capsys.readouterr()
    return three[0] / "report"


def test_runs_beside_the_first_are_found_and_named(told):
    meta = json.loads((told / "pipelines.json").read_text())["meta"]
    assert {name: each["seeds"] for name, each in meta["runs"].items()} == {"run": [0], "run_1": [2], "run_2": [4]}
    assert all(each["commands"]["transfer"].startswith("python evaluate.py transfer") for each in meta["runs"].values())


@pytest.mark.slow
def test_each_cell_has_mean_and_deviation_over_pipelines(told):
    first = json.loads((told / "transfer.json").read_text())["rows"]
    with (told / "pipelines.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["value"] == "auroc"]
    assert len(rows) == len(first)
    for row in rows:
        key = (row["detector"], row["trained_on"] or None, row["tested_on"], row["subset"])
        (own,) = [r["auroc"] for r in first if (r["detector"], r["trained_on"], r["tested_on"], r["subset"]) == key]
        if own is None:
            assert (row["mean"], row["pipelines"]) == ("", "0")
        else:
            values = [own, own + AHEAD, own + 2 * AHEAD]
            assert float(row["mean"]) == pytest.approx(statistics.fmean(values))
            assert float(row["deviation"]) == pytest.approx(AHEAD)
            assert (float(row["lowest"]), float(row["highest"])) == pytest.approx((values[0], values[2]))


@pytest.mark.slow
def test_the_report_has_a_column_of_the_verdicts_of_all_pipelines(told):
    page, text = (told / "report.html").read_text(), (told / "report.md").read_text()
    assert "<th>over pipelines</th>" in page
    assert "|  | claim | verdict | over pipelines | statistic |" in text
    assert "3 whole pipelines together" in page
    tenth = "The Jacobian of the softmax underflows, that of the logits does not | does not hold"
    assert f"| 10 | {tenth} | does not hold |" in text


@pytest.mark.slow
def test_verdicts_of_all_pipelines_that_are_not_up_to_date_are_left_out(three):
    assert evaluate.main(["pipelines", "--run", str(three[0])]) == 0
    change(three[1], lambda contents: contents["meta"].update(underflow=UNDERFLOWS))
    write_report(Run(three[0]), list(PROTOCOLS))
    for name in ("report.html", "report.md"):
        text = (three[0] / "report" / name).read_text()
        assert "over pipelines</th>" not in text
        assert "verdict | over pipelines" not in text
        assert "A report changed since several pipelines were judged together" in text


@pytest.mark.slow
def test_where_pipelines_differ_each_column_has_its_own_verdict(three):
    change(three[0], lambda contents: contents["meta"].update(underflow=UNDERFLOWS))
    assert evaluate.main(["pipelines", "--run", str(three[0])]) == 0
    text = (three[0] / "report/report.md").read_text()
    assert "that of the logits does not | holds | not decided | the gradient" in text


@pytest.mark.slow
def test_tables_have_each_number_in_its_column(told):
    first = json.loads((told / "transfer.json").read_text())
    report = json.loads((told / "pipelines.json").read_text())["report"]
    by_title = {table["title"]: table for table in report["tables"]}
    records = {each["name"]: each for each in first["meta"]["contrasts"]}
    differences = by_title["Differences in AUROC, pipeline by pipeline"]["rows"]
    assert {row[0] for row in differences} == set(records)
    for name, mean, low, high, told_first, *_ in differences:
        assert low < mean < high
        assert mean == pytest.approx(records[name]["value"] + AHEAD)
        expected = "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**records[name])
        assert told_first == expected
    success = {row["tested_on"]: row["attack_success_rate"] for row in first["rows"]}
    counts = {(row["tested_on"], row["subset"]): row["n"] for row in first["rows"]}
    right = {attack: counts[attack, "successful"] + counts[attack, "failed"] for attack in success}
    table, images = by_title["The pipelines"], first["meta"]["test_images"]
    assert table["header"][2:] == ["test images", "classifier's accuracy", *(f"success of {each}" for each in success)]
    rates = [str(clopper_pearson(rate, right[attack])) for attack, rate in success.items()]
    accuracy = str(clopper_pearson(first["meta"]["classifier_accuracy"], images))
    assert [row[2:] for row in table["rows"]] == [[images, accuracy, *rates]] * 3
    matrix = by_title["AUROC, all pairs"]
    whole = [row for row in first["rows"] if row["subset"] == "all"]
    (fgsm,) = [r["auroc"] for r in whole if (r["detector"], r["tested_on"]) == ("spd", "fgsm")]
    (line,) = [row for row in matrix["rows"] if row[0] == "spd"]
    assert line[matrix["header"].index("fgsm")] == f"{fgsm + AHEAD:.3f} ± {AHEAD:.3f}"


@pytest.mark.slow
def test_the_finding_names_the_best_and_the_worst_detector_and_flags_what_was_not_run(told):
    report = json.loads((told / "pipelines.json").read_text())["report"]
    table = next(table for table in report["tables"] if table["title"] == "Attacks that a detector was not trained on")
    means = {row[0]: row[1] for row in table["rows"]}
    sentences = re.split(r"(?<=[a-z0-9])\.\s", report["finding"].removesuffix("."))
    assert sentences[0] == "3 whole pipelines are judged together, on 16 claims"
    assert sentences[1] == "Claims that hold on each of them: 0; claims that do not hold on any: 1"
    best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    assert sentences[2].endswith(f"not trained on is highest for {best}, {means[best]}")
    assert sentences[3].endswith(f"not trained on is lowest for {worst}, {means[worst]}")
    assert all(len(re.findall(r"\d[\d.]*", sentence)) <= 2 for sentence in sentences)
    (flag,) = [flag for flag in report["flags"] if flag["name"] == "Protocols that were not run"]
    assert "run_2: strength, shift, threshold, speed, white-box." in flag["sentence"]
    assert "transfer" not in flag["sentence"]


@pytest.mark.slow
def test_other_options_of_the_evaluation_are_flagged(three, capsys):
    change(three[1], lambda contents: contents["meta"]["options"].update(resamples=7))
    assert evaluate.main(["pipelines", "--run", str(three[0])]) == 0
    assert "same options of transfer" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.slow
def test_a_file_of_an_older_version_is_named(told):
    change(told.parent, lambda contents: contents["meta"].pop("claims"), "pipelines")
    with pytest.raises(ValueError, match=r"pipelines\.json is of an older version: delete it"):
        write_report(Run(told.parent), list(PROTOCOLS))


@pytest.mark.slow
def test_pipelines_that_contradict_each_other_are_flagged(three, capsys):
    change(three[0], lambda contents: contents["meta"].update(underflow=UNDERFLOWS))
    assert evaluate.main(["pipelines", "--run", str(three[0])]) == 0
    assert "On one pipeline it holds and on another it does not: 10." in capsys.readouterr().out.replace("\n", " ")
    claims = json.loads((three[0] / "report/pipelines.json").read_text())["meta"]["claims"]
    (tenth,) = [claim for claim in claims if claim["number"] == "10"]
    assert tenth["verdict"] == "not decided"
    assert tenth["each"] == {"run": "holds", "run_1": "does not hold", "run_2": "does not hold"}


def test_two_pipelines_decide_nothing_and_are_flagged(three, capsys):
    assert evaluate.main(["pipelines", "--run", str(three[0]), "--others", f"[{three[2]}]"]) == 0
    assert "2 pipelines; a claim needs 3" in capsys.readouterr().out
    finding = json.loads((three[0] / "report/pipelines.json").read_text())["report"]["finding"]
    assert finding.startswith("2 pipelines settle no claim, it takes 3. The mean AUROC")
    claims = json.loads((three[0] / "report/pipelines.json").read_text())["meta"]["claims"]
    assert {claim["verdict"] for claim in claims} == {"not decided"}


def test_a_run_alone_is_told_how_to_repeat_it(evaluated, capsys):
    assert evaluate.main(["pipelines", "--run", str(evaluated)]) == 1
    error = capsys.readouterr().err
    assert "stands alone" in error
    assert "--pipelines 3" in error
    assert not (evaluated / "report/pipelines.json").exists()
