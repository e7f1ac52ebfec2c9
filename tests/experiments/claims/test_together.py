"""The rule by which several pipelines decide together."""

import pytest

from experiments.claims.together import judge_together, together


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["holds"] * 3, "holds"),
        (["holds"] * 5, "holds"),
        (["does not hold"] * 3, "does not hold"),
        (["holds", "holds", "not decided"], "not decided"),
        (["holds", "holds", "does not hold"], "not decided"),
        (["not decided"] * 3, "not decided"),
        (["holds"] * 2, "not decided"),
        (["holds"], "not decided"),
    ],
)
def test_all_pipelines_must_agree_and_there_must_be_three(verdicts, expected):
    assert together(verdicts) == expected


def test_pipelines_are_split_where_one_says_the_opposite_of_another():
    def found(share, low):
        measured = {"n": 90, "share": share, "low": low, "high": 1.0 if share else 0.04, "share_logit": 0.0}
        return {
            "transfer": {
                "meta": {"contrasts": [], "seeds": [0, 1, 2], "test_images": 90, "underflow": measured},
                "rows": [],
            }
        }

    split = {claim.number for claim in judge_together([found(0.5, 0.2), found(0.0, 0.0)]) if claim.split}
    assert split == {"10"}
    assert not any(claim.split for claim in judge_together([found(0.5, 0.2), found(0.5, 0.0)]))
