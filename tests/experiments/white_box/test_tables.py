"""The sentences that head the report of white-box attacks."""

import pytest

from experiments.white_box.records import AFTER, BEFORE, WORST
from experiments.white_box.tables import finding

META = {"norm": "linf", "epsilon": 0.1, "attacked_images": 50, "suite_seeds": [0, 1, 2]}


def rows(phase, **lost):
    return [
        {"detector": name, "phase": phase, "attack": WORST, "sr_at_5": rate, "n_right": 50}
        for name, rate in lost.items()
    ]


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ({"id": 1.0}, "SR@5 is 1.000 in the worst case on id."),
        ({"id": 1.0, "jsd": 1.0, "spd": 1.0}, "SR@5 is 1.000 in the worst case on id, jsd and spd."),
        (
            {"id": 1.0, "jsd": 0.5, "spd": 0.5},
            "the attacks win the least on jsd and spd, SR@5 0.500 in the worst case, the most on id, 1.000.",
        ),
    ],
)
def test_detectors_on_which_the_attacks_win_alike_are_named_together(lost, told):
    assert f"Before retraining {told}" in finding(rows(BEFORE, **lost), META)
    assert f"After it {told}" in finding([*rows(BEFORE, id=0.2), *rows(AFTER, **lost)], META)
