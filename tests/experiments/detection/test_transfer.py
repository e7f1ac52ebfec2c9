"""evaluate.py transfer: the table, its numbers and its files."""

import csv
import json
import math
import shutil

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

import evaluate
import train
from attacks import FGSM
from data.pairs import make_pairs
from detectors import ID, load
from detectors.scoring import scores
from experiments.detection.scores import AreasBySeed
from experiments.detection.transfer.contrasts import above, between
from experiments.detection.transfer.records import Cell, read, summary
from experiments.detection.transfer.tables import _range
from experiments.results.bootstrap import Resampling
from experiments.results.levels import mistakes_noise
from experiments.study.contenders import Contender
from experiments.study.metrics import PairScores, measure

FIELDS = [
    "detector",
    "trained_on",
    "tested_on",
    "seed",
    "subset",
    "n",
    "accuracy",
    "auroc",
    "average_precision",
    "tpr_at_1_fpr",
    "tpr_at_5_fpr",
    "tpr_at_10_fpr",
    "fpr_at_95_tpr",
    "realised_fpr",
    "attack_success_rate",
    "auroc_low",
    "auroc_high",
    "auroc_against_noise",
    "noise_flagged",
    "auroc_rounded",
    "success_at_5_fpr",
]


@pytest.fixture(scope="module")
def report(finished):
    assert evaluate.main(["transfer", "--run", str(finished), "--device", "cpu"]) == 0
    return json.loads((finished / "report" / "transfer.json").read_text())


def row(report, **wanted):
    (found,) = [row for row in report["rows"] if all(row[key] == value for key, value in wanted.items())]
    return found


def test_rows_have_the_fields_in_their_order(report):
    assert all(list(found) == FIELDS for found in report["rows"])


def test_every_detector_meets_every_attack_in_every_subset(report):
    cells = {(r["detector"], r["trained_on"], r["tested_on"], r["seed"], r["subset"]) for r in report["rows"]}
    trained = {(d, "fgsm", a, 0, s) for d in ("id", "spd") for a in ("fgsm", "none") for s in subsets()}
    free = {
        (d, None, a, None, s)
        for d in ("max_softmax", "mask_area", "disagreement", "second_classifier")
        for a in ("fgsm", "none")
        for s in subsets()
    }
    assert cells == trained | free
    assert len(report["rows"]) == len(cells)


def subsets():
    return ("all", "successful", "failed")


def test_numbers_are_those_of_other_libraries(report, finished, digits):
    classifier = load(finished / "classifier/seed_0/model.ckpt")
    detector = load(finished / "detectors/id/fgsm/seed_0/model.ckpt")
    test = digits.split("test")
    pairs = make_pairs(classifier, FGSM(epsilon=0.1), test.__getitems__(list(range(len(test)))))
    with torch.no_grad():
        scores = detector(pairs.images)
    found = row(report, detector="id", tested_on="fgsm", subset="all")
    assert found["n"] == len(test)
    assert found["auroc"] == pytest.approx(roc_auc_score(pairs.is_adversarial, scores), abs=1e-6)
    assert found["average_precision"] == pytest.approx(average_precision_score(pairs.is_adversarial, scores), abs=1e-6)
    rank = math.ceil(61 * 0.95) - 1
    limit = detector.calibration.sort().values[rank]
    clean, adversarial = scores.chunk(2)
    assert found["tpr_at_5_fpr"] == pytest.approx((adversarial > limit).double().mean().item())
    assert found["realised_fpr"] == pytest.approx((clean > limit).double().mean().item())
    right = pairs.successful | pairs.failed
    assert found["attack_success_rate"] == pytest.approx((pairs.successful.sum() / right.sum()).item())


def test_an_attack_that_does_nothing_is_not_detected_and_has_an_empty_subset(report):
    found = row(report, detector="id", tested_on="none", subset="all")
    assert found["auroc"] == pytest.approx(0.5)
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["attack_success_rate"] == 0
    empty = row(report, detector="id", tested_on="none", subset="successful")
    assert empty["n"] == 0
    assert {empty[field] for field in FIELDS[6:12]} == {None}


def test_one_percent_is_not_reported_from_few_calibration_images(report):
    assert {found["tpr_at_1_fpr"] for found in report["rows"]} == {None}


def test_training_free_detectors_have_no_accuracy(report):
    found = row(report, detector="disagreement", tested_on="fgsm", subset="all")
    assert found["accuracy"] is None
    assert 0 <= found["auroc"] <= 1


def test_meta_says_what_reproduces_the_table(report):
    meta = report["meta"]
    assert meta["command"].startswith("python evaluate.py transfer --run")
    assert {"torch", "lightning", "python"} <= set(meta["versions"])
    assert set(meta["checkpoints"]) >= {"classifier/seed_0/model.ckpt", "detectors/spd/fgsm/seed_0/model.ckpt"}
    assert all(len(digest) == 64 for digest in meta["checkpoints"].values())
    assert meta["seeds"] == [0]


