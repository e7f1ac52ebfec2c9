"""`evaluate.py shift`: does an attack move a map as far as another image would (Schut & Gal, 2020, Table 1)?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from torch import Tensor

from experiments.results.bootstrap import Interval, Resampling, interval
from experiments.results.charts import sample_boxes
from experiments.results.result import Flag, Result, Table
from experiments.results.two_samples import NEGLIGIBLE, Draw, compare, draw, mean, same_class
from experiments.study.maps import Maps, capital, distance, maps_of, over
from experiments.study.study import Study

FULL: Final = "natural - adversarial"
FIXED: Final = "adversarial, clean class"
SWAPPED: Final = "clean, adversarial class"
NOISE: Final = "norm-matched noise"
SAME: Final = "same class"
DIFFERENT: Final = "different images"

SUBSETS: Final = ("all", "successful")

QUESTION: Final = (
    "Is the L2 distance between the saliency maps of a natural image and of its adversarial twin as large as between "
    "the maps of different natural images, and what causes it?"
)
_REPEATED: Final = 64
"""Images whose maps are made twice: as many as a batch, so that the batches are the same."""

Distances = Mapping[tuple[str | None, str], Tensor]
"""(n,) by attack (None: no attack is involved) and sample; see the constants."""


@dataclass(frozen=True)
class Measured:
    """The distances of one kind of map.

    Attributes:
        maps: The kind.
        different: (m,) of pairs of different natural images.
        samples: The others.
        repeated: The largest difference between maps of the same images made twice.
    """

    maps: Maps
    different: Tensor
    samples: Distances
    repeated: float


def shift(study: Study) -> Result:
    """Return the shift of maps under each attack, beside the controls that show its cause.

    Args:
        study: Its options: pairs, at most so many distances per sample (None: all); resamples.

    Raises:
        FileNotFoundError: If a stage is missing.
        ValueError: If pairs is below 1.
    """
    limit, resamples = study.options.get("pairs"), study.options.get("resamples", 1000)
    dealt = draw(len(study.images.clean), limit)
    measured = [measure(study, maps, dealt) for maps in maps_of(study)]
    rows = [row for each in measured for row in _rows(study, each, dealt, resamples)]
    return Result(
        protocol="shift",
        title="Shift of saliency maps under attack",
        question=QUESTION,
        finding=finding(rows, [each.maps for each in measured]),
        meta=study.meta() | {"pairs": limit, "resamples": resamples, "negligible": list(NEGLIGIBLE)},
        rows=rows,
        tables=[_table(each.maps, rows) for each in measured],
        figures=_figures(study, measured, dealt),
        flags=_flags(study, measured, dealt),
    )


def measure(study: Study, maps: Maps, dealt: Draw) -> Measured:
    """Return the distances of one kind of map; all maps are made in eval mode.

    Args:
        study: Gives the images and attacks.
        maps: The kind of map.
        dealt: Which test images.
    """
    clean, before = study.images.clean, _before(study)

    def made(images: Tensor, rows: Tensor, classes: Tensor | None, about: str) -> Tensor:
        return over(study, maps, images[rows], None if classes is None else classes[rows], about)

    different = distance(*(made(clean, rows, None, DIFFERENT) for rows in (dealt.first, dealt.second)))
    natural = made(clean, dealt.twins, None, "natural images")
    one, other = same_class(before[dealt.twins])
    samples: dict[tuple[str | None, str], Tensor] = {(None, SAME): distance(natural[one], natural[other])}
    for attack in study.attacks:
        for sample, (images, classes) in _versions(study, maps, attack).items():
            moved = made(images, dealt.twins, classes, f"{attack}, {sample}")
            samples[attack, sample] = distance(natural, moved)
    again = made(clean, dealt.twins[:_REPEATED], None, "again")
    repeated = distance(natural[:_REPEATED], again).max().item()
    return Measured(maps, different, samples, repeated)


def _before(study: Study) -> Tensor:
    """Return the classes (M,) predicted for the clean images."""
    return study.under(study.attacks[0]).before


def _versions(study: Study, maps: Maps, attack: str) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return what is compared with the clean image under its predicted class: images, and classes or None."""
    under, clean = study.under(attack), study.images.clean
    noisy, _ = under.variant("noise", clean)
    versions: dict[str, tuple[Tensor, Tensor | None]] = {FULL: (under.adversarial, under.after)}
    if maps.selected:
        versions |= {FIXED: (under.adversarial, under.before), SWAPPED: (clean, under.after)}
    return versions | {NOISE: (noisy, None)}


