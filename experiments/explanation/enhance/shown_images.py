"""Images that grids show with their maps: clean and attacked (Figure 3); attacks that fail and succeed (Figure 5)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import torch
from torch import Tensor

from attacks import BIM, FGSM
from experiments.explanation.enhance import names
from experiments.explanation.enhance.attacked_images import AttackedImages, chosen_attack, fgsm_and_bim
from experiments.explanation.enhance.grids import ExampleImages, Examples
from experiments.explanation.subject import Explained
from experiments.results.grids import chosen
from experiments.study.budgets import resized
from experiments.study.maps import relative

_VERSION_IMAGES: Final = 2
_OUTCOME_IMAGES: Final = 3

_CANDIDATES: Final = 24
"""The number of images on which attacks of many sizes are tried, to find failures and successes."""

_HALVINGS: Final = 12
"""Most budgets tried, each half of the one before: photographs withstand only the smallest."""


def versions(setting: AttackedImages) -> Examples:
    """Return some images, clean and under each attack, with the maps of every method."""
    every = setting.explained
    rows = chosen(setting.labels, setting.labels, torch.ones(setting.facts.images, dtype=torch.bool), _VERSION_IMAGES)
    clean, labels = setting.clean.images[rows], setting.labels[rows]
    tried = fgsm_and_bim(every.study)
    shown = {"clean": clean}
    for name, attack in (*tried, chosen_attack(every.study, None), (setting.facts.attack, setting.attack)):
        studied = name == setting.facts.attack
        shown[name] = setting.adversarial.images[rows] if studied else every.attacked(attack, clean)
    return Examples(
        [every.classes[label] for label in labels.tolist()],
        {name: _with_softmax(every, images, labels, name) for name, images in shown.items()},
        {name: attack.epsilon for name, attack in tried},
    )


def _with_softmax(every: Explained, images: Tensor, labels: Tensor, about: str) -> ExampleImages:
    most, predictions = every.predict(images).softmax(1).max(1)
    numbers = [f" ({share:.2f})" for share in most.tolist()]
    return _shown(every, images, predictions, labels, numbers, every.methods, about)


def _shown(
    every: Explained,
    images: Tensor,
    predictions: Tensor,
    labels: Tensor,
    numbers: Sequence[str],
    methods: Iterable[str],
    about: str,
) -> ExampleImages:
    """Return images with their predicted classes, numbers behind these, and the maps of some methods."""
    captions = [every.classes[label] + number for label, number in zip(predictions.tolist(), numbers, strict=True)]
    maps = {name: relative(every.maps(name, images, predictions, f"{about}, examples").abs()) for name in methods}
    return ExampleImages(images, captions, (predictions != labels).tolist(), [True] * len(images), maps)


class _AttackOutcome(NamedTuple):
    """Images (n, C, H, W), their predictions (n,), and the budget (n,) of their attack: 0: none, NaN: none found."""

    images: Tensor
    predictions: Tensor
    epsilons: Tensor


def outcomes(setting: AttackedImages) -> Examples:
    """Return some images, clean, under attacks that fail and that succeed, with guided maps, plain and enhanced."""
    every = setting.explained
    labels = setting.labels[:_CANDIDATES]
    count = len(labels)
    clean, of_any_size = setting.clean.images[:count], torch.zeros(count, dtype=torch.float64)
    tried = {name: _largest(every, attack, clean, labels) for name, attack in fgsm_and_bim(every.study)}
    shown = {
        "clean": _AttackOutcome(clean, labels, of_any_size),
        **{f"{name}, failed": of_name[False] for name, of_name in tried.items()},
        **{f"{name}, successful": of_name[True] for name, of_name in tried.items()},
        f"{setting.facts.attack} of this study, successful": _AttackOutcome(
            setting.adversarial.images[:count], setting.adversarial.predictions[:count], of_any_size
        ),
    }
    complete = torch.stack([~outcome.epsilons.isnan() for outcome in shown.values()]).all(0)
    rows = chosen(labels, labels, complete, _OUTCOME_IMAGES)
    return Examples(
        [every.classes[label] for label in labels[rows].tolist()],
        {name: _with_budget(every, outcome, rows, labels) for name, outcome in shown.items()},
        {},
    )


def _with_budget(every: Explained, outcome: _AttackOutcome, rows: Tensor, labels: Tensor) -> ExampleImages:
    images, predictions, epsilons = (values[rows] for values in outcome)
    numbers = [f", {epsilon:.2g}" if epsilon > 0 else "" for epsilon in epsilons.tolist()]
    shown = _shown(every, images, predictions, labels[rows], numbers, (names.PLAIN, names.ENHANCED), "outcomes")
    return replace(shown, there=(~epsilons.isnan()).tolist())


def _largest(every: Explained, attack: FGSM | BIM, clean: Tensor, labels: Tensor) -> dict[bool, _AttackOutcome]:
    """Return each image's largest failing attack under False, and its largest successful attack under True."""
    nowhere = torch.full((len(labels),), torch.nan, dtype=torch.float64)
    largest = dict.fromkeys((False, True), _AttackOutcome(clean, labels, nowhere))
    for halving in range(_HALVINGS):
        if not any(outcome.epsilons.isnan().any() for outcome in largest.values()):
            break
        epsilon = attack.epsilon * 0.5**halving
        images = every.attacked(resized(attack, epsilon), clean, labels, about=f"epsilon {epsilon:g}")
        predictions = every.predict(images).argmax(1)
        for succeeds, before in largest.items():
            new = ((predictions != labels) == succeeds) & before.epsilons.isnan()
            largest[succeeds] = _AttackOutcome(
                torch.where(new[:, None, None, None], images, before.images),
                torch.where(new, predictions, before.predictions),
                before.epsilons.masked_fill(new, epsilon),
            )
    return largest
