"""`evaluate.py pipelines`: several whole pipelines judged together, from their reports."""

import csv
import json
import statistics

import pytest

import evaluate
from tests.experiments.repeated.conftest import AHEAD, change


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


def test_the_report_has_a_column_of_the_verdicts_of_all_pipelines(told):
    page, text = (told / "report.html").read_text(), (told / "report.md").read_text()
    assert "<th>over pipelines</th>" in page
    assert "|  | claim | verdict | over pipelines | statistic |" in text
    assert "3 whole pipelines together" in page


def test_pipelines_that_contradict_each_other_are_flagged(three, capsys):
    def underflow(share, low):
        return lambda c: c["meta"].update(underflow={"n": 9, "share": share, "low": low, "high": 1, "share_logit": 0})

    change(three[0], underflow(0.5, 0.2))
    for run in three[1:]:
        change(run, underflow(0, 0))
    assert evaluate.main(["pipelines", "--run", str(three[0])]) == 0
    assert "On one pipeline it holds and on another it does not: 10." in capsys.readouterr().out.replace("\n", " ")
    claims = json.loads((three[0] / "report/pipelines.json").read_text())["meta"]["claims"]
    (tenth,) = [claim for claim in claims if claim["number"] == "10"]
    assert tenth["verdict"] == "not decided"
    assert tenth["each"] == {"run": "holds", "run_1": "does not hold", "run_2": "does not hold"}


def test_two_pipelines_decide_nothing_and_are_flagged(three, capsys):
    assert evaluate.main(["pipelines", "--run", str(three[0]), "--others", f"[{three[2]}]"]) == 0
    assert "2 pipelines; a claim needs 3" in capsys.readouterr().out
    claims = json.loads((three[0] / "report/pipelines.json").read_text())["meta"]["claims"]
    assert {claim["verdict"] for claim in claims} == {"not decided"}


def test_a_run_alone_is_told_how_to_repeat_it(evaluated, capsys):
    assert evaluate.main(["pipelines", "--run", str(evaluated)]) == 1
    error = capsys.readouterr().err
    assert "stands alone" in error
    assert "--pipelines 3" in error
    assert not (evaluated / "report/pipelines.json").exists()
