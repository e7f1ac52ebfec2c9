"""Means of detectors on attacks that they were not trained on, by hand."""

import pytest

from experiments.evaluation.standings import standings
from experiments.results.bootstrap import clopper_pearson


def row(detector, trained_on, tested_on, auroc, seed=0, **changes):
    """Return a row of the detection matrix, of 100 images."""
    return {
        "detector": detector,
        "trained_on": trained_on,
        "tested_on": tested_on,
        "seed": None if trained_on is None else seed,
        "subset": "all",
        "n": 100,
        "auroc": auroc,
        "auroc_low": auroc and auroc - 0.02,
        "auroc_high": auroc and auroc + 0.02,
        "tpr_at_5_fpr": 0.8,
        "realised_fpr": 0.04,
        "attack_success_rate": 0.9,
        "auroc_against_noise": auroc,
    } | changes


LEARNT = [
    *(row("smd", "a", "a", 1.0), row("smd", "a", "b", 0.9), row("smd", "a", "c", 0.7)),
    *(row("smd", "b", "a", 0.8), row("smd", "b", "b", 1.0), row("smd", "b", "c", 0.6)),
]
FREE = [row("free", None, "a", 0.6), row("free", None, "b", 0.8), row("free", None, "c", 0.9)]


def means(rows):
    return {each.detector: pytest.approx(each.auroc.value) for each in standings(rows, 100)}


def test_a_training_free_detector_is_measured_on_the_cells_of_the_trained_ones():
    first, second = standings([*LEARNT, *FREE], 100)
    assert (first.detector, second.detector) == ("free", "smd")
    assert first.auroc.value == pytest.approx((0.8 + 0.9 + 0.6 + 0.9) / 4)  # a -> b, a -> c, b -> a, b -> c
    assert second.auroc.value == pytest.approx((0.9 + 0.7 + 0.8 + 0.6) / 4)
    assert (first.auroc.low, first.auroc.high) == (pytest.approx(0.78), pytest.approx(0.82))
    assert first.against_noise == pytest.approx(0.8)


def test_a_cell_that_a_detector_lacks_counts_for_none():
    without = [each for each in FREE if each["tested_on"] != "c"]
    assert means([*LEARNT, *without]) == {"smd": 0.85, "free": 0.7}
    unknown = [*LEARNT[:2], row("smd", "a", "c", None), *LEARNT[3:]]
    assert means([*unknown, *FREE]) == {"smd": 2.3 / 3, "free": 2.3 / 3}


def test_detectors_of_several_attacks_are_left_out():
    several = [row("smd", trained_on, "a", 0.1) for trained_on in ("all", "all-but-a")]
    assert means([*LEARNT, *several]) == {"smd": 0.75}


def test_training_free_detectors_alone_are_measured_on_all_attacks():
    assert means(FREE) == {"free": 2.3 / 3}


@pytest.mark.parametrize("rows", [[], [row("smd", "a", "a", 0.9)], [row("smd", "a", "b", None)]])
def test_without_another_attack_there_is_none(rows):
    assert standings(rows, 100) == []


def test_seeds_widen_the_interval_by_students_t():
    seeds = [row("smd", "a", "b", 0.7 + 0.1 * seed, seed) for seed in range(3)] + [row("smd", "a", "a", 1.0)]
    (smd,) = standings(seeds, 100)
    assert smd.auroc.value == pytest.approx(0.8)
    half = (0.02**2 + (4.30265 * 0.1 / 3**0.5) ** 2) ** 0.5  # t with two degrees of freedom, deviation .1
    assert (smd.auroc.low, smd.auroc.high) == (pytest.approx(0.8 - half, abs=1e-5), 1.0)


def test_rates_have_the_interval_of_so_many_images():
    (free,) = standings(FREE, 100)
    assert (free.found.low, free.found.high) == (pytest.approx(0.7082, abs=1e-4), pytest.approx(0.8733, abs=1e-4))
    assert free.flagged.value == pytest.approx(0.04)
    few = clopper_pearson(0.8, 10)
    assert (few.low, few.high) == (pytest.approx(0.4439, abs=1e-4), pytest.approx(0.9748, abs=1e-4))


def test_without_a_threshold_there_are_no_rates():
    (free,) = standings([each | {"tpr_at_5_fpr": None, "realised_fpr": None} for each in FREE], 100)
    assert (free.found, free.flagged) == (None, None)


def test_each_rate_has_the_interval_of_what_it_is_of():
    """Few pairs widen what is of pairs; flagged are clean images, of which there are more."""
    few = [each | {"n": 25, "subset": "successful", "auroc_low": None, "auroc_high": None} for each in FREE]
    (free,) = standings(few, 100)
    assert free.pairs == 25
    for known, share, count in ((free.auroc, 2.3 / 3, 25), (free.found, 0.8, 25), (free.flagged, 0.04, 100)):
        expected = clopper_pearson(share, count)
        assert (known.low, known.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
