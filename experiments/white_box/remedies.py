"""Remedies against masked gradients: which ones a detector needs, and the attacks of the suite under them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal

from attacks import Attack, Estimation, Expectation, StraightThrough
from attacks.errors import InputError
from attacks.white_box.straight_through import declared, has_part
from experiments.white_box.attacker import Subject
from experiments.white_box.records import GradientCheck, Remedied
from experiments.white_box.suite import SuiteAttack

Remedies = Literal["none", "auto"]

WALKS: Final = ("hinged", "hinged_textured", "selective")
"""The attacks of the suite that run once more under remedies: the cheapest of its projected walks."""

MASKED: Final = 0.05
"""Share of clean images without a gradient of the score from which on it is estimated."""


def check_remedies(bpda: Sequence[str] | None, remedies: Remedies, subjects: Iterable[Subject]) -> None:
    """Refuse names of parts without remedies, and names that no detector has."""
    if bpda and remedies == "none":
        msg = "bpda names the parts of a remedy: give it without --remedies none"
        raise InputError(msg)
    modules = [subject.contender.module for subject in subjects]
    for name in bpda or ():
        if not any(has_part(module, name) for module in modules):
            msg = f"bpda: none of the detectors attacked has a part or method {name!r}, as named_modules() names them"
            raise InputError(msg)


def needed(
    subject: Subject, gradients: Sequence[GradientCheck], bpda: Sequence[str] | None, *, determined: bool
) -> list[Remedied]:
    """Return the remedies that a detector needs, the innermost first.

    Args:
        subject: The detector.
        gradients: The checks of its score's gradient, and of the classifier's margin.
        bpda: Names of parts through which the gradient is to pass unchanged; those that it lacks are passed over.
        determined: Whether it gives the same images the same scores twice.
    """
    module, zero = subject.contender.module, gradients[0].zero
    parts = tuple(name for name in bpda or () if has_part(module, name))
    found = []
    if parts:
        found.append(("StraightThrough", f"--bpda names {', '.join(parts)}", parts))
    elif declared(module):
        found.append(("StraightThrough", f"it declares {', '.join(declared(module))}", ()))
    elif zero >= MASKED:
        found.append(("Estimation", f"its score has no gradient on {zero:.3f} of the clean images", ()))
    if not determined:
        found.append(("Expectation", "its scores of the same images differ between calls", ()))
    about = subject.name, subject.phase, subject.contender.seed
    return [Remedied(*about, remedy, why, parts) for remedy, why, parts in found]


def remedied(attacks: Iterable[SuiteAttack], remedies: Sequence[Remedied]) -> Iterator[SuiteAttack]:
    """Yield those of the suite's attacks that run once more, under all remedies of a detector."""
    for member in attacks:
        if remedies and member.name in WALKS:
            attack = member.attack
            for remedy in remedies:
                attack = _under(remedy, attack)
            under = ", then ".join(remedy.remedy for remedy in remedies)
            yield replace(member, name=f"{member.name}_remedied", attack=attack, about=f"{member.name} under {under}")


def _under(remedy: Remedied, attack: Attack) -> Attack:
    if remedy.remedy == "StraightThrough":
        return StraightThrough(attack=attack, parts=remedy.parts or None, targeted=attack.targeted)
    if remedy.remedy == "Estimation":
        return Estimation(attack=attack, targeted=attack.targeted)
    return Expectation(attack=attack, targeted=attack.targeted)
