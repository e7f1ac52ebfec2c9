"""The one rule from intervals to a verdict."""

import pytest

from experiments.results.bootstrap import Interval
from experiments.results.verdicts import (
    FEWEST,
    Claim,
    Evidence,
    all_above,
    any_above,
    evidence_above,
    settle,
)

ABOVE, BELOW, AROUND = Interval(1, 0.5, 2), Interval(-1, -2, -0.5), Interval(0, -1, 1)


@pytest.mark.parametrize(
    ("intervals", "level", "verdict"),
    [
        ([ABOVE, ABOVE], 0, "holds"),
        ([ABOVE, BELOW, AROUND], 0, "does not hold"),
        ([ABOVE, AROUND], 0, "not decided"),
        ([ABOVE, None], 0, "not decided"),
        ([BELOW, None], 0, "does not hold"),
        ([], 0, "not decided"),
        ([ABOVE], 0.7, "not decided"),
        ([-BELOW], 0.4, "holds"),
        ([-AROUND], -2, "holds"),
        ([ABOVE, Interval(1, 1, 1)], 0, "not decided"),
        ([BELOW, Interval(1, 1, 1)], 0, "does not hold"),
    ],
)
def test_all_must_lie_above_a_level(intervals, level, verdict):
    assert all_above(intervals, level) == verdict


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ([BELOW, ABOVE, None], "holds"),
        ([BELOW, BELOW], "does not hold"),
        ([BELOW, AROUND], "not decided"),
        ([BELOW, None], "not decided"),
        ([BELOW, Interval(1, 1, 1)], "not decided"),
        ([], "not decided"),
    ],
)
def test_one_that_lies_above_suffices(intervals, verdict):
    assert any_above(intervals) == verdict


def test_few_images_decide_nothing():
    claim = Claim("1", "text", "holds", "")
    for count, verdict, reason in (
        (FEWEST, "holds", ""),
        (19, "not decided", "19 images are too few to decide, it takes 20; "),
    ):
        evidence = Evidence("holds", "numbers", {"images": count})
        assert settle(claim, evidence, {"images": FEWEST}) == Claim("1", "text", verdict, f"{reason}numbers")


def test_reasons_stand_in_front_of_the_numbers():
    evidence = Evidence("holds", "numbers", {"pairs": 1, "seeds": 3}, ["a doubt"])
    found = settle(Claim("1", "text", "holds", ""), evidence, {"images": 20, "pairs": 20, "seeds": 3})
    assert found.verdict == "not decided"
    assert found.statistic == (
        "the number of images is not recorded; 1 pair is too few to decide, it takes 20; a doubt; numbers"
    )


def test_what_has_no_width_or_is_doubted_cannot_hold():
    assert evidence_above({"a": ABOVE, "b": ABOVE}, "").verdict == "holds"
    assert evidence_above({"a": ABOVE, "b": Interval(1, 1, 1)}, "").verdict == "not decided"
    doubted = evidence_above({"a": ABOVE, "b": ABOVE}, "", doubts={"b": "why"})
    assert (doubted.verdict, list(doubted.doubts)) == ("not decided", ["why"])
    assert evidence_above({"a": BELOW, "b": ABOVE}, "", doubts={"b": "why"}).verdict == "does not hold"
