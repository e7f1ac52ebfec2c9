"""The one table of detection metrics (PROTOCOL B): their meanings, their computation, and the tables with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import torch
from torch import Tensor

from detectors import metrics
from detectors.calibration import threshold
from experiments.results.bootstrap import Interval
from experiments.results.levels import WORKING_RATE
from experiments.study.contenders import Contender

SMALLEST_CALIBRATION: Final = {0.01: 1000}
"""The smallest number of calibration images at which a false-positive rate is reported."""


@dataclass(frozen=True)
class PairScores:
    """A detector's scores of pairs under one attack.

    Attributes:
        contender: Its calibration scores give the thresholds.
        clean, adversarial: (n,) scores of the images.
        rounded: (n,) scores of the adversarial images rounded to 8 bits.
        noise: (n,) scores of clean images with noise of the same norms.
        right: (n,) bool, whether the classifier is right before the attack.
        fooled: (n,) bool, whether it is right before and wrong after.
        interval: Interval of the AUROC; None: not computed.
    """

    contender: Contender
    clean: Tensor
    adversarial: Tensor
    rounded: Tensor
    noise: Tensor
    right: Tensor
    fooled: Tensor
    interval: Interval | None = None

    def of(self, pairs: Tensor) -> "PairScores":
        """Return the scores of some pairs, (n,) bool."""
        tensors = ("clean", "adversarial", "rounded", "noise", "right", "fooled")
        selected: dict[str, Any] = {name: getattr(self, name)[pairs] for name in tensors}
        return replace(self, **selected)

    @property
    def evaded(self) -> Tensor:
        """(n,) bool, whether the attack fools the classifier and passes the working threshold."""
        return self.fooled & accepted(self.contender, self.adversarial)


Protocol = Literal["transfer", "threshold"]
TableName = Literal["transfer", "threshold", "left out", "pipelines"]
Compute = Callable[[PairScores], float | None]


@dataclass(frozen=True)
class Metric:
    """A column of the detection records.

    Attributes:
        meaning: For the meta data.
        compute: Takes scores of pairs; None where the metric is not defined, as of no pairs.
        title: Title of its tables.
        short: Header of its columns, if it differs from the title.
        rate: False-positive rate of its threshold; None: it has no threshold of the calibration images.
        tables: Which tables show it: its place among their metrics, lowest first, and for which subsets of the pairs.
        protocols: The protocols whose records have it.
        subsets: The subsets of the pairs that it is computed on; records of others have null.
        of_all: Whether it is computed from all pairs, whatever the record's subset.
        of_right: Whether it is a share of the images that the classifier gets right; else it is of all pairs.
    """

    key: str
    meaning: str
    compute: Compute
    title: str = ""
    short: str = ""
    rate: float | None = None
    tables: Mapping[TableName, tuple[int, Sequence[str]]] = field(default_factory=dict)
    protocols: Sequence[Protocol] = ("transfer", "threshold")
    subsets: Sequence[str] = ("all", "successful", "failed")
    of_all: bool = False
    of_right: bool = False

    @property
    def name(self) -> str:
        """In the header of a column."""
        return self.short or self.title


def _of_pairs(function: Callable[[Tensor, Tensor], float | None]) -> Compute:
    return lambda scores: function(scores.clean, scores.adversarial)


def _accuracy(scores: PairScores) -> float | None:
    learnt = scores.contender.trained_on is not None
    return metrics.balanced_accuracy(scores.clean, scores.adversarial) if learnt else None


def _share(chosen: Tensor, among: Tensor) -> float | None:
    return chosen.sum().item() / count if (count := among.sum().item()) else None


def _end(name: Literal["low", "high"]) -> Compute:
    return lambda scores: None if scores.interval is None else getattr(scores.interval, name)


def _tpr(rate: float, tables: Mapping[TableName, tuple[int, Sequence[str]]]) -> Metric:
    few = SMALLEST_CALIBRATION.get(rate)
    return Metric(
        f"tpr_at_{100 * rate:g}_fpr",
        f"threshold from the clean calibration images{f'; null below {few} of them' if few else ''}",
        lambda scores: rate_flagged(scores.contender, scores.adversarial, rate),
        title=f"TPR at {100 * rate:g} % FPR",
        rate=rate,
        tables=tables,
    )


_ALL, _FOOLED, _EVERY = ("all",), ("all", "successful"), ("all", "successful", "failed")
_TRANSFER: Final[Sequence[Protocol]] = ("transfer",)

METRICS: Final[Sequence[Metric]] = (
    Metric(
        "accuracy",
        "balanced, at probability .5; null for a training-free detector",
        _accuracy,
        title="Balanced accuracy at probability .5 (the paper's number)",
        short="balanced accuracy at probability .5",
        tables={"transfer": (4, _FOOLED), "threshold": (2, _FOOLED), "pipelines": (4, _ALL)},
    ),
    Metric(
        "auroc",
        "adversarial images against clean ones",
        _of_pairs(metrics.auroc),
        title="AUROC",
        tables={"transfer": (1, _EVERY), "threshold": (1, _FOOLED), "left out": (1, _ALL), "pipelines": (1, _ALL)},
    ),
    Metric("average_precision", "area under precision over recall", _of_pairs(metrics.average_precision)),
    _tpr(0.01, {}),
    _tpr(0.05, {"transfer": (2, _FOOLED), "threshold": (3, _FOOLED), "left out": (2, _ALL), "pipelines": (3, _ALL)}),
    _tpr(0.1, {"transfer": (3, _ALL)}),
    Metric("fpr_at_95_tpr", "threshold from the test images", _of_pairs(metrics.fpr_at_tpr)),
    Metric(
        "realised_fpr",
        "of the 5 % threshold, on all clean test images",
        lambda scores: rate_flagged(scores.contender, scores.clean),
        rate=WORKING_RATE,
        protocols=_TRANSFER,
        of_all=True,
    ),
    Metric(
        "attack_success_rate",
        "of the images that the classifier gets right, those that the attack turns wrong",
        lambda scores: _share(scores.fooled, scores.right),
        protocols=_TRANSFER,
        of_all=True,
    ),
    Metric("auroc_low", "95 % bootstrap interval over images", _end("low"), protocols=_TRANSFER, subsets=_ALL),
    Metric("auroc_high", "95 % bootstrap interval over images", _end("high"), protocols=_TRANSFER, subsets=_ALL),
    Metric(
        "auroc_against_noise",
        "adversarial images against clean ones with noise of the same norms, pixels permuted",
        lambda scores: metrics.auroc(scores.noise, scores.adversarial),
        title="Adversarial or just noisy: AUROC against norm-matched noise",
        short="AUROC against norm-matched noise",
        tables={"transfer": (5, _FOOLED), "threshold": (4, _ALL), "pipelines": (2, _ALL)},
    ),
    Metric(
        "noise_flagged",
        "share of such noise above the 5 % threshold",
        lambda scores: rate_flagged(scores.contender, scores.noise),
        title="Adversarial or just noisy: share of norm-matched noise flagged at 5 % FPR",
        rate=WORKING_RATE,
        tables={"transfer": (6, _ALL)},
        protocols=_TRANSFER,
    ),
    Metric(
        "auroc_rounded",
        "adversarial images rounded to 8 bits against clean ones",
        lambda scores: metrics.auroc(scores.clean, scores.rounded),
        title="AUROC of adversarial images rounded to 8 bits",
        tables={"transfer": (7, _ALL), "threshold": (5, _ALL)},
    ),
    Metric(
        "success_at_5_fpr",
        "SR@5, of the images that the classifier gets right, those wrong after the attack and accepted at the 5 % "
        "threshold (Bryniarski et al., 2021, count images that reach a target class; an untargeted attack wins by any "
        "other class, which is easier)",
        lambda scores: _share(scores.evaded, scores.right),
        title="The attacker's success (SR@5): wrong and accepted at 5 % FPR",
        short="attacker's success at 5 % FPR",
        rate=WORKING_RATE,
        tables={"transfer": (8, _ALL), "pipelines": (5, _ALL)},
        protocols=_TRANSFER,
        subsets=_ALL,
        of_right=True,
    ),
)
"""In the order of the records' fields."""


