"""The table of metrics: one more line is one more column everywhere."""

import json

import pytest

import evaluate
from experiments.study import metrics
from experiments.study.metrics import METRICS, Metric, shown_in

EVERYWHERE = ("transfer", "threshold", "left out", "pipelines")


def gap(scores):
    return (scores.adversarial.mean() - scores.clean.mean()).item() if len(scores.clean) else None


@pytest.fixture(autouse=True)
def _with_gap(monkeypatch):
    """The table with one more line."""
    line = Metric(
        "gap", "mean score, adversarial minus clean", gap, "Gap", "gap", tables=dict.fromkeys(EVERYWHERE, (9, ("all",)))
    )
    monkeypatch.setattr(metrics, "METRICS", (*METRICS, line))


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["transfer", "threshold"])
def test_a_metric_is_one_line(protocol, finished):
    options = ["--epsilons", "[0.1]"] if protocol == "threshold" else []
    assert evaluate.main([protocol, "--run", str(finished), "--device", "cpu", *options]) == 0
    written = json.loads((finished / "report" / f"{protocol}.json").read_text())
    fooled = [row for row in written["rows"] if row["n"]]
    assert all(isinstance(row["gap"], float) for row in fooled)
    assert {row["gap"] for row in written["rows"] if not row["n"]} <= {None}
    assert written["meta"]["fields"]["gap"] == "mean score, adversarial minus clean"
    (table,) = [each for each in written["report"]["tables"] if each["title"].startswith("Gap")]
    lines = [set(line[:2]) for line in table["rows"]]
    assert {"id", "fgsm"} in lines
    assert any("attack success rate" in line for line in lines[:2])


def test_the_tables_of_left_out_attacks_and_of_pipelines_show_it_last():
    for table in EVERYWHERE:
        assert [metric.key for metric in shown_in(table)][-1] == "gap"


def test_places_in_a_table_differ_and_shown_metrics_have_titles():
    for table in EVERYWHERE:
        shown = shown_in(table)
        assert len({metric.tables[table][0] for metric in shown}) == len(shown)
        assert all(metric.title if table in {"transfer", "threshold"} else metric.name for metric in shown)
