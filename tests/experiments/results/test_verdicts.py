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
    if_enough,
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
    ],
)
def test_all_must_lie_above_a_level(intervals, level, verdict):
    assert all_above(intervals, level) == verdict


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [([BELOW, ABOVE], "holds"), ([BELOW, BELOW], "does not hold"), ([BELOW, AROUND], "not decided")],
)
def test_one_that_lies_above_suffices(intervals, verdict):
    assert any_above(intervals) == verdict


def test_few_images_decide_nothing():
    claim = Claim("1", "text", "holds", "numbers")
    assert if_enough(claim, FEWEST) == claim
    few = if_enough(claim, FEWEST - 1)
    assert (few.verdict, few.statistic) == (
        "not decided",
        f"{FEWEST - 1} images are too few to decide, it takes {FEWEST}; numbers",
    )


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
