"""The comparison of figures finds each figure that is wrong, missing or expected by nobody."""

import pytest

from tests.experiments.figures import differences, numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.912 [0.880, 0.941]", [0.912, 0.88, 0.941]),
        ("0.5 ± 0.010", [0.5, 0.01]),
        ("3 of 40", [3, 40]),
        ("-0.020 to +0.100", [-0.02, 0.1]),
        ("1,640 passes", [1640]),
        ("seed_0, L2 at 5% of fgsm2", []),
    ],
)
def test_numbers_of_a_text(text, found):
    assert [value for value, _ in numbers(text)] == found


@pytest.mark.parametrize(
    ("shown", "expected", "wrong"),
    [
        ({"a": 1.0, "b": "0.912 [0.880, 0.941]"}, {"a": 1.0, "b": (0.9121, 0.8796, 0.9411)}, 0),
        ({"a": 1.0}, {"a": 1.1}, 1),
        ({"a": 1.0}, {}, 1),
        ({"a": 1.0}, {"a": 1.0, "b": 2}, 1),
        ({"a": [1, 2]}, {"a": [1]}, 1),
        ({"a": "0.912"}, {"a": (0.914,)}, 1),
        ({"a": "0.912"}, {}, 1),
        ({"a": "fgsm"}, {}, 0),
        ({"a": None}, {"a": 0.5}, 1),
        ({"a": 0.5}, {"a": None}, 1),
        ({"a": [{"b": 3}]}, {"a": [{"b": 3}]}, 0),
    ],
)
def test_differences(shown, expected, wrong):
    assert len(list(differences(shown, expected))) == wrong
