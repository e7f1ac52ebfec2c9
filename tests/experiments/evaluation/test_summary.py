"""The sentences on top of the report, from results made by hand."""

import re
from itertools import product

import pytest

from experiments.evaluation.summary import Statement, summarise
from tests.experiments.evaluation.test_standings import FREE, LEARNT, row

DATA, BEST, WHITE_BOX, DOUBTS = (
    "The data and the classifier",
    "The best detector of attacks that it was not trained on",
    "What a white-box attacker leaves of it",
    "What to distrust",
)
META = {
    "data": "Digits",
    "classes": 10,
    "test_images": 100,
    "calibration_images": 60,
    "seeds": [0, 1, 2],
    "classifier_accuracy": 0.97,
    "contrasts": [],
}


def result(rows, flags=(), **meta):
    flags = [{"name": name, "raised": raised, "sentence": "Why."} for name, raised in flags]
    return {"meta": META | meta, "rows": rows, "report": {"flags": flags}}


def attacked(detector, phase="before", value=0.5, seed=0, **changes):
    return {
        "detector": detector,
        "trained_on": "a",
        "phase": phase,
        "seed": seed,
        "attack": "worst case",
        "n_right": 80,
        "sr_at_5": value,
        "sr_at_5_low": value - 0.1,
        "sr_at_5_high": value + 0.1,
    } | changes


def texts(reports, heading):
    return [statement.text for statement in summarise(reports, "--run x")[heading]]


TRANSFER = {"transfer": result([*LEARNT, *FREE])}


def some(subset, n, rows=FREE, **changes):
    """The same rows of some of the pairs, whose AUROC has no interval."""
    return [each | {"subset": subset, "n": n, "auroc_low": None, "auroc_high": None} | changes for each in rows]


def test_the_data_the_classifier_and_the_attacks():
    every = [*FREE[:2], row("free", None, "c", 0.9, attack_success_rate=0.3)]
    rows = [*every, *some("successful", 30, every), *some("failed", 10, every)]  # 40 of 100 images are right
    assert texts({"transfer": result(rows)}, DATA) == [
        "Digits: 100 test images of 10 classes.",
        "The classifier gets 97 % [91, 99] of them right.",
        "Attacks that know the classifier, not the detectors: a, b, c. They turn between 30 % [17, 47] (c) and "
        "90 % [76, 97] (a) of these wrong.",
    ]


def test_the_best_detector_with_its_threshold_noise_and_the_second():
    assert texts(TRANSFER, BEST) == [
        "free: mean AUROC 0.800 [0.780, 0.820], 100 images under each attack.",
        "Its threshold at 5 % false positives, from 60 clean calibration images, finds 80 % [71, 87] of the "
        "adversarial images and flags 4 % [1, 10] of 100 clean ones.",
        "Against noise of the same norms its mean AUROC is 0.800: it finds attacks, not any noise.",
        "Second is smd, 0.750 [0.730, 0.770]. Whether the two differ was not computed. "
        "Run `python evaluate.py transfer --run x`.",
    ]


def test_where_attacks_mostly_fail_the_pairs_that_succeed_count():
    """As in the protocol's own finding."""
    rows = [*LEARNT, *FREE, *some("successful", 25, LEARNT), *some("successful", 25, auroc=0.4)]
    apart = {"name": "smd - free", "value": 0.35, "low": 0.2, "high": 0.5}
    said = texts({"transfer": result(rows, headline_subset="successful", best_two=apart)}, BEST)
    assert said[0] == "smd: mean AUROC 0.750 [0.538, 0.900], 25 or more successful pairs under each attack."
    assert said[1] == "Only these pairs count, for most attacks fail on most images."
    assert "finds 80 % [59, 93] of the adversarial images and flags 4 % [1, 10] of 100 clean ones" in said[2]
    assert said[-1].startswith("Second is free, 0.400 [")
    assert said[-1].endswith("the two differ by more than chance: by 0.350 [0.200, 0.500].")


@pytest.mark.parametrize(
    ("low", "high", "seeds", "words"),
    [
        (-0.1, 0.2, 3, "; the two do not differ beyond noise, their difference is 0.050 [-0.100, 0.200]."),
        (0.05, 0.05, 3, "; the two do not differ beyond noise, their difference is 0.050 (does not vary)."),
        (0.01, 0.1, 3, "; the two differ by more than chance: by 0.050 [0.010, 0.100]."),
        (0.01, 0.1, 1, "; the two differ by more than chance, for the images alone: by 0.050 [0.010, 0.100]."),
    ],
)
def test_whether_the_best_two_differ(low, high, seeds, words):
    apart = {"name": "free - smd", "value": 0.05, "low": low, "high": high}
    said = texts({"transfer": result([*LEARNT, *FREE], best_two=apart, seeds=[*range(seeds)])}, BEST)
    assert said[-1] == f"Second is smd, 0.750 [0.730, 0.770]{words}"


def test_few_pairs_tell_no_two_detectors_apart():
    apart = {"name": "free - smd", "value": 0.05, "low": 0.01, "high": 0.1}
    rows = [each | {"n": 12} for each in (*LEARNT, *FREE)]
    assert "do not differ beyond noise" in texts({"transfer": result(rows, best_two=apart)}, BEST)[-1]