def _chosen(study: Study, attack: str | None, subset: str, dealt: Draw) -> Tensor | slice:
    """Return which of the twins' distances belong to a subset."""
    return slice(None) if attack is None else study.under(attack).subsets[subset][dealt.twins]


def _rows(study: Study, measured: Measured, dealt: Draw, resamples: int) -> Iterator[dict[str, Any]]:
    for (attack, sample), values in measured.samples.items():
        for subset in SUBSETS if attack else SUBSETS[:1]:
            chosen = _chosen(study, attack, subset, dealt)
            share = None
            if sample == FIXED:
                share = ratio(values[chosen], measured.samples[attack, FULL][chosen], resamples)
            comparison = compare(values[chosen], measured.different, resamples)
            yield {
                "map": measured.maps.name,
                "attack": attack,
                "sample": sample,
                "subset": subset,
                "mean": mean(values[chosen]),
                "mean_different": mean(measured.different),
                **asdict(comparison),
                "direction": comparison.direction,
                "verdict": comparison.verdict,
                "ratio_to_full": None if share is None else share.value,
                "ratio_low": None if share is None else share.low,
                "ratio_high": None if share is None else share.high,
                "attack_success_rate": study.under(attack).success_rate if attack else None,
            }


def ratio(part: Tensor, whole: Tensor, resamples: int) -> Interval | None:
    """Return the ratio of the means of paired values, with a bootstrap interval of the pairs; None if it has none.

    Args:
        part: (n,).
        whole: (n,), of the same images.
        resamples: Of the bootstrap.
    """
    if len(whole) == 0 or whole.mean() <= 0:
        return None
    drawn = Resampling(len(whole), resamples)
    replicates = drawn.mean(part) / drawn.mean(whole)
    return interval((part.mean() / whole.mean()).item(), replicates[replicates.isfinite()])


def finding(rows: Sequence[Mapping[str, Any]], kinds: Sequence[Maps]) -> str:
    """Return the answer in words, by the rules of `Comparison.verdict`.

    Args:
        rows: Of the result.
        kinds: Of the maps in them.
    """
    parts = [_about(maps, [row for row in rows if row["map"] == maps.name]) for maps in kinds]
    if not any(maps.selected for maps in kinds):
        parts.insert(0, "The run has no learnt saliency model: the Jacobian only.")
    return " ".join(parts)


_SAID: Final = {
    "larger": "larger than between different images",
    "as large": "as large as between different images",
    "smaller": "smaller than between different images",
    "not decided": "not decided",
    None: "without a pair",
}
"""By verdict."""


def _about(maps: Maps, rows: Sequence[Mapping[str, Any]]) -> str:
    told = [
        _verdicts(subset, [row for row in rows if (row["sample"], row["subset"]) == (FULL, subset)])
        for subset in SUBSETS
    ]
    left = [
        f"{row['attack']} {row['ratio_to_full']:.2f}"
        for row in rows
        if (row["sample"], row["subset"]) == (FIXED, "successful") and row["ratio_to_full"] is not None
    ]
    if left:
        told.append(
            "with the clean class as selector this share of it is left, the rest is the selector's doing: "
            + ", ".join(left)
        )
    return f"{capital(maps.title)}: {'; '.join(told)}."


