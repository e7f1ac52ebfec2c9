"""Which remedies a detector gets, and the attacks of the suite under them."""

import pytest
import torch
from torch import nn

from attacks import Estimation, Expectation, StraightThrough
from experiments.study.contenders import Contender
from experiments.white_box import flags
from experiments.white_box.attacker import Subject
from experiments.white_box.records import BEFORE, GradientCheck, Remedied
from experiments.white_box.remedies import WALKS, check_remedies, needed, remedied
from experiments.white_box.suite import suite


class Rounding(nn.Module):
    """A detector with a method that rounds."""

    def rounded(self, images):
        return (8 * images).round() / 8

    def forward(self, images):
        return self.rounded(images).mean((1, 2, 3))


class Declaring(Rounding):
    """It says so itself."""

    straight_through = ("rounded",)


def subject(module):
    return Subject(Contender("mine", None, 3, module, torch.linspace(0, 1, 101)), BEFORE, nn.Identity())


def names(module, zero=0.0, bpda=None, *, determined=True):
    """Of the remedies of a detector, the innermost first, with their parts."""
    checks = [GradientCheck("score", BEFORE, 3, zero, 0.0), GradientCheck("margin", BEFORE, 3, 1.0, 0.0)]
    found = needed(subject(module), checks, bpda, determined=determined)
    assert all((each.detector, each.phase, each.seed) == ("mine", BEFORE, 3) for each in found)
    return [(each.remedy, each.parts) for each in found]


def test_each_finding_has_its_remedy():
    assert names(Rounding()) == []
    assert names(Rounding(), zero=0.04) == []
    assert names(Rounding(), zero=0.05) == [("Estimation", ())]
    assert names(Rounding(), zero=1.0, bpda=["rounded"]) == [("StraightThrough", ("rounded",))]
    assert names(nn.Flatten(), zero=1.0, bpda=["rounded"]) == [("Estimation", ())]  # it has no such part
    assert names(Declaring(), zero=1.0) == [("StraightThrough", ())]
    assert names(Declaring(), determined=False) == [("StraightThrough", ()), ("Expectation", ())]


@pytest.mark.parametrize("targeted", [False, True])
def test_the_cheapest_walks_run_once_more_under_all_remedies(targeted):
    plain = list(suite(0.1, 10, parts=True, held=True, targeted=targeted))
    assert list(remedied(plain, [])) == []
    found = list(
        remedied(plain, needed(subject(Declaring()), [GradientCheck("", BEFORE, 3, 0, 0)], None, determined=False))
    )
    assert [each.name for each in found] == [f"{name}_remedied" for name in WALKS]
    assert found[0].about == "hinged under StraightThrough, then Expectation"
    walks = {each.name: each.attack for each in plain}
    for name, each in zip(WALKS, found, strict=True):
        through = StraightThrough(attack=walks[name], targeted=targeted)
        assert each.attack == Expectation(attack=through, targeted=targeted)
        assert (each.kind, each.attack.epsilon, each.attack.steps) == ("gradient", 0.1, 10)
    (*_, estimated) = remedied(plain, [Remedied("mine", BEFORE, 3, "Estimation", "", ())])
    assert estimated.attack == Estimation(attack=walks["selective"], targeted=targeted)


def test_parts_without_remedies_or_that_nobody_has_are_refused():
    check_remedies(["rounded"], "auto", [subject(nn.Flatten()), subject(Rounding())])
    check_remedies(None, "none", [])
    with pytest.raises(ValueError, match="bpda names the parts of a remedy: give it without --remedies none"):
        check_remedies(["rounded"], "none", [subject(Rounding())])
    with pytest.raises(ValueError, match="none of the detectors attacked has a part or method 'greys'"):
        check_remedies(["greys"], "auto", [subject(Rounding())])


def test_flags_name_the_remedy_and_say_what_was_applied_and_why():
    assert "attacks.Estimation" in flags.gradients_vanish([GradientCheck("mine", BEFORE, 3, 0.5, 0.0)]).sentence
    assert "attacks.Expectation" in flags.determined(["mine"]).sentence
    assert "Remedy" not in flags.determined([]).sentence
    applied = flags.remedies([Remedied("mine", BEFORE, 3, "Estimation", "it has none", ())])
    assert applied.raised is False
    assert "Estimation on mine (before retraining, seed 3), because it has none" in applied.sentence
    assert flags.remedies([]).raised is None
    rows = [
        {"detector": "mine", "phase": BEFORE, "attack": attack, "sr_at_5": rate, "fooled_both": None}
        for attack, rate in (("selective", 0.2), ("square", 0.9), ("selective_remedied", 0.3))
    ]
    masked = [flag for flag in flags.orders(rows) if flag.raised]
    assert len(masked) == 2
    assert all("--bpda" in flag.sentence for flag in masked)
    rows[2]["sr_at_5"] = 0.9  # under the remedy gradients do find it
    assert len([flag for flag in flags.orders(rows) if flag.raised]) == 1
