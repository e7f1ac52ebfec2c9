"""Flags of `evaluate.py enhance`: checks of its own validity."""

from typing import Final

from experiments.explanation.enhance import names
from experiments.explanation.enhance.findings import NO_PAIRS
from experiments.explanation.enhance.records import EnhanceRecords
from experiments.results.result import Flag

SUCCESS: Final = 0.9
"""Least share of the images classified right that the attack must fool, else the fooled images are a selection."""


def flags(records: EnhanceRecords) -> list[Flag]:
    """Return the checks."""
    best = records.ranked[0]
    chance, enhanced = (records.maps[name].recovered.area for name in (names.RANDOM, names.ENHANCED))
    shared = sum(ablation.overlapping for ablation in records.ablations)
    equal = f"differ for {', '.join(records.moved)}" if records.moved else "are the same for every method"
    return [
        Flag(
            "The attack succeeds",
            records.success.value < SUCCESS,
            f"{records.attack} fools {records.images} of {records.right} images that are classified right, "
            f"{records.success}; at least {SUCCESS} is wanted.",
        ),
        Flag(
            "Enhanced maps of a class and its rival share no value",
            shared > 0,
            f"Over all methods and normalisations {shared} values of the adversarial images' maps are above 0 in both.",
        ),
        Flag("Maps are deterministic", bool(records.moved), f"Maps of {records.repeated} images made twice {equal}."),
        Flag(
            "Random is not best",
            best.name == names.RANDOM,
            f"On average over the shares random pixels recover {chance}, the best map ({best.name}) "
            f"{best.recovered.area}. Enhanced guided backprop recovers {enhanced}.",
        ),
        _recognised(records),
    ]


def _recognised(records: EnhanceRecords) -> Flag:
    pairs, name = records.pairs, "The classifier knows the images with several classes"
    if pairs is None:
        return Flag(name, None, f"{NO_PAIRS}.")
    return Flag(
        name,
        None if pairs.chance >= 1 else pairs.recognised.low <= pairs.chance,
        f"It names one of an image's classes on {pairs.recognised} of {pairs.images} ({pairs.source}). "
        f"Guessing gives {pairs.chance:.3f}.",
    )