def _verdicts(subset: str, rows: Sequence[Mapping[str, Any]]) -> str:
    groups: dict[str, list[str]] = {}
    for row in rows:
        probability = "" if row["probability"] is None else f" (P = {row['probability']:.2f})"
        groups.setdefault(_SAID[row["verdict"]], []).append(f"{row['attack']}{probability}")
    return f"on {subset} pairs the shift is " + ", ".join(
        f"{how} for {_listed(names)}" for how, names in groups.items()
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _table(maps: Maps, rows: Sequence[Mapping[str, Any]]) -> Table:
    header = [
        "attack",
        "compared with the natural image",
        "pairs",
        "n",
        "mean L2",
        "different images",
        "P(X > Y)",
        "p, two-sided; direction",
        "than different images",
        "ratio to the full shift",
    ]
    lines = [
        [
            row["attack"],
            "another of the same class" if row["sample"] == SAME else row["sample"],
            row["subset"],
            row["n"],
            row["mean"],
            row["mean_different"],
            _spread(row["probability"], row["low"], row["high"]),
            None if row["p_value"] is None else f"{row['p_value']:.2g}, {row['direction']}",
            row["verdict"],
            _spread(row["ratio_to_full"], row["ratio_low"], row["ratio_high"]),
        ]
        for row in rows
        if row["map"] == maps.name
    ]
    other = next(row["n_different"] for row in rows if row["map"] == maps.name)
    low, high = NEGLIGIBLE
    note = (
        f"Scale: {maps.scale}. X: distances of this row; Y: those of {other} disjoint pairs of different natural "
        "images, drawn from the other half of the test images. Mann-Whitney U in float64, P(X > Y) = U / (n m) with "
        "ties counted half, 95 % bootstrap interval over both samples. As large: the interval lies within "
        f"[{low}, {high}] (Vargha & Delaney's negligible difference); larger, smaller: it excludes .5. Classes are "
        "the classifier's predictions."
    )
    return Table(capital(maps.title), header, lines, note)


def _spread(value: float | None, low: float | None, high: float | None) -> str | None:
    return None if value is None or low is None or high is None else str(Interval(value, low, high))


def _figures(study: Study, measured: Sequence[Measured], dealt: Draw) -> dict[str, bytes]:
    return {
        "" if subset == "all" else subset: sample_boxes(
            f"Distance of maps from the natural image's, {subset} pairs",
            {f"{each.maps.title}, L2": _groups(study, each, subset, dealt) for each in measured},
            f"Boxes: quartiles; whiskers: 5 % to 95 %; dashed: the median of {DIFFERENT}.",
        )
        for subset in SUBSETS
    }


def _groups(study: Study, measured: Measured, subset: str, dealt: Draw) -> dict[str, dict[str, list[float]]]:
    """Return distances by group (natural images, then the attacks) and sample."""
    groups: dict[str, dict[str, list[float]]] = {"natural": {DIFFERENT: measured.different.tolist()}}
    for (attack, sample), values in measured.samples.items():
        chosen = _chosen(study, attack, subset, dealt)
        groups.setdefault(attack or "natural", {})[sample] = values[chosen].tolist()
    return groups


def _flags(study: Study, measured: Sequence[Measured], dealt: Draw) -> list[Flag]:
    never = [name for name in study.attacks if not study.under(name).subsets["successful"][dealt.twins].any()]
    return [
        Flag("Attacks succeed", bool(never), _success(never)),
        *(
            Flag(
                f"{capital(each.maps.title)} are deterministic",
                each.repeated > 0,
                f"Maps of the same images made twice differ by at most {each.repeated:.2g} in L2.",
            )
            for each in measured
        ),
    ]


def _success(never: Sequence[str]) -> str:
    if never:
        return f"There is no successful pair under {', '.join(never)}: its subset is empty."
    return "Every attack has successful pairs among the compared images."
