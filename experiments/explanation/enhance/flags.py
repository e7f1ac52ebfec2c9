"""What `evaluate.py enhance` says about itself."""

from typing import Final

import torch

from experiments.explanation.enhance.findings import NO_PAIRS, Found, above
from experiments.explanation.enhance.methods import ENHANCED, RANDOM
from experiments.explanation.enhance.setting import Setting
from experiments.results.result import Flag

SUCCESS: Final = 0.9
"""Share of the images right before that the attack must fool, so that those that count are no odd choice."""

_AGAIN: Final = 8
"""Images whose maps are made twice more."""


def flags_of(found: Found) -> list[Flag]:
    """Return the checks."""
    return [
        _success(found.setting),
        _disjoint(found),
        _repeatable(found.setting),
        _random(found),
        _recognised(found),
    ]


def _success(setting: Setting) -> Flag:
    return Flag(
        "The attack succeeds",
        setting.success.value < SUCCESS,
        f"{setting.attack_name} fools {len(setting)} of {setting.right} images that are classified right, "
        f"{setting.success}; at least {SUCCESS} is wanted.",
    )


def _disjoint(found: Found) -> Flag:
    shared = sum(each.overlapping for each in found.ablated)
    return Flag(
        "Enhanced maps of a class and its rival share no value",
        shared > 0,
        f"Over all methods and normalisations {shared} values of the adversarial images' maps are above 0 in both.",
    )


def _repeatable(setting: Setting) -> Flag:
    every, images, classes = setting.explained, setting.clean.images[:_AGAIN], setting.clean.predictions[:_AGAIN]
    moved = []
    for name in every.methods:
        first, second = (every.attributions(name, images, classes, "again") for _ in range(2))
        if not torch.equal(first, second):
            moved.append(name)
    told = f"differ for {', '.join(moved)}" if moved else "are the same for every method"
    return Flag("Maps are deterministic", bool(moved), f"Maps of {len(images)} images made twice {told}.")


def _random(found: Found) -> Flag:
    best, chance = found.ranked[0], found.measured[RANDOM].recovered.area
    own = found.measured[ENHANCED].recovered.area
    return Flag(
        "Random is not best",
        best.name == RANDOM,
        f"Random pixels recover {chance.interval} on average over the shares, the best map ({best.name}) "
        f"{best.recovered.area.interval}, enhanced guided backprop {own.interval}.",
    )


def _recognised(found: Found) -> Flag:
    pairs, name = found.pairs, "The classifier knows the images with several classes"
    if pairs is None:
        return Flag(name, None, f"{NO_PAIRS}.")
    return Flag(
        name,
        None if pairs.chance >= 1 else above(pairs.recognised, pairs.chance) != "holds",
        f"It names one of an image's classes on {pairs.recognised.interval} of {pairs.images} ({pairs.source}); "
        f"guessing gives {pairs.chance:.3f}.",
    )
