"""The largest cost of the suite, printed before it runs."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import torch

from attacks import FGSM, Attack, Expectation, HingedPGD, Square, StraightThrough
from attacks.base import MostPasses
from attacks.guard import evaluation_mode, gradients, guarded
from attacks.problem import Counted, Passes, Problem
from experiments.results.verdicts import counted
from experiments.white_box.attacker import BLOCK, Attacker, Subject
from experiments.white_box.suite import SuiteAttack

_QUERIES: Final = 4
_STEPS: Final = 3
"""Steps of the two short attacks that are timed."""

_FEW: Final = 2
"""Images that are timed at first."""

_LONG: Final = 1.0
"""Seconds from which on a start that is not warm does not matter."""

_MINUTE: Final = 60.0


def most_passes(attacks: Iterable[SuiteAttack], classes: int) -> MostPasses:
    """Return the most passes for an image that meets all of some attacks; those that do not say count as none."""
    known = [most for member in attacks if (most := member.attack.most_passes(classes)) is not None]
    return MostPasses(sum(passes.forward for passes in known), sum(passes.backward for passes in known))


def forecast(
    attacker: Attacker, suites: Sequence[tuple[Subject, Sequence[SuiteAttack]]], about: str = "The suite makes"
) -> tuple[MostPasses, str]:
    """Return the most passes of a detector for an image, and a sentence about these and the time.

    Args:
        attacker: Holds the images.
        suites: The detectors, at least one, each with its attacks.
        about: Beginning of the sentence.
    """
    with torch.no_grad():
        subject = suites[0][0]
        classes = subject.model(attacker.images[:1].to(attacker.device)).shape[1]
    bounds = [most_passes(attacks, classes) for _, attacks in suites]
    seconds = len(attacker.images) * sum(
        _seconds(attacker, subject, attacks, most) for (subject, attacks), most in zip(suites, bounds, strict=True)
    )
    inner = [_inner(attacker, subject) for subject, _ in suites]
    backward = [passes.backward + own * passes.forward for passes, own in zip(bounds, inner, strict=True)]
    most = MostPasses(max(passes.forward for passes in bounds), max(backward))
    unknown = {member.name for _, attacks in suites for member in attacks if member.attack.most_passes(classes) is None}
    besides = f", and those of {', '.join(sorted(unknown))}, which are not known beforehand" if unknown else ""
    size = f"{counted(len(attacker.images), 'images')} and {counted(len(suites), 'detectors')}"
    sentence = (
        f"{about} at most {most.forward:,} passes forward and {most.backward:,} backward for an image of a "
        f"detector{besides}. By a few passes timed just now, {size} take about {_words(seconds)} at most on "
        f"{attacker.device}, without curves and price; images that are won early and what is kept from before make it "
        "shorter."
    )
    return most, sentence


def _seconds(attacker: Attacker, subject: Subject, attacks: Sequence[SuiteAttack], most: MostPasses) -> float:
    """Return the seconds that so many passes of some attacks take for an image of a detector."""
    forward = _timed(attacker, subject, Square(epsilon=0.1, queries=_QUERIES)) / _QUERIES
    if not most.backward:
        return most.forward * forward
    walk: Attack = HingedPGD(epsilon=0.1, steps=_STEPS, goals=0)
    if not subject.differentiable:
        remedies = (_inside(member.attack) for member in attacks)
        remedy = next((attack for attack in remedies if isinstance(attack, StraightThrough)), None)
        if remedy is None:  # backward passes go through the classifier alone
            return most.forward * forward + most.backward * _timed(attacker, subject, FGSM(epsilon=0.1))
        walk = replace(remedy, attack=walk, targeted=False)
    both = _timed(attacker, subject, walk)
    backward = max(0.0, both - (_STEPS + 1) * forward) / _STEPS
    return most.forward * forward + most.backward * backward


def _inside(attack: Attack) -> Attack:
    """Return what an attack on the mean of several passes runs."""
    return _inside(attack.attack) if isinstance(attack, Expectation) else attack


def _inner(attacker: Attacker, subject: Subject) -> int:
    """Return how many gradients a detector takes by itself in a pass, as one does that looks at a Jacobian."""
    if not subject.differentiable:
        return 0
    images = attacker.images[:1].to(attacker.device)
    aim = subject.aimed()
    with evaluation_mode(subject.model, aim), gradients(attacker.device), guarded(subject.model, aim) as safe:
        passes = Passes(images)
        Problem(Counted(safe, passes), images, detector=aim).surrogates(images.clone().requires_grad_())
        return int(passes.backward.amax())


def _timed(attacker: Attacker, subject: Subject, attack: Attack) -> float:
    """Return the seconds per image of an attack whose images are thrown away.

    Few images tell it where they take long. Else a block is run twice: the first time warms up.
    """
    of_image = []
    for count in (_FEW, BLOCK, BLOCK):
        images, labels = (tensor[:count].to(attacker.device) for tensor in (attacker.images, attacker.labels))
        start = time.perf_counter()
        attack(subject.model, images, labels, detector=subject.aimed()).cpu()
        seconds = time.perf_counter() - start
        of_image.append(seconds / len(images))
        if seconds > _LONG:
            break
    return min(of_image)


def _words(seconds: float) -> str:
    for unit, size in (("hours", _MINUTE**2), ("minutes", _MINUTE)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1.0, seconds):.0f} seconds"
