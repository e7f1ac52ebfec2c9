"""The statistics of similarities as plain records, and the paired comparisons for the paper's findings."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import product
from typing import Final

import torch

from experiments.explanation.similarity.changes import CLEAN
from experiments.explanation.similarity.paper import GRAD_CAM
from experiments.explanation.similarity.records import (
    LITTLE,
    METRICS,
    OTHERS,
    Compared,
    Comparisons,
    Setting,
    SimilarityRecords,
)
from experiments.explanation.similarity.similarities import Similarities
from experiments.results.bootstrap import PlainStatistic, Statistic, as_plain, mean_of


def records_of(maps: Similarities) -> SimilarityRecords:
    """Return all statistics as plain numbers."""
    keys = product(maps.methods, (*METRICS, *OTHERS), maps.settings.epsilons)
    areas = {key: next(iter(maps.oracle(key[1], key[2], [key[0]])), None) for key in keys}
    targeted = maps.settings.targeted
    return SimilarityRecords(
        **{field.name: getattr(maps, field.name) for field in fields(Setting)},
        count=maps.count,
        fooled={change: int(maps.fooled(change).sum()) for change in maps.predictions},
        means=dict(maps.means()),
        aurocs={key: as_plain(area) for key, area in areas.items()},
        reached=list(map(as_plain, _reached(maps))),
        targets_reached=sum(bool(((maps.predictions[a] == a.target) & maps.fooled(a)).any()) for a in targeted),
        comparisons=Comparisons(
            with_papers=_against(maps, list(maps.paper.values())),
            with_all=_against(maps, [name for name in maps.methods if name not in maps.random]),
            falls=_falls(maps),
            little=_little(maps),
            detects_best=_detects_best(maps),
        ),
    )


_NOTHING: Final = Compared(None, {})


def _reached(maps: Similarities) -> list[Statistic | None]:
    """Return for each target the share of images that reach it (of those not predicted as it before), then the mean."""
    before = maps.predictions[CLEAN]
    reached = [
        (maps.predictions[attack] == attack.target).double().masked_fill(before == attack.target, torch.nan)  # type: ignore[attr-defined]
        for attack in maps.settings.targeted
    ]
    return [maps.statistic(values) for values in (*reached, torch.stack(reached).nanmean(0))]


def _against(maps: Similarities, methods: Sequence[str]) -> Compared:
    """Compare Grad-CAM's similarities with those of other methods, untargeted and targeted."""
    cam = maps.paper.get(GRAD_CAM)
    differences: dict[str, PlainStatistic | None] = {}
    for attack, changes in (("untargeted", maps.settings.untargeted), ("targeted", maps.settings.targeted)):
        for other in methods:
            if cam and other != cam and all((name, changes[0]) in maps.alike for name in (other, cam)):
                for metric, title in METRICS.items():
                    ours, theirs = (maps.over(name, metric, changes) for name in (cam, other))
                    differences[f"{other}, {title}, {attack}"] = as_plain(maps.statistic(theirs - ours))
    return Compared(f"another method minus {cam}" if differences else None, differences)


def _falls(maps: Similarities) -> Compared:
    first, last = maps.settings.untargeted[0], maps.settings.untargeted[-1]
    if first == last or not maps.paper:
        return _NOTHING
    falls = {
        name: as_plain(maps.statistic(maps.of(method, metric, first) - maps.of(method, metric, last)))
        for name, method, metric in _measures(list(maps.paper.values()))
    }
    return Compared(f"epsilon {first.epsilon:g} minus epsilon {last.epsilon:g}", falls)


def _little(maps: Similarities) -> Compared:
    methods = [name for name in maps.paper.values() if name in maps.targeted_methods]
    if not methods or len(maps.settings.targets) < 2:  # noqa: PLR2004 - one has no variance
        return _NOTHING
    below = {name: as_plain(_below_little(maps, method, metric)) for name, method, metric in _measures(methods)}
    return Compared(f"{LITTLE} minus the standard deviation between targets", below)


def _below_little(maps: Similarities, method: str, metric: str) -> Statistic | None:
    """Return `LITTLE` minus the standard deviation between the targets' means; None if one has no mean."""
    values = [maps.of(method, metric, attack) for attack in maps.settings.targeted]
    means = [mean for of_target in values if (mean := mean_of(of_target, maps.resampling)) is not None]
    if len(means) < len(values):
        return None
    spread = torch.tensor([mean.value for mean in means], dtype=torch.float64).std(correction=0).item()
    replicates = torch.stack([mean.replicates for mean in means]).std(0, correction=0)
    return Statistic(LITTLE - spread, LITTLE - replicates, min(mean.n for mean in means))


def _detects_best(maps: Similarities) -> Compared:
    cam, epsilon = maps.paper.get(GRAD_CAM), maps.settings.reference
    others = [name for name in maps.paper.values() if name != cam]
    if cam is None or not others:
        return _NOTHING
    pairs = {name: maps.oracle(metric, epsilon, [cam, other]) for name, other, metric in _measures(others)}
    ahead = {name: pair[0].minus(pair[1]).plain if pair else None for name, pair in pairs.items()}
    return Compared(f"AUROC of {cam} minus another's at epsilon {epsilon:g}", ahead)


def _measures(methods: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, method and measure of each comparison."""
    for method in methods:
        for metric, title in METRICS.items():
            yield f"{method}, {title}", method, metric
