"""evaluate.py benchmark: all detectors in one table."""

import json

import pytest

import evaluate
from experiments.benchmark import protocol, read_card
from experiments.benchmark.table import few_flag, finding
from tests.experiments.studies import copy_of, study_of

SMALL = {
    "transfer": {"resamples": 20},
    "corruptions": {"names": ["jpeg"]},
    "speed": {"repeats": 1},
    "white-box": {"steps": 2, "suite_attacks": ["hinged"], "resamples": 20},
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_detector_has_a_row_a_card_and_the_figures_of_the_commands(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(protocol, "PRESETS", {"standard": SMALL})
    run = copy_of(finished, tmp_path)
    names = ["spd", "max_softmax", "detectors.published.PrincipalComponents"]
    assert evaluate.main(["benchmark", "--run", str(run), "--detectors", f"[{','.join(names)}]", "--images", "4"]) == 0
    assert "All detectors, on Digits" in capsys.readouterr().out
    written = json.loads((run / "report/benchmark.json").read_text())
    rows = {row["detector"]: row for row in written["rows"]}
    assert list(rows) == ["spd", "max_softmax", "principalcomponents"]
    assert rows["principalcomponents"]["fit_seconds"] > 0
    assert rows["spd"]["fit_seconds"] is None
    assert rows["spd"]["trained_on"] == "fgsm"
    (table,) = written["report"]["tables"]
    assert {len(line) for line in table["rows"]} == {len(table["header"])}
    for name, row in rows.items():
        figures = {
            (each["name"], each["under"]): each["value"]
            for each in read_card(run / f"report/cards/{name}.json")["figures"]
        }
        assert {figures["auroc", attack] for attack in row["auroc"]} == set(row["auroc"].values())
        assert figures["worst_case_sr_at_5", None] == row["sr_at_5"]
        assert figures["false_positives", "jpeg"] == pytest.approx(row["false_positives"])
        assert figures["latency_ms", None] == row["latency_ms"]
    assert not (run / "report/transfer.json").exists()


def test_without_names_the_runs_detectors_and_the_published_ones_take_part(finished):
    study = study_of(finished)
    names = protocol._study_of(study, published=True).detectors
    assert names[:6] == ["id", "spd", "max_softmax", "mask_area", "disagreement", "second_classifier"]
    assert "detectors.published.Odds" in names
    assert "detectors.ID" not in names  # the run has it
    assert protocol._study_of(study, published=False).detectors == names[:6]


def row(name, auroc, lost, n=30):
    return {"detector": name, "auroc_mean": auroc, "sr_at_5": lost, "n_right": n}


def test_the_finding_names_the_best_on_either_side():
    told = finding([row("a", 0.9, 1.0), row("b", 0.8, 0.4), row("c", 0.7, 0.95)])
    assert told.startswith("Of 3 detectors, AUROC on attacks that do not know the detector is highest for a, 0.900")
    assert "win the least on b, SR@5 0.400; at 0.9 or above: 2." in told
    tied = finding([row("a", 0.9, 1.0), row("b", 0.8, 0.4), row("c", 0.9, 0.4)])
    assert "is highest for a and c, 0.900" in tied
    assert "win the least on b and c, SR@5 0.400" in tied
    alike = finding([row("a", 0.9, 1.0), row("b", 0.8, 1.0)])
    assert "win as much of every detector, SR@5 1.000; at 0.9 or above: 2." in alike
    assert "nothing to find" in finding([row("a", None, None)])


def test_few_images_are_flagged():
    assert few_flag([row("a", 0.9, 1.0, n=19)]).raised
    assert not few_flag([row("a", 0.9, 1.0, n=20)]).raised
