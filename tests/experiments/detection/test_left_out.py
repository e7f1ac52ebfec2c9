"""Detectors that were trained on all attacks but one."""

import json

import pytest

import evaluate
from detectors import load
from experiments.detection.transfer.records import read, unseen_means
from experiments.detection.transfer.tables import left_out_tables
from experiments.training.run_folder import Run
from experiments.training.settings import left_out


def record(detector, trained_on, tested_on, auroc, seed=0):
    return {
        "detector": detector,
        "trained_on": trained_on,
        "tested_on": tested_on,
        "seed": seed,
        "subset": "all",
        "auroc": auroc,
        "auroc_against_noise": auroc,
        "tpr_at_5_fpr": auroc / 2,
        "attack_success_rate": 0.3,
        "n": 50,
    }


def test_the_table_by_hand():
    aurocs = {
        ("all-but-c", "a"): 0.9,
        ("all-but-c", "b"): 0.8,
        ("a", "a"): 1.0,
        ("a", "b"): 0.5,
        ("a", "c"): 0.4,
        ("b", "c"): 0.6,
        ("c", "c"): 0.95,
    }
    rows = [record("id", *key, auroc) for key, auroc in aurocs.items()]
    rows += [record("id", "all-but-c", "c", auroc, seed) for seed, auroc in enumerate((0.6, 0.8))]
    rows += [record("softmax", None, "c", 0.65, None), record("area", None, "c", 0.5, None)]
    (table,) = left_out_tables(read(rows), {"all-but-c": "c"})
    (line,) = table.rows
    assert line[:6] == ["id", "c", 0.3, 50, "0.700 ± 0.141", "0.350 ± 0.071"]
    assert line[6:] == pytest.approx([0.85, 0.95, 0.6, "b"])
    assert "c 0.650 (softmax)" in table.note


def test_there_is_no_table_where_nothing_was_left_out():
    assert left_out_tables(read([record("id", "a", "a", 0.9)]), {}) == []


@pytest.mark.parametrize(
    ("trained_on", "expected"), [("a", None), (None, None), ("all-but-a", "a"), ("all-but-b", None)]
)
def test_an_attack_of_that_name_comes_first(trained_on, expected):
    assert left_out(trained_on, ["a", "all-but-b", "b"]) == expected


@pytest.mark.slow
def test_a_pipeline_trains_on_all_but_one(run_pipeline):
    attacks = {
        "fgsm": {"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.1}},
        "bim": {"class_path": "attacks.BIM", "init_args": {"epsilon": 0.1, "step_size": 0.05, "steps": 2}},
        "deepfool": {"class_path": "attacks.DeepFool"},
    }
    detectors = {"id": {"model": {"class_path": "detectors.ID"}, "trainer": {"max_epochs": 1}}}
    trained = {"attacks": attacks, "detectors": detectors, "train_on": ["fgsm", "all-but-deepfool"], "saliency": {}}
    status, folder = run_pipeline(**trained)
    assert status == 0
    assert load(Run(folder).detector_path("id", "all-but-deepfool", 0)) is not None
    config = (folder / "detectors" / "id" / "all-but-deepfool" / "seed_0" / "config.yaml").read_text()
    assert "attacks.OneOf" in config
    for protocol in ("transfer", "threshold"):
        assert evaluate.main([protocol, "--run", str(folder), "--device", "cpu"]) == 0
    told = json.loads((folder / "report" / "transfer.json").read_text())
    (table,) = [table for table in told["report"]["tables"] if table["title"] == "Leave one attack out"]
    assert [line[:2] for line in table["rows"]] == [["id", "deepfool"]]
    assert not any("all-but" in contrast["name"] for contrast in told["meta"]["contrasts"])
    assert {row["tested_on"] for row in told["rows"]} == set(attacks)


def test_detectors_of_several_attacks_are_not_compared_on_unseen_ones():
    assert unseen_means(read(record("id", "all-but-c", attack, 0.9) for attack in "abc")) == {}


def test_leaving_out_what_is_no_attack_is_refused(run_pipeline, capsys):
    assert run_pipeline(train_on=["all-but-cw"])[0] == 1
    assert "train_on: unknown attack 'all-but-cw'. Did you mean 'all-but-none'?" in capsys.readouterr().err