@pytest.mark.parametrize(
    ("noise", "words"),
    [(0.75, "it finds attacks, not any noise"), (0.7, "it mistakes some noise"), (0.5, "it finds noise, not attacks")],
)
def test_whether_the_best_finds_noise(noise, words):
    rows = [each | {"auroc_against_noise": noise} for each in FREE]
    assert words in texts({"transfer": result(rows)}, BEST)[2]


def test_a_poor_detector_is_called_so():
    rows = [each | {"auroc": each["auroc"] - 0.1} for each in FREE]
    assert "That is poor: below 0.75, an attack does not count as detected." in texts({"transfer": result(rows)}, BEST)


def test_too_few_calibration_images():
    rows = [each | {"tpr_at_5_fpr": None, "realised_fpr": None} for each in FREE]
    expected = "There is no threshold at 5 % false positives, from 12 clean calibration images: they are too few."
    assert expected in texts({"transfer": result(rows, calibration_images=12)}, BEST)


def test_white_box_attacks_on_the_best_detector_and_on_the_most_robust():
    rows = [
        *(attacked("free", value=0.9), attacked("smd", value=0.3, seed=0), attacked("smd", value=0.5, seed=1)),
        *(attacked("smd", "after", value=0.2), attacked("free", attack="square", value=0.0)),
    ]
    assert texts(TRANSFER | {"white-box": result(rows)}, WHITE_BOX) == [
        "An attacker who knows the detector wins an image that turns wrong and passes the 5 % threshold.",
        "It wins 90 % [80, 100] of 80 images against free.",
        "It wins 40 % [0, 100] of 80 images against smd, fewest of all. That is so wide because 2 seeds say little of "
        "others.",
        "Retrained against it: it wins 20 % [10, 30] of 80 images against smd.",
    ]


def test_what_to_distrust_with_the_section_that_says_more():
    rows = [
        *(each | {"auroc_against_noise": 0.4} for each in LEARNT),
        *(each | {"attack_success_rate": 0.2} for each in FREE),
        *some("successful", 20, attack_success_rate=0.2),
        *some("failed", 80, attack_success_rate=0.2),
    ]
    reports = {
        "transfer": result(rows, [("Few seeds", True), ("Box", False), ("Noise", True)], seeds=[0]),
        "speed": result([], [("Unsteady times", True), ("Other", None)]),
        "white-box": result([attacked("smd")], attacked_images=12),
    }
    assert summarise(reports, "--run x")[DOUBTS] == [
        Statement("Seeds of detector training: 1. It takes 3 to compare detectors.", "transfer"),
        Statement("white-box has 12 images: fewer than 20 decide nothing.", "white-box"),
        Statement("Attacks that mostly fail, on images that stay right: a, b, c.", "transfer"),
        Statement("Detectors of noise rather than of attacks: smd.", "transfer"),
        Statement("Flagged by transfer: Few seeds; Noise.", "transfer"),
        Statement("Flagged by speed: Unsteady times.", "speed"),
    ]


def test_nothing_to_distrust_is_said():
    assert texts(TRANSFER, DOUBTS) == ["No flag is raised."]


@pytest.mark.parametrize("reports", [{}, {"gallery": {"meta": {}, "rows": [{}], "report": {"flags": []}}}])
def test_what_was_not_measured_is_said_with_the_command(reports):
    assert texts(reports, DATA) == [
        "The classifier's accuracy is not known. Run `python evaluate.py transfer --run x`.",
    ]
    assert texts(reports, BEST) == ["Not measured. Run `python evaluate.py transfer --run x`."]
    assert texts(reports, WHITE_BOX) == ["Not measured. Run `python evaluate.py white-box --run x`. It takes long."]


def test_one_attack_says_nothing_of_others():
    alone = {"transfer": result([row("smd", "a", "a", 0.9)])}
    assert texts(alone, BEST) == ["Not known: it takes two attacks, and a detector that was trained on one of them."]


FULL = TRANSFER | {"white-box": result([attacked("smd")], attacked_images=12)}


@pytest.mark.parametrize("protocol", FULL)
def test_a_file_of_an_older_version_lacks_something(protocol):
    contents = FULL[protocol]
    without = [contents | {"meta": {name: value for name, value in META.items() if name != key}} for key in META]
    for key in contents["rows"][0]:
        rows = [{name: value for name, value in each.items() if name != key} for each in contents["rows"]]
        without.append(contents | {"rows": rows})
    for older, heading in product(without, (DATA, BEST, WHITE_BOX, DOUBTS)):
        assert texts(FULL | {protocol: older}, heading)


def test_no_sentence_has_more_than_two_numbers_with_an_interval():
    for statements in summarise(FULL, "--run x").values():
        for statement in statements:
            assert all(len(re.findall(r"\[", sentence)) <= 2 for sentence in re.split(r"\. ", statement.text))


def test_a_run_of_one_seed_that_only_met_white_box_attacks_is_distrusted():
    reports = {"white-box": result([attacked("smd")], attacked_images=50, seeds=[0])}
    assert summarise(reports, "--run x")[DOUBTS] == [
        Statement("Seeds of detector training: 1. It takes 3 to compare detectors.", "white-box"),
        Statement("No flag is raised."),
    ]
