"""Which attacks are compared, with equal settings."""

import math
from typing import Any

import torch
from torch import Tensor, nn

import attacks
from benchmarks import peers
from benchmarks.peers import Contender
from benchmarks.subjects import Subject

Contenders = dict[str, Contender | None]
TARGETED = ("jsma", "localized")
"""Comparisons whose goal is the class after the label."""
_EIGHT_BITS = 255


def ours(attack: attacks.Attack, classes: int | None = None) -> Contender:
    """Return one of our attacks; with a number of classes, targeted at the class after the label."""
    return lambda model, images, labels: attack(model, images, labels if classes is None else (labels + 1) % classes)


def _foolbox_deepfool() -> Contender | None:
    return peers.foolbox("L2DeepFoolAttack", steps=50, candidates=10, overshoot=0.02)


def comparisons(subject: Subject, batch: int) -> dict[str, Contenders]:
    """Return the contenders of each comparison; ours first."""
    return _budgets(subject, batch) | {
        "deepfool": {
            "ours": ours(attacks.DeepFool()),
            "torchattacks": peers.torchattacks("DeepFool", steps=50, overshoot=0.02),
            "foolbox": _foolbox_deepfool(),
            "art": peers.art("DeepFool", max_iter=50, epsilon=0.02, nb_grads=10, batch_size=batch, verbose=False),
        },
        "cw": _carlini_wagner(subject, batch, 200, 1e-2),
        "cw-1000": _carlini_wagner(subject, batch, 1000, 5e-3),
        "jsma": _jsma(subject, batch),
        "localized": {"ours": _localized(subject)},
        "rounding": _rounding(),
    }


def _budgets(subject: Subject, batch: int) -> dict[str, Contenders]:
    epsilon, step = subject.epsilon, subject.epsilon / 6
    walk: dict[str, Any] = {"epsilon": epsilon, "step_size": step, "steps": 10}
    steps = {"eps": epsilon, "eps_iter": step, "nb_iter": 10}
    alphas = {"eps": epsilon, "alpha": step, "steps": 10}
    sizes = {"abs_stepsize": step, "steps": 10}
    few = {"eps": epsilon, "eps_step": step, "max_iter": 10, "batch_size": batch, "verbose": False}
    return {
        "fgsm": {
            "ours": ours(attacks.FGSM(epsilon=epsilon)),
            "advertorch": peers.advertorch("GradientSignAttack", eps=epsilon),
            "torchattacks": peers.torchattacks("FGSM", eps=epsilon),
            "foolbox": peers.foolbox("LinfFastGradientAttack", epsilon, random_start=False),
            "art": peers.art("FastGradientMethod", eps=epsilon, batch_size=batch),
        },
        "bim": {
            "ours": ours(attacks.BIM(**walk)),
            "bare loop": _bare_loop(step, 10),
            "advertorch": peers.advertorch("LinfBasicIterativeAttack", **steps),
            "torchattacks": peers.torchattacks("BIM", **alphas),
            "foolbox": peers.foolbox("LinfBasicIterativeAttack", epsilon, random_start=False, **sizes),
            "art": peers.art("BasicIterativeMethod", **few),
        },
        "mim": {
            "ours": ours(attacks.MIM(**walk)),
            "advertorch": peers.advertorch("MomentumIterativeAttack", **steps),
            "torchattacks": peers.torchattacks("MIFGSM", **alphas),
            "art": peers.art("MomentumIterativeMethod", decay=1.0, **few),
        },
        "pgd": {
            "ours": ours(attacks.PGD(**walk)),
            "advertorch": peers.advertorch("LinfPGDAttack", **steps),
            "torchattacks": peers.torchattacks("PGD", **alphas),
            "foolbox": peers.foolbox("LinfPGD", epsilon, random_start=True, **sizes),
            "art": peers.art("ProjectedGradientDescent", num_random_init=1, **few),
        },
    }


def _carlini_wagner(subject: Subject, batch: int, steps: int, rate: float) -> Contenders:
    searches = {"binary_search_steps": 5}
    lines = {"max_iter": steps, "learning_rate": rate, "batch_size": batch, "verbose": False}
    return {
        "ours": ours(attacks.CarliniWagnerL2(search_steps=5, steps=steps, learning_rate=rate)),
        "advertorch": peers.advertorch(
            "CarliniWagnerL2Attack",
            num_classes=subject.classes,
            max_iterations=steps,
            learning_rate=rate,
            initial_const=1e-2,
            **searches,
        ),
        "torchattacks": peers.torchattacks("CW", c=1, steps=steps, lr=rate),
        "foolbox": peers.foolbox("L2CarliniWagnerAttack", steps=steps, stepsize=rate, initial_const=1e-2, **searches),
        "art": peers.art("CarliniL2Method", initial_const=1e-2, **lines, **searches),
        # it doubles a constant that is too small, where the others take ten times: from .01 it comes to .16 only
        "art, c 1": peers.art("CarliniL2Method", initial_const=1.0, **lines, **searches),
    }


