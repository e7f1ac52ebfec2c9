"""evaluate.py corruptions: how many benign images are flagged."""

import json

import pytest
import torch

import evaluate
from data.corruptions import CORRUPTIONS, corrupt
from detectors.scoring import scores
from experiments.detection.corruptions.protocol import corruptions
from experiments.detection.corruptions.tables import finding, flags_of
from experiments.study.metrics import limit
from tests.experiments.studies import copy_of, study_of

NAMES = ["gaussian_noise", "contrast"]


@pytest.fixture(scope="module")
def study(finished):
    return study_of(finished)


@pytest.fixture(scope="module")
def result(study):
    return corruptions(study, images=12, names=NAMES)


def row(rows, **wanted):
    (one,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return one


def test_rows_are_detectors_by_corruptions_by_severities(study, result):
    cells = {
        (row["detector"], row["trained_on"], row["seed"], row["corruption"], row["severity"]) for row in result.rows
    }
    levels = [("none", 0), *((name, level) for name in NAMES for level in range(1, 6))]
    who = [(each.name, each.trained_on, each.seed) for each in study.contenders]
    assert cells == {(*each, *level) for each in who for level in levels}
    assert len(result.rows) == len(cells)


def test_shares_are_those_of_the_corrupted_images_above_the_threshold(study, result):
    images, labels = study.images.clean[:12], study.images.labels[:12]
    for contender in study.contenders:
        for name in NAMES:
            changed = corrupt(name, 3, images)
            flagged = scores(contender.module, changed, torch.device("cpu")) > limit(contender)
            with torch.no_grad():
                right = study.classifier(changed).argmax(1) == labels
            who = {"detector": contender.name, "trained_on": contender.trained_on, "seed": contender.seed}
            found = row(result.rows, **who, corruption=name, severity=3)
            assert found["flagged"] == pytest.approx(flagged.double().mean().item())
            assert found["n_right"] == right.sum()
            among = flagged[right].double().mean().item() if right.any() else None
            assert found["flagged_right"] == (among if among is None else pytest.approx(among))
            assert found["flagged_low"] - 1e-9 <= found["flagged"] <= found["flagged_high"] + 1e-9


def test_classes_have_the_mean_share_over_corruptions_and_severities(study, result):
    contender, labels = study.contenders[0], study.images.labels[:12]
    flags = []
    for name in NAMES:
        for level in range(1, 6):
            changed = corrupt(name, level, study.images.clean[:12])
            flags.append(scores(contender.module, changed, torch.device("cpu")) > limit(contender))
    who = {"detector": contender.name, "trained_on": contender.trained_on, "seed": contender.seed}
    for label in labels.unique().tolist():
        found = row(result.meta["classes_of_rows"], **who, label=label)
        assert found["flagged"] == pytest.approx(torch.stack(flags)[:, labels == label].double().mean().item())
        assert found["n"] == (labels == label).sum()


@pytest.mark.slow
def test_the_command_writes_tables_and_a_chart(finished, tmp_path):
    run = copy_of(finished, tmp_path)
    options = ["--run", str(run), "--images", "4", "--names", "[jpeg]", "--rate", "0.2"]
    assert evaluate.main(["corruptions", *options]) == 0
    written = json.loads((run / "report" / "corruptions.json").read_text())
    assert [table["title"] for table in written["report"]["tables"]] == [
        "False positives, by corruption",
        "False positives, by corruption, images that the classifier gets right",
        "False positives, by severity",
        "False positives, by class",
    ]
    assert (run / "report" / "corruptions.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["fog"]}, "names: unknown corruption 'fog'"),
        ({"names": []}, "different corruptions, at least one"),
        ({"names": ["jpeg", "jpeg"]}, "different corruptions, at least one"),
        ({"images": 0}, "images must be"),
        ({"rate": 1.0}, "between 0 and 1"),
        ({"rate": 1e-4}, "too few for a threshold at 0.0001: .* takes a higher --rate"),
    ],
)
def test_bad_options_are_refused(options, message, study):
    with pytest.raises(ValueError, match=message):
        corruptions(study, **{"images": 4, **options})


def made(detector, corruption, flagged, accuracy=1.0, n=100):
    level = 0 if corruption == "none" else 1
    return {
        "detector": detector, "trained_on": None, "seed": None, "corruption": corruption, "severity": level, "n": n,
        "flagged": flagged, "flagged_low": max(0.0, flagged - 0.04), "flagged_high": flagged + 0.04,
        "n_right": int(accuracy * n), "flagged_right": flagged, "classifier_accuracy": accuracy,
    }  # fmt: skip


ROWS = [
    made("a", "none", 0.05), made("a", "jpeg", 0.1), made("a", "contrast", 0.3, accuracy=0.5),
    made("b", "none", 0.2), made("b", "jpeg", 0.3), made("b", "contrast", 0.9, accuracy=0.5),
]  # fmt: skip
META = {"rate": 0.05, "corruptions": ["jpeg", "contrast"], "attacked_images": 100}


def test_finding_names_the_best_and_the_worst_detector_and_the_worst_corruption():
    words = finding(ROWS, META)
    assert "a flags the fewest corrupted images: 0.200, against 0.050" in words
    assert "b flags the most: 0.600, against 0.200" in words
    assert "is contrast (0.600)" in words
    alone = finding([row for row in ROWS if row["detector"] == "a"], META)
    assert "a flags 0.200 of the corrupted images, 0.050 of clean ones. The corruption" in alone


def test_flags_name_a_threshold_off_its_rate_and_a_corruption_that_harms_the_classifier():
    few, off, harmed = flags_of(ROWS, META)
    assert not few.raised
    assert off.raised
    assert "interval: b." in off.sentence
    assert harmed.raised
    assert "contrast (0.50 instead of 1.00)" in harmed.sentence
    assert "jpeg" not in harmed.sentence
    calm = [
        row | {"flagged": 0.05, "flagged_low": 0.01, "flagged_high": 0.09, "classifier_accuracy": 1.0} for row in ROWS
    ]
    assert not any(flag.raised for flag in flags_of(calm, META))
    assert flags_of(calm, META | {"attacked_images": 3})[0].raised


def test_every_strength_is_told():
    assert all(len(each.strengths) == 5 and each.about for each in CORRUPTIONS.values())