@pytest.mark.slow
def test_files_agree_and_a_second_evaluation_writes_the_same(report, finished):
    folder = finished / "report"
    with (folder / "transfer.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(report["rows"])
    first = row(report, detector="spd", tested_on="fgsm", subset="all")
    (line,) = [r for r in lines if (r["detector"], r["tested_on"], r["subset"]) == ("spd", "fgsm", "all")]
    assert float(line["auroc"]) == first["auroc"]
    assert f"| spd | fgsm | {first['auroc']:.3f} |" in (folder / "transfer.md").read_text()
    assert f"<td>{first['auroc']:.3f}</td>" in (folder / "report.html").read_text()
    assert (folder / "transfer.png").read_bytes().startswith(b"\x89PNG")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert evaluate.main(["transfer", "--run", str(finished), "--device", "cpu"]) == 0
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_that_does_not_exist_is_told_in_one_sentence(tmp_path, capsys):
    assert evaluate.main(["transfer", "--run", str(tmp_path / "nowhere")]) == 1
    error = capsys.readouterr().err.strip()
    assert "does not exist" in error
    assert "train.py pipeline" in error
    assert "\n" not in error


def test_a_folder_without_a_run_is_told(tmp_path, capsys):
    assert evaluate.main(["transfer", "--run", str(tmp_path)]) == 1
    assert "holds no pipeline.yaml" in capsys.readouterr().err


@pytest.mark.slow
def test_a_missing_stage_is_named_with_the_command_that_makes_it(finished, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("report"))
    (copy / "detectors/spd/fgsm/seed_0/model.ckpt").unlink()
    assert evaluate.main(["transfer", "--run", str(copy)]) == 1
    error = capsys.readouterr().err
    assert "detectors/spd/fgsm/seed_0" in error
    assert f"train.py pipeline --config {copy}/pipeline.yaml --run {copy}" in error
    assert not (copy / "report" / "transfer.json").exists()
    assert train.main(["pipeline", "--config", f"{copy}/pipeline.yaml", "--run", str(copy)]) == 0
    assert evaluate.main(["transfer", "--run", str(copy)]) == 0


def measured(scores):
    """Number of pairs and metrics of scores, the same for all kinds of images; the classifier is always fooled."""
    every = torch.ones(len(scores), dtype=torch.bool)
    contender = Contender("id", "fgsm", 0, nn.Identity(), torch.zeros(2000))
    pairs = PairScores(contender, scores, scores, scores, scores, right=every, fooled=every)
    ((_, count, values),) = measure("threshold", pairs, {"all": every})
    return count, values


def test_a_constant_score_measures_as_chance():
    _, found = measured(torch.zeros(50))
    assert found["auroc"] == 0.5
    assert found["accuracy"] == 0.5
    assert found["tpr_at_5_fpr"] == 0
    assert found["tpr_at_1_fpr"] == 0
    assert found["fpr_at_95_tpr"] == 1


def test_of_no_pairs_or_nan_nothing_is_known():
    (none, empty), (some, broken) = measured(torch.empty(0)), measured(torch.full((50,), torch.nan))
    assert (none, some) == (0, 50)
    assert set(empty.values()) == set(broken.values()) == {None}


def test_cells_that_are_not_known_are_left_out_of_the_matrix():
    areas, cell = AreasBySeed(Resampling(3, resamples=20)), Cell("id", "fgsm", "bim")
    areas.add(cell, areas.area(torch.zeros(3), torch.full((3,), torch.nan)))
    assert areas.over_seeds() == {}
    assert between(areas.over_seeds(), "none", lambda _: True, lambda _: True) is None
    areas.add(cell, areas.area(torch.zeros(3), torch.ones(3)))
    assert above(areas.over_seeds(), "one", lambda _: True, 0.5)["value"] == 0.5


def test_what_is_not_known_is_passed_over():
    assert not mistakes_noise(None, None)
    assert mistakes_noise(0.9, 0.5)
    assert _range([None, 0.5, 0.25]) == "0.250 to 0.500"
    assert _range([None]) == "-"


def test_summary_is_the_mean_over_seeds_and_skips_nulls():
    base = {"detector": "id", "trained_on": "a", "tested_on": "b", "subset": "all"}
    rows = [base | {"auroc": 0.5}, base | {"auroc": 1.0}, base | {"auroc": None}]
    assert summary(read(rows)) == {("id", "a"): {"b": 0.75}}


def test_a_detector_that_gives_nan_is_refused(finished):
    detector = load(finished / "detectors/id/fgsm/seed_0/model.ckpt", ID)
    nn.init.constant_(detector.network.layers[-1].bias, float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        scores(detector, torch.rand(3, 1, 28, 28), torch.device("cpu"))


def test_controls_have_the_known_answer(report):
    (table,) = [table for table in report["report"]["tables"] if table["title"].startswith("Controls")]
    lines = {row[0].split(",")[0]: row[1:] for row in table["rows"]}
    assert lines["constant score"] == ["0.500", "0.500"]
    for text in lines["permuted labels"]:
        low, high = map(float, text.split(" to "))
        assert 0.3 < low <= 0.5 + 0.1
        assert 0.5 - 0.1 <= high < 0.7
    assert lines["untrained id"][1] == "0.500 to 0.500"  # an attack that does nothing
