"""The distances between saliency maps of images, their attacked versions, and different images."""

from typing import Final

from torch import Tensor

from experiments.detection.shift.records import DIFFERENT, FIXED, FULL, NOISE, SAME, SWAPPED, ShiftRecords
from experiments.results.two_samples import Draw, draw, same_class
from experiments.study.maps import Maps, distance, maps_of, over
from experiments.study.rows import Rows
from experiments.study.study import Study

_REPEATED: Final = 64
"""Images whose maps are made twice: as many as a batch, so that the batches are the same."""


def measure_shift(study: Study, pairs: int | None) -> list[ShiftRecords]:
    """Return the records of each kind of map with at most so many distances of each sample; None: all test images."""
    dealt = draw(len(study.images.clean), pairs)
    return [_measure(study, maps, dealt) for maps in maps_of(study)]


def _measure(study: Study, maps: Maps, dealt: Draw) -> ShiftRecords:
    clean, rows = study.images.clean, dealt.same
    unders = {name: study.under(name) for name in study.attacks}

    def made(images: Rows, rows: Tensor, classes: Tensor | None, about: str) -> Rows:
        return over(study, maps, images.at(rows), None if classes is None else classes[rows], about)

    different = distance(*(made(clean, half, None, DIFFERENT) for half in (dealt.first, dealt.second)))
    natural = made(clean, rows, None, "natural images")
    one, other = same_class(study.under(study.attacks[0]).before[rows])
    samples: dict[tuple[str | None, str], Tensor] = {(None, SAME): distance(natural.at(one), natural.at(other))}
    for attack in unders:
        for sample, (images, classes) in _compared(study, maps, attack).items():
            samples[attack, sample] = distance(natural, made(images, rows, classes, f"{attack}, {sample}"))
    again = made(clean, rows[:_REPEATED], None, "again")
    return ShiftRecords(
        name=maps.name,
        title=maps.title,
        scale=maps.scale,
        different=different,
        samples=samples,
        successful={name: under.subsets["successful"][rows] for name, under in unders.items()},
        success_rates={name: under.success_rate for name, under in unders.items()},
        repeated=distance(natural[:_REPEATED], again).max().item(),
    )


def _compared(study: Study, maps: Maps, attack: str) -> dict[str, tuple[Rows, Tensor | None]]:
    """Return the images compared with the clean ones under their predicted class, and their classes or None."""
    under, clean = study.under(attack), study.images.clean
    noisy, _ = under.variant("noise", clean)
    samples: dict[str, tuple[Rows, Tensor | None]] = {FULL: (under.adversarial, under.after)}
    if maps.selected:
        samples |= {FIXED: (under.adversarial, under.before), SWAPPED: (clean, under.after)}
    return samples | {NOISE: (noisy, None)}