def metrics_of(protocol: Protocol) -> list[Metric]:
    """Return the metrics in a protocol's records, in their order."""
    return [metric for metric in METRICS if protocol in metric.protocols]


def shown_in(table: TableName) -> list[Metric]:
    """Return the metrics that a table shows, in its order."""
    return sorted((metric for metric in METRICS if table in metric.tables), key=lambda metric: metric.tables[table][0])


def measure(
    protocol: Protocol, scores: PairScores, subsets: Mapping[str, Tensor]
) -> Iterator[tuple[str, int, dict[str, float | None]]]:
    """Yield the name of each subset, (M,) bool of all pairs, its number of pairs, and the metrics by key."""
    for subset, pairs in subsets.items():
        part = scores.of(pairs)
        values = {
            metric.key: metric.compute(scores if metric.of_all else part) if subset in metric.subsets else None
            for metric in metrics_of(protocol)
        }
        yield subset, int(pairs.sum()), values


def limit(contender: Contender, rate: float = WORKING_RATE) -> float | None:
    """Return the threshold at a false-positive rate; None where the calibration images are too few for it."""
    if len(contender.calibration) < SMALLEST_CALIBRATION.get(rate, 0):
        return None
    return threshold(contender.calibration, rate)


def rate_flagged(contender: Contender, scores: Tensor, rate: float = WORKING_RATE) -> float | None:
    """Return the share of scores above the threshold at a false-positive rate; None without threshold or scores."""
    at = limit(contender, rate)
    return None if at is None else metrics.rate_above(scores, at)


def accepted(contender: Contender, scores: Tensor, rate: float = WORKING_RATE) -> Tensor:
    """Return (n,) bool: which images pass the threshold; without a threshold all do."""
    at = limit(contender, rate)
    return torch.ones_like(scores, dtype=torch.bool) if at is None else scores <= at
