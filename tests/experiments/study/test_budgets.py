"""Budgets that do not fit the data."""

from attacks import BIM, FGSM, PGD, DeepFool
from experiments.detection.tables import budget_flag
from experiments.study.budgets import unusual


def test_budgets_of_grey_digits_are_named_on_colour_images_only():
    attacks = {
        "fgsm": FGSM(epsilon=0.3),
        "bim": BIM(epsilon=8 / 255),
        "l2": PGD(epsilon=2.0, norm="l2"),
        "df": DeepFool(),
    }
    assert unusual(attacks, channels=3) == {"fgsm": 0.3}
    assert unusual(attacks, channels=1) == {}
    assert budget_flag({"fgsm": 0.3}).raised is True
    assert "fgsm 0.3" in budget_flag({"fgsm": 0.3}).sentence
    assert budget_flag({}).raised is False
