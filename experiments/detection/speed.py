"""`evaluate.py speed`: what a detector costs beside its classifier (Schut & Gal, 2020: a real-time defense)."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from experiments.detection.timing import device_name, timed
from experiments.results.charts import bars
from experiments.results.result import Flag, Result, Table
from experiments.study.contenders import Contender
from experiments.study.study import Study

ALONE: Final = "classifier alone"

BATCH: Final = 64
"""Images at a time for the throughput."""

_WARM_UP: Final = 3
"""Runs that are not counted."""

_UNSTEADY: Final = 2
"""How many times the median the 95th percentile may be."""

_TOLERANCE: Final = 1e-4
"""How far two ways to the same score may lie apart, of the largest score."""


@dataclass(frozen=True)
class System:
    """What is timed.

    Attributes:
        name: Of the row.
        contender: The detector; None: the classifier alone.
        run: Takes images (N, C, H, W), gives logits (N, K) and, with a detector, scores (N,).
    """

    name: str
    contender: Contender | None
    run: "_Alone | _Joint | _Beside"


class _Alone(nn.Module):
    """The classifier."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.classifier(images),)


class _Joint(nn.Module):
    """A detector that gives class and score at once."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    @property
    def classifier(self) -> nn.Module:
        """The attacked classifier."""
        return cast("nn.Module", self.detector.classifier)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        joint = cast("Callable[[Tensor], tuple[Tensor, ...]]", self.detector.joint)
        return joint(images)


class _Beside(nn.Module):
    """A classifier and a detector that gives scores alone; where it asks the same classifier, the pass is shared."""

    def __init__(self, classifier: nn.Module, detector: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.remembered = _Remembered(classifier)
        self.detector = deepcopy(detector)
        if getattr(detector, "classifier", None) is classifier:
            self.detector.classifier = self.remembered

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self.remembered(images), self.detector(images)
        self.remembered.last = None
        return outputs


class _Remembered(nn.Module):
    """A model that is not asked twice about the same tensor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.last: tuple[Tensor, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        if self.last is None or self.last[0] is not images:
            self.last = images, self.model(images)
        return self.last[1]


def speed(study: Study) -> Result:
    """Return what each detector costs in time, parameters and operations.

    Args:
        study: Of a run whose detectors are trained; its option `repeats` is how often each time is taken.

    Raises:
        FileNotFoundError: If a stage is missing; says which command makes it.
        ValueError: If `repeats` is below 1.
    """
    repeats = study.options["repeats"]
    if repeats < 1:
        msg = f"repeats must be at least 1, got {repeats}"
        raise ValueError(msg)
    systems = systems_of(study)
    clean = study.images.clean
    batch = clean[torch.arange(BATCH) % len(clean)].to(study.device)
    single = _times(study, systems, batch[:1], repeats, "latency at batch 1")
    many = _times(study, systems, batch, max(repeats // 10, 3), f"throughput at batch {BATCH}")
    rows = _rows(systems, batch, single, many)
    meta = study.meta() | {
        "device_name": device_name(study.device),
        "threads": torch.get_num_threads(),
        "repeats": {"latency": len(single[0]), "throughput": len(many[0])},
        "shape": list(clean.shape[1:]),
        "fields": _FIELDS,
    }
    return Result(
        protocol="speed",
        title="Cost of the defense",
        question="How much longer does a decision take with a detector than with the classifier alone, and what does "
        "the detector need?",
        finding=_finding(rows, meta),
        meta=meta,
        rows=rows,
        tables=[_table(rows, meta)],
        figures={"": _picture(rows, meta)},
        flags=[_unsteady(rows), _same_scores(systems, batch)],
    )


_FIELDS: Final = {
    "latency_ms": "median time of one image, in milliseconds",
    "latency_p95_ms": "95th percentile of it",
    "throughput": f"images per second in batches of {BATCH}, from the median time",
    "latency_ratio, time_ratio": f"time per image over that of the classifier alone, at batch 1 and at batch {BATCH}",
    "trained_parameters": "of the detector's own network; of the classifier's, for the classifier alone",
    "parameters": "of all networks that class and score depend on, the classifier among them",
    "flops": "per image, a multiplication and an addition are two; convolutions and matrix products only",
    "classifier_passes": "how often the classifier is asked for a class and a score",
}


def systems_of(study: Study) -> list[System]:
    """Return the classifier alone, and with the first contender of each name."""
    classifier = study.classifier
    first: dict[str, Contender] = {}
    for contender in study.contenders:
        first.setdefault(contender.name, contender)
    systems = [System(ALONE, None, _Alone(classifier))]
    for name, contender in first.items():
        module = contender.module
        run = _Joint(module) if hasattr(module, "joint") else _Beside(classifier, module)
        systems.append(System(name, contender, run))
    for system in systems:
        system.run.eval()
    return systems


@torch.no_grad()
def flops(system: System, images: Tensor) -> float:
    """Return the floating-point operations per image (N, C, H, W): convolutions and matrix products, also backward."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with counter:
        system.run(images)
    return float(counter.get_total_flops() / len(images))


class _NoModules(nullcontext[None]):
    """In place of the counter's own account by module, whose hooks forbid gradients with respect to an input."""

    parents = frozenset({"Global"})


def parameters(system: System, images: Tensor) -> int:
    """Return how many parameters the logits and scores depend on; one that two networks share counts once.

    Stages hold more than is needed to detect (the saliency model's black box, for one). What is needed is what a
    gradient reaches; a copy of the system is asked, so that nothing of it changes.

    Args:
        system: The system.
        images: (N, C, H, W), N at least 1.
    """
    copy = deepcopy(system.run).requires_grad_(requires_grad=True)
    with torch.enable_grad():
        outputs = copy(images[:1].clone().requires_grad_())
        wanted = list(copy.parameters())
        found = torch.autograd.grad([output.sum() for output in outputs], wanted, allow_unused=True)
    used = [parameter for parameter, gradient in zip(wanted, found, strict=True) if gradient is not None]
    return sum(parameter.numel() for parameter in used)


@torch.no_grad()
def classifier_passes(system: System, images: Tensor) -> int:
    """Return how often a system asks the classifier about images (N, C, H, W)."""
    asked: list[None] = []
    handle = system.run.classifier.register_forward_hook(lambda *_: asked.append(None))
    try:
        system.run(images)
    finally:
        handle.remove()
    return len(asked)


def _times(study: Study, systems: Sequence[System], images: Tensor, repeats: int, told: str) -> list[list[float]]:
    """Return the seconds of each run of each system; they take turns, so that a busy machine slows all alike."""
    found: list[list[float]] = [[] for _ in systems]
    with torch.no_grad():
        for number in study.progress.track(range(-_WARM_UP, repeats), description=told):
            for system, times in zip(systems, found, strict=True):
                _, seconds = timed(lambda system=system: system.run(images), study.device)  # type: ignore[misc]
                if number >= 0:
                    times.append(seconds)
    return found


def _rows(
    systems: Sequence[System], batch: Tensor, single: Sequence[list[float]], many: Sequence[list[float]]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for system, alone, together in zip(systems, single, many, strict=True):
        latency, duration, work = statistics.median(alone), statistics.median(together), flops(system, batch[:1])
        first = rows[0] if rows else None
        rows.append(
            {
                "detector": system.name,
                "trained_on": system.contender.trained_on if system.contender else None,
                "seed": system.contender.seed if system.contender else None,
                "latency_ms": 1000 * latency,
                "latency_p95_ms": 1000 * torch.tensor(alone, dtype=torch.float64).quantile(0.95).item(),
                "latency_ratio": 1000 * latency / first["latency_ms"] if first else 1.0,
                "throughput": len(batch) / duration,
                "time_ratio": first["throughput"] * duration / len(batch) if first else 1.0,
                "trained_parameters": _trained(system),
                "parameters": parameters(system, batch),
                "flops": work,
                "flops_ratio": _ratio(work, first["flops"]) if first else 1.0,
                "classifier_passes": classifier_passes(system, batch[:1]),
            }
        )
    return rows


def _ratio(value: float, other: float) -> float | None:
    return value / other if other else None


def _trained(system: System) -> int:
    if system.contender is not None and system.contender.trained_on is None:
        return 0
    module = system.run if system.contender is None else system.contender.module
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _table(rows: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> Table:
    lines = [
        [
            row["detector"],
            row["latency_ms"],
            row["latency_p95_ms"],
            row["latency_ratio"],
            round(row["throughput"]),
            row["time_ratio"],
            row["trained_parameters"],
            row["parameters"],
            row["flops"] / 1e6,
            row["flops_ratio"],
        ]
        for row in rows
    ]
    twice = [row["detector"] for row in rows if row["classifier_passes"] > 1]
    return Table(
        title="Cost of a decision: class and score",
        header=[
            "system",
            "latency at batch 1, ms",
            "95th percentile, ms",
            "ratio",
            f"images/s at batch {BATCH}",
            "ratio of time",
            "parameters trained",
            "parameters in all",
            "MFLOP per image",
            "ratio of FLOP",
        ],
        rows=lines,
        note=f"{meta['device_name']} ({meta['device']}), {meta['threads']} thread(s), images "
        f"{' x '.join(map(str, meta['shape']))}; medians of {meta['repeats']['latency']} and "
        f"{meta['repeats']['throughput']} runs after {_WARM_UP} more; the systems take turns. Ratios are to the "
        "classifier alone. Times vary between runs and machines; parameters and FLOP do not. FLOP: two for a "
        "multiplication with its addition, in convolutions and matrix products, backward ones included."
        + (f" The classifier is asked more than once by {', '.join(twice)}." if twice else ""),
    )


def _picture(rows: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> bytes:
    panels: dict[str, dict[str, tuple[float, float | None, str]]] = {
        "latency at batch 1, ms (line: to the 95th percentile)": {
            row["detector"]: (row["latency_ms"], row["latency_p95_ms"], f"{row['latency_ratio']:.1f} x") for row in rows
        },
        f"time per image at batch {BATCH}, ms": {
            row["detector"]: (1000 / row["throughput"], None, f"{row['time_ratio']:.1f} x") for row in rows
        },
        "MFLOP per image": {
            row["detector"]: (
                row["flops"] / 1e6,
                None,
                "" if row["flops_ratio"] is None else f"{row['flops_ratio']:.1f} x",
            )
            for row in rows
        },
    }
    title = f"Cost of a decision on {meta['device_name']}, {meta['threads']} thread(s); x: times the classifier alone"
    return bars(title, panels)


def _finding(rows: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> str:
    alone, rest = rows[0], rows[1:]
    cheapest, dearest = (pick(rest, key=lambda row: row["latency_ratio"]) for pick in (min, max))
    quick, slow = (pick(rest, key=lambda row: row["time_ratio"]) for pick in (min, max))
    return (
        f"On {meta['device_name']} with {meta['threads']} thread(s) the classifier alone takes "
        f"{alone['latency_ms']:.2f} ms for one image. With a detector it takes between "
        f"{cheapest['latency_ratio']:.2f} ({cheapest['detector']}) and {dearest['latency_ratio']:.2f} "
        f"({dearest['detector']}) times as long; in batches of {BATCH}, between {quick['time_ratio']:.2f} "
        f"({quick['detector']}) and {slow['time_ratio']:.2f} ({slow['detector']}) times. {_learnt(rest)}"
    ).strip()


def _learnt(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how the learnt saliency compares with the gradient: the paper calls it cheap."""
    found = {row["detector"]: row for row in rows}
    if not {"jsd", "spd"} <= found.keys():
        return ""
    learnt, gradient = found["spd"], found["jsd"]
    return (
        f"The learnt map (spd, {1000 / learnt['latency_ms']:.0f} images per second one by one) costs "
        f"{learnt['latency_ms'] / gradient['latency_ms']:.2f} times as much time at batch 1 as the Jacobian (jsd), and "
        f"{gradient['throughput'] / learnt['throughput']:.2f} times as much at batch {BATCH}."
    )


def _unsteady(rows: Sequence[Mapping[str, Any]]) -> Flag:
    found = [row["detector"] for row in rows if row["latency_p95_ms"] > _UNSTEADY * row["latency_ms"]]
    return Flag(
        "Unsteady times",
        bool(found),
        f"The 95th percentile is more than {_UNSTEADY} times the median (a busy machine?): {', '.join(found)}."
        if found
        else f"No 95th percentile is more than {_UNSTEADY} times its median.",
    )


@torch.no_grad()
def _same_scores(systems: Sequence[System], images: Tensor) -> Flag:
    """The pass that is timed must give what the detector gives."""
    found = []
    for system in systems[1:]:
        if system.contender is not None:
            timed_scores, scores = system.run(images)[1], system.contender.module(images)
            if (timed_scores - scores).abs().max() > _TOLERANCE * (1 + scores.abs().max()):
                found.append(system.name)
    return Flag(
        "The timed pass gives other scores",
        bool(found),
        f"The pass that was timed gives other scores than the detector: {', '.join(found)}."
        if found
        else "The passes that were timed give the detectors' own scores.",
    )
