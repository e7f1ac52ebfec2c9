"""The distances between saliency maps of images, their attacked versions, and different images."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from torch import Tensor

from experiments.detection.shift.records import DIFFERENT, FIXED, FULL, NOISE, SAME, SUBSETS, SWAPPED, ShiftRecords
from experiments.results.bootstrap import Interval, Resampling, interval
from experiments.results.two_samples import Draw, compare, draw, mean, same_class
from experiments.study.maps import Maps, distance, maps_of, over
from experiments.study.rows import Rows
from experiments.study.study import Study

_REPEATED: Final = 64
"""Images whose maps are made twice: as many as a batch, so that the batches are the same."""


def measure_shift(study: Study, pairs: int | None, resamples: int) -> list[ShiftRecords]:
    """Return the records of each kind of map with at most so many distances of each sample; None: all test images."""
    dealt = draw(len(study.images.clean), pairs)
    return [_measure(study, maps, dealt, resamples) for maps in maps_of(study)]


def _measure(study: Study, maps: Maps, dealt: Draw, resamples: int) -> ShiftRecords:
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
    successful = {name: under.subsets["successful"][rows] for name, under in unders.items()}
    distances = {
        (attack, sample, subset): values if attack is None or subset == "all" else values[successful[attack]]
        for (attack, sample), values in samples.items()
        for subset in (SUBSETS if attack else SUBSETS[:1])
    }
    rates = {name: under.success_rate for name, under in unders.items()}
    return ShiftRecords(
        name=maps.name,
        title=maps.title,
        scale=maps.scale,
        different=different.tolist(),
        distances={key: values.tolist() for key, values in distances.items()},
        successful={name: int(fooled.sum()) for name, fooled in successful.items()},
        rows=[{"map": maps.name, **row} for row in _rows(distances, different, rates, resamples)],
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


def _rows(
    distances: Mapping[tuple[str | None, str, str], Tensor],
    different: Tensor,
    success_rates: Mapping[str, float | None],
    resamples: int,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each attack, sample and subset of distances (n,), against those of different images (m,)."""
    for (attack, sample, subset), values in distances.items():
        share = ratio(values, distances[attack, FULL, subset], resamples) if sample == FIXED else None
        comparison = compare(values, different, resamples)
        yield {
            "attack": attack,
            "sample": sample,
            "subset": subset,
            "mean": mean(values),
            "mean_different": mean(different),
            **asdict(comparison),
            "direction": comparison.direction,
            "verdict": comparison.verdict,
            "ratio_to_full": None if share is None else share.value,
            "ratio_low": None if share is None else share.low,
            "ratio_high": None if share is None else share.high,
            "attack_success_rate": success_rates[attack] if attack else None,
        }


def ratio(part: Tensor, whole: Tensor, resamples: int) -> Interval | None:
    """Return the ratio of the means of paired values (n,), with a bootstrap interval of the pairs.

    Returns:
        None if there are no values, or the mean of the whole is not above 0.
    """
    if len(whole) == 0 or whole.mean() <= 0:
        return None
    drawn = Resampling(len(whole), resamples)
    replicates = drawn.mean(part) / drawn.mean(whole)
    return interval((part.mean() / whole.mean()).item(), replicates[replicates.isfinite()])