def _localized(subject: Subject) -> Contender:
    """Return our attack in one region, a tenth of the image at its centre, at the settings of `evaluate.py recover`."""
    _, height, width = subject.shape
    rows, columns = (round(side * (1 - math.sqrt(0.1)) / 2) for side in (height, width))
    region = torch.zeros(1, 1, height, width)
    region[..., rows:-rows, columns:-columns] = 1
    attack = attacks.LocalizedBIM(step_size=0.01, steps=100, targeted=True)
    return lambda model, images, labels: attack(
        model, images, (labels + 1) % subject.classes, region=region.expand(len(images), -1, -1, -1).to(images.device)
    )


def _jsma(subject: Subject, batch: int) -> Contenders:
    gamma, classes = subject.gamma, subject.classes
    few = {"theta": 1.0, "gamma": gamma, "batch_size": batch, "verbose": False}
    return {
        "ours": ours(attacks.JSMA(gamma=gamma, targeted=True), classes),
        "ours, greedy": ours(attacks.GreedyL0(gamma=gamma, targeted=True), classes),
        "advertorch": _pairwise(
            subject, _targeted(peers.advertorch("JSMA", num_classes=classes, gamma=gamma), classes)
        ),
        # takes the class after the label by itself
        "torchattacks": _pairwise(subject, peers.torchattacks("JSMA", gamma=gamma)),
        "art": _targeted(peers.art("SaliencyMapMethod", **few), classes),
    }


def front() -> dict[str, Contenders]:
    """Return points of speed and length: the warm start, and the peers' C&W over a fixed grid of settings."""
    fast = {
        f"ours, from the image, {n} x {beyond:g}": ours(
            attacks.WarmCarliniWagnerL2(steps=n, start="image", overshoot=beyond)
        )
        for n, beyond in ((1, 2.0), (1, 0.5), (1, 0.2), (2, 0.1))
    }
    warm = fast | {f"ours, {n} steps": ours(attacks.WarmCarliniWagnerL2(steps=n)) for n in (5, 10, 20, 40, 80)}
    grid = [
        (searches, steps, rate, constant)
        for searches, steps in ((1, 20), (1, 60), (1, 200), (3, 60))
        for rate in (0.01, 0.05, 0.2)
        for constant in (0.1, 2.0)
        if steps * rate >= 1  # shorter walks reach nothing
    ]
    grid.append((5, 200, 0.01, 0.01))
    folds = {
        f"foolbox, {n} x {steps}, {rate:g}, c {c:g}": peers.foolbox(
            "L2CarliniWagnerAttack", binary_search_steps=n, steps=steps, stepsize=rate, initial_const=c
        )
        for n, steps, rate, c in grid
    }
    torches = {
        f"torchattacks, {steps}, {rate:g}, c {c:g}": peers.torchattacks("CW", c=c, steps=steps, lr=rate)
        for searches, steps, rate, c in grid
        if searches == 1
    }
    ddn = {"advertorch, DDN-40": peers.advertorch("DDNL2Attack", nb_iter=40)}
    return {"front": warm | folds | torches | ddn}


def _rounding() -> Contenders:
    """Return attacks of minimal norm as they are, rounded to 8 bits, and repaired where that undoes them."""
    deepfool, warm = attacks.DeepFool(), attacks.WarmCarliniWagnerL2()
    return {
        "ours, DeepFool": ours(deepfool),
        "ours, DeepFool, rounded": _rounded(ours(deepfool)),
        "ours, DeepFool, Quantised": ours(attacks.Quantised(attack=deepfool)),
        "ours, warm start": ours(warm),
        "ours, warm start, rounded": _rounded(ours(warm)),
        "ours, warm start, Quantised": ours(attacks.Quantised(attack=warm)),
        "foolbox, DeepFool, rounded": _rounded(_foolbox_deepfool()),
    }


def _rounded(contender: Contender | None) -> Contender | None:
    """Return an attack whose images are rounded to the levels of a file of 8 bits."""
    return contender and (lambda *given: (contender(*given) * _EIGHT_BITS).round() / _EIGHT_BITS)


def _pairwise(subject: Subject, contender: Contender | None) -> Contender | None:
    """Refuse an attack that keeps a number for each pair of an image's values, where one such matrix has a gigabyte."""
    values = math.prod(subject.shape)
    gigabytes = 4 * values**2 / 1e9
    if contender is None or gigabytes < 1:
        return contender
    return peers.refused(
        f"it keeps several matrices of {values:,} x {values:,} values for each image, {gigabytes:.1f} GB each"
    )


def _targeted(contender: Contender | None, classes: int) -> Contender | None:
    if contender is None:
        return None
    return lambda model, images, labels: contender(model, images, (labels + 1) % classes)


def _bare_loop(step: float, steps: int) -> Contender:
    """Return nothing but passes forward and backward and a signed step."""

    def run(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        for _ in range(steps):
            images = images.detach().requires_grad_()
            loss = nn.functional.cross_entropy(model(images), labels, reduction="sum")
            images = images + step * torch.autograd.grad(loss, images)[0].sign()
        return images.detach().clamp(0, 1)

    return run
