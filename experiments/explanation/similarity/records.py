"""Records of the similarities: a mean for each method, measure, version and subset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from experiments.explanation.similarity import paper
from experiments.explanation.similarity.measured import METRICS, OTHERS, Measured
from experiments.explanation.similarity.versions import Version
from experiments.results.bootstrap import Estimates, Interval, average

SUBSETS = ("all", "fooled", "not fooled")


@dataclass(frozen=True)
class Similarities:
    """The similarities of a study, by what they are asked for.

    Attributes:
        measured: Of all methods and versions.
        estimates: Draws the images.
    """

    measured: Measured
    estimates: Estimates
    _areas: dict[tuple[str, str, float], Interval | None] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def paper(self) -> Mapping[str, str]:
        """What the paper's methods are called here."""
        return paper.names_of(self.measured.explained.methods)

    @property
    def methods(self) -> list[str]:
        """The paper's methods, then the others."""
        first = list(self.paper.values())
        return [*first, *(name for name in self.measured.explained.methods if name not in first)]

    @property
    def targeted_methods(self) -> list[str]:
        """Those whose maps under targeted attacks were compared."""
        return [name for name in self.methods if self.measured.targeted(name)]

    @property
    def targets(self) -> list[Version]:
        """The versions of the targeted attack."""
        plan = self.measured.plan
        return [Version("targeted", plan.targeted_epsilon, target) for target in plan.targets]

    @property
    def untargeted(self) -> list[Version]:
        """The versions of the untargeted attack."""
        return [Version("untargeted", epsilon) for epsilon in self.measured.plan.epsilons]

    @cached_property
    def contested(self) -> float:
        """The epsilon at which the share of fooled images is nearest to a half: both groups have images there."""
        shares = {each: self.measured.fooled(each).double().mean().item() for each in self.untargeted}
        nearest = min(shares, key=lambda version: abs(shares[version] - 0.5))
        return self.measured.plan.epsilons[self.untargeted.index(nearest)]

    def of(self, method: str, metric: str, version: Version, subset: str = "all") -> Tensor:
        """Return similarities (n,), NaN of images that are not in the subset."""
        values = self.measured.alike[method, version][metric]
        if subset == "all":
            return values
        fooled = self.measured.fooled(version)
        return values.masked_fill(~fooled if subset == "fooled" else fooled, torch.nan)

    def mean(self, method: str, metric: str, version: Version, subset: str = "all") -> Interval | None:
        """Return the mean; None if there is no such similarity."""
        if (method, version) not in self.measured.alike:
            return None
        return self.estimates.mean(self.of(method, metric, version, subset))

    def over(self, method: str, metric: str, versions: Sequence[Version]) -> Tensor:
        """Return each image's mean (n,) over versions."""
        return average([self.of(method, metric, version) for version in versions])

    def pair(self, method: str, metric: str, epsilon: float) -> tuple[Tensor, Tensor]:
        """Return what an oracle tells apart: similarities under noise, and under the attack of the same epsilon."""
        noise, attack = (Version(kind, epsilon) for kind in ("sign noise", "untargeted"))
        return self.of(method, metric, noise), self.of(method, metric, attack)

    def auroc(self, method: str, metric: str, epsilon: float) -> Interval | None:
        """Return the oracle's AUROC; see `Estimates.auroc`."""
        key = method, metric, epsilon
        if key not in self._areas:  # records, tables and the finding ask for the same ones
            self._areas[key] = self.estimates.auroc(*self.pair(method, metric, epsilon))
        return self._areas[key]

    def undefined(self, method: str, metric: str) -> tuple[int, int]:
        """Return how many similarities of a method are not defined, and of how many."""
        values = [found[metric] for (name, _), found in self.measured.alike.items() if name == method]
        return sum(int(each.isnan().sum()) for each in values), sum(len(each) for each in values)

    def reported(self, method: str, metric: str, version: Version) -> float | None:
        """Return what the paper reports for it; None if it does not."""
        name = next((known for known, mine in self.paper.items() if mine == method), None)
        if name is None or version.epsilon is None or version.kind != "untargeted":
            return None
        return paper.untargeted(name, metric, version.epsilon)


def records(found: Similarities) -> Iterator[dict[str, Any]]:
    """Yield a record for each method, measure, version and subset; and for all targets together."""
    for (method, version), likeness in found.measured.alike.items():
        for metric in likeness:
            for subset in SUBSETS if version.kind == "untargeted" else SUBSETS[:1]:
                yield _record(found, method, metric, version, subset)
    for method in found.targeted_methods:
        for metric in (*METRICS, *OTHERS):
            values = found.over(method, metric, found.targets)
            name = next((known for known, mine in found.paper.items() if mine == method), "")
            reported = paper.targeted(name, metric, found.measured.plan.targeted_epsilon)
            yield _line(method, metric, Version("targeted", found.measured.plan.targeted_epsilon), "all targets") | (
                _stated(values, found.estimates.mean(values)) | {"paper": reported}
            )


def _record(found: Similarities, method: str, metric: str, version: Version, subset: str) -> dict[str, Any]:
    values = found.of(method, metric, version, subset)
    record = _line(method, metric, version, subset) | _stated(values, found.estimates.mean(values))
    if subset != "all":
        within = found.measured.fooled(version) == (subset == "fooled")
        record["undefined"] = int((values.isnan() & within).sum())
    record["paper"] = found.reported(method, metric, version) if subset == "all" else None
    if version.kind == "untargeted" and subset == "all" and version.epsilon is not None:
        auroc = found.auroc(method, metric, version.epsilon)
        if auroc is not None:
            record |= {"auroc": auroc.value, "auroc_low": auroc.low, "auroc_high": auroc.high}
    return record


def _line(method: str, metric: str, version: Version, subset: str) -> dict[str, Any]:
    """Return a record without numbers, with all its keys."""
    keys = ("n", "undefined", "mean", "low", "high", "paper", "auroc", "auroc_low", "auroc_high")
    return {
        "method": method,
        "metric": metric,
        "version": version.kind,
        "epsilon": version.epsilon,
        "target": version.target,
        "subset": subset,
        **dict.fromkeys(keys),
    }


def _stated(values: Tensor, mean: Interval | None) -> dict[str, Any]:
    undefined = int(values.isnan().sum())
    return {
        "n": len(values) - undefined,
        "undefined": undefined,
        "mean": None if mean is None else mean.value,
        "low": None if mean is None else mean.low,
        "high": None if mean is None else mean.high,
    }
