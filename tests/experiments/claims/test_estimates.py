"""Means over pipelines, and how far the pipelines lie apart."""

import pytest
from scipy import stats

from experiments.claims.estimates import Estimate, contrasts, matrix, unseen


def found(rows=(), records=()):
    return {"transfer": {"rows": list(rows), "meta": {"contrasts": list(records)}}}


def row(detector, trained_on, tested_on, seed, auroc, subset="all"):
    cell = {"detector": detector, "trained_on": trained_on, "tested_on": tested_on, "seed": seed, "subset": subset}
    others = ("auroc_against_noise", "tpr_at_5_fpr", "accuracy", "success_at_5_fpr")
    return cell | {"auroc": auroc} | dict.fromkeys(others)


def test_interval_is_that_of_students_t():
    values = [0.7, 0.9, 0.8, 0.6]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert Estimate(values).interval == pytest.approx((expected.low, expected.high))


def test_what_a_pipeline_lacks_is_left_out():
    estimate = Estimate([0.5, None, 0.7])
    assert (estimate.known, estimate.mean, str(estimate)) == ([0.5, 0.7], pytest.approx(0.6), "0.600 ± 0.141")
    alone = Estimate([None, 0.5])
    assert (alone.mean, alone.deviation, alone.interval, str(alone)) == (0.5, None, None, "0.500")
    nothing = Estimate([None, None])
    assert (nothing.mean, nothing.deviation, nothing.interval, str(nothing)) == (None, None, None, "-")


def test_seeds_are_averaged_before_pipelines():
    first = found([row("id", "fgsm", "fgsm", 0, 0.2), row("id", "fgsm", "fgsm", 1, 0.4)])
    second = found([row("id", "fgsm", "fgsm", 2, 0.9)])
    (estimate,) = matrix([first, second])["auroc"].values()
    assert estimate.values == pytest.approx([0.3, 0.9])


def test_unseen_compares_the_same_cells_and_leaves_out_those_trained_on_several():
    rows = [
        row("id", "fgsm", "fgsm", 0, 1.0),
        row("id", "fgsm", "bim", 0, 0.6),
        row("id", "fgsm", "cw", 0, 0.4),
        row("id", "bim", "fgsm", 0, 0.8),
        row("id", "bim", "cw", 0, 0.2),
        row("id", "all-but-bim", "bim", 0, 0.0),
        *(row("area", None, attack, None, auroc) for attack, auroc in (("fgsm", 0.5), ("bim", 0.9), ("cw", 0.1))),
        row("id", "fgsm", "bim", 0, 0.0, subset="failed"),
    ]
    estimates = unseen([found(rows), found(rows)])["auroc"]
    assert {name: estimate.values for name, estimate in estimates.items()} == {
        "id": pytest.approx([0.5, 0.5]),
        "area": pytest.approx([0.4, 0.4]),  # bim and fgsm once, cw twice
    }


def test_only_comparisons_of_all_pipelines_are_kept():
    first, second = {"name": "a - b", "value": 0.1}, {"name": "only here", "value": 0.2}
    assert list(contrasts([found(records=[first, second]), found(records=[first])])) == ["a - b"]
