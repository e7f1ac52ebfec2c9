"""Means over explanations with bootstrap intervals that resample photographs, and what follows from them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor

from experiments.explanation.recover.recovered import PERTURBATION, RANDOM, UNIONS, Recovered, Recovery
from experiments.results.bootstrap import Interval, Resampling, interval
from experiments.results.verdicts import Claim, Verdict
from saliency.recovery import ranks

THREE: Final = ("gradient", "guided_backprop", "lime")
"""The paper's methods: classic saliency, guided backpropagation, LIME."""

PAPER: Final[Mapping[str, tuple[float, float]]] = {
    "gradient": (2.58, 2.59),
    "guided_backprop": (2.06, 2.03),
    "lime": (1.36, 1.38),
}
"""Mean ranks by Jaccard index and by likeness, Goepfert et al., Table 1."""

LEARNT: Final = "learnt"

FEWEST: Final = 10
"""Photographs below which nothing is decided."""


class Measured:
    """Statistics of a study; all intervals are of the same resamples of photographs, so they are paired.

    Args:
        found: All methods on all adversarial images.
        sources: (M,), the photograph behind each adversarial image.
        resamples: Of the bootstrap.
    """

    def __init__(self, found: Recovered, sources: Tensor, resamples: int) -> None:
        self.found = found
        photographs, self._of = torch.unique(sources, return_inverse=True)
        self.photographs = len(photographs)
        self.explanations = len(sources)
        self._counts = torch.bincount(self._of)
        self._drawn = Resampling(self.photographs, resamples)

    def mean(self, values: Tensor) -> Interval:
        """Return the mean of values (M,) or (M, n) with its interval: a photograph counts with all its regions."""
        each = values.double().flatten(1).mean(1) if values.ndim > 1 else values.double()
        sums = torch.zeros(self.photographs, dtype=torch.float64).index_add_(0, self._of, each)
        return interval(each.mean().item(), self._drawn.ratio(sums, self._counts))

    def difference(self, name: str, other: str = RANDOM, of: str = "jaccard") -> Interval:
        """Return by how much a method is ahead of another.

        Args:
            name: Of the method.
            other: Of the other.
            of: A measure, the name of an attribute of `Recovery`.
        """
        first, second = (getattr(self.methods[each], of) for each in (name, other))
        return self.mean(first - second)

    def behind_lime(self, name: str) -> Interval:
        """Return by how much LIME is ahead of a method whose map is averaged over LIME's superpixels (Jaccard)."""
        return self.mean(self.methods["lime"].jaccard - self.found.pooled[name].jaccard)

    @property
    def methods(self) -> Mapping[str, Recovery]:
        """All methods, the controls last."""
        return self.found.methods

    @cached_property
    def maps(self) -> list[str]:
        """The names of the methods that are no controls."""
        return [name for name in self.methods if name not in {PERTURBATION, RANDOM}]

    @cached_property
    def three(self) -> list[str]:
        """Which of the paper's methods there are."""
        return [name for name in THREE if name in self.methods]

    @cached_property
    def ranks_of_three(self) -> dict[str, dict[str, Tensor]]:
        """Ranks (M, 20) of the paper's methods among themselves, by measure and name."""
        return self._ranks(self.three)

    @cached_property
    def ranks_of_all(self) -> dict[str, dict[str, Tensor]]:
        """Ranks (M, 20) of all methods and random noise, by measure and name; not of the positive control."""
        return self._ranks([*self.maps, RANDOM])

    def _ranks(self, names: Sequence[str]) -> dict[str, dict[str, Tensor]]:
        return {
            measure: dict(
                zip(names, ranks(torch.stack([getattr(self.methods[each], measure) for each in names])), strict=True)
            )
            for measure in ("jaccard", "likeness")
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return records: of each method over all unions (union: null), and for each union."""
        return [self._row(name, union) for name in self.methods for union in (None, *range(1, UNIONS + 1))]

    def _row(self, name: str, union: int | None) -> dict[str, Any]:
        method, noise = self.methods[name], self.methods[RANDOM]
        at = slice(None) if union is None else slice(union - 1, union)
        whole = union is None
        values = {
            "jaccard": self.mean(method.jaccard[:, at]),
            "jaccard_minus_random": self.mean((method.jaccard - noise.jaccard)[:, at]),
            "likeness": self.mean(method.likeness[:, at]),
            "likeness_minus_random": self.mean((method.likeness - noise.likeness)[:, at]),
            "jaccard_at_region_size": self.mean(method.level) if whole else None,
            "jaccard_at_region_size_minus_random": self.difference(name, of="level") if whole else None,
            "auroc": self.mean(method.auroc) if whole else None,
        }
        for group, by_measure in (("three", self.ranks_of_three), ("all", self.ranks_of_all)):
            for measure, by_name in by_measure.items():
                ranked = by_name.get(name)
                values[f"rank_among_{group}_{measure}"] = None if ranked is None else self.mean(ranked[:, at])
        return {
            "method": name,
            "union": union,
            "explanations": self.explanations * (UNIONS if whole else 1),
            "adversarial_images": self.explanations,
            "photographs": self.photographs,
            "size_share": (self.found.sizes[:, at].double().mean() / self.found.pixels).item(),
            **{key: end for label, value in values.items() for key, end in _ends(label, value)},
        }


def _ends(label: str, value: Interval | None) -> list[tuple[str, float | None]]:
    if value is None:
        return [(label, None), (f"{label}_low", None), (f"{label}_high", None)]
    return [(label, value.value), (f"{label}_low", value.low), (f"{label}_high", value.high)]


def judged(measured: Measured) -> list[Claim]:
    """Return the findings; each is a set of differences that must all be above 0, or one that any must be."""
    missing = [name for name in THREE if name not in measured.methods]
    lacks = f"the methods lack {' and '.join(missing)}" if missing else None
    against = {name: measured.difference(name) for name in measured.three}
    order = {} if missing else _order(measured)
    learnt = {LEARNT: measured.difference(LEARNT)} if LEARNT in measured.methods else {}
    rivals = {name: measured.difference(name, "lime") for name in measured.maps if name != "lime"}
    pooled = {name: measured.behind_lime(name) for name in measured.found.pooled if name in measured.maps}
    few = (
        f"{measured.photographs} photographs are too few to decide, it takes {FEWEST}; "
        if measured.photographs < FEWEST
        else ""
    )

    def finding(number: str, text: str, found: Mapping[str, Interval], without: str | None, *, every: bool) -> Claim:
        if without is not None:
            return Claim(number, text, "not decided", without)
        shown = found if every else dict([max(found.items(), key=lambda pair: pair[1].value)])
        told = few + ", ".join(f"{name} {each}" for name, each in shown.items())
        return Claim(number, text, "not decided" if few else decide(list(found.values()), every=every), told)

    return [
        finding(
            "R1",
            "each of the paper's three methods recovers regions better than random (Jaccard index)",
            against,
            lacks,
            every=True,
        ),
        finding(
            "R2",
            "LIME ranks before guided backpropagation, and that before classic saliency (mean ranks)",
            order,
            lacks,
            every=True,
        ),
        finding(
            "A",
            "the learnt model recovers regions better than random (Jaccard index)",
            learnt,
            None if learnt else "there is no learnt model of these images and classes",
            every=True,
        ),
        finding(
            "B",
            "some method recovers regions better than LIME (Jaccard index)",
            rivals,
            None if rivals else "there is no other method",
            every=False,
        ),
        finding(
            "C",
            "LIME is ahead by its weights, not by its superpixels alone: it stays ahead of all other maps when these "
            "are averaged over the same superpixels (Jaccard index)",
            pooled,
            None if pooled else "there is no other method",
            every=True,
        ),
    ]


def decide(found: Sequence[Interval], *, every: bool) -> Verdict:
    """Return the verdict on differences that are claimed to be above 0.

    Args:
        found: At least one.
        every: Whether all must be; else it takes one, at a level that is not corrected for their number.
    """
    above, below = [each.low > 0 for each in found], [each.high < 0 for each in found]
    if every:
        return "holds" if all(above) else "does not hold" if any(below) else "not decided"
    return "holds" if any(above) else "does not hold" if all(below) else "not decided"


def _order(measured: Measured) -> dict[str, Interval]:
    """Return by how many ranks each of the paper's methods is ahead of the next; by likeness they rank alike."""
    of = measured.ranks_of_three["jaccard"]
    return {
        f"{worse} minus {better}": measured.mean(of[worse] - of[better])
        for better, worse in (("lime", "guided_backprop"), ("guided_backprop", "gradient"))
    }
