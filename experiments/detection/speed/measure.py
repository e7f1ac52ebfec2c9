"""How long each system takes, and how many parameters and operations it needs."""

import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from typing import Final

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from experiments.detection.speed.records import BATCH, WARM_UP, SpeedRecord
from experiments.detection.speed.systems import System, systems_of
from experiments.detection.timing import timed
from experiments.study.ranks import first
from experiments.study.rows import Rows
from experiments.study.study import Study

_TOLERANCE: Final = 1e-4
"""How far two ways to the same score may lie apart, of the largest score."""


def measure_speed(study: Study, repeats: int) -> tuple[list[SpeedRecord], list[str]]:
    """Return the records of the classifier alone and with each detector, and the systems with other scores.

    One image is timed so many times, a batch `batch_repeats` times.
    """
    systems, clean = systems_of(study), study.images.clean
    return first(lambda: _measured(study, systems, clean, repeats))  # others would slow it down


def _measured(
    study: Study, systems: Sequence[System], clean: Rows, repeats: int
) -> tuple[list[SpeedRecord], list[str]]:
    batch = clean[torch.arange(BATCH) % len(clean)].to(study.device)
    single = _times(study, systems, batch[:1], repeats, "latency at batch 1")
    many = _times(study, systems, batch, batch_repeats(repeats), f"throughput at batch {BATCH}")
    latencies, durations = ([statistics.median(times) for times in every] for every in (single, many))
    work = [flops(system, batch[:1]) for system in systems]
    records = [
        SpeedRecord(
            detector=system.name,
            trained_on=system.contender.trained_on if system.contender else None,
            seed=system.contender.seed if system.contender else None,
            latency_ms=1000 * latencies[place],
            latency_p95_ms=1000 * torch.tensor(single[place], dtype=torch.float64).quantile(0.95).item(),
            latency_ratio=latencies[place] / latencies[0],
            throughput=len(batch) / durations[place],
            time_ratio=durations[place] / durations[0],
            trained_parameters=_trained_parameters(system),
            parameters=parameters(system, batch),
            flops=work[place],
            flops_ratio=work[place] / work[0] if work[0] else None if place else 1.0,
            classifier_passes=classifier_passes(system, batch[:1]),
        )
        for place, system in enumerate(systems)
    ]
    return records, [system.name for system in systems if not _gives_own_scores(system, batch)]


def batch_repeats(repeats: int) -> int:
    """Return how often a batch is timed where one image is timed so many times."""
    return max(repeats // 10, 3)


def _times(study: Study, systems: Sequence[System], images: Tensor, repeats: int, about: str) -> list[list[float]]:
    """Return the seconds of each run of each system; they take turns, so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in systems]
    with torch.no_grad():
        for number in study.progress.track(range(-WARM_UP, repeats), description=about):
            for system, of_system in zip(systems, times, strict=True):
                _, seconds = timed(lambda system=system: system.run(images), study.device)  # type: ignore[misc]
                if number >= 0:
                    of_system.append(seconds)
    return times


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
    gradient reaches, from one of the images (N, C, H, W); a copy of the system is asked, so that nothing changes.
    """
    copy = deepcopy(system.run).requires_grad_(requires_grad=True)
    with torch.enable_grad():
        outputs = copy(images[:1].clone().requires_grad_())
        every = list(copy.parameters())
        reached = [output.sum() for output in outputs if output.requires_grad]
        gradients = torch.autograd.grad(reached, every, allow_unused=True)
    return sum(one.numel() for one, gradient in zip(every, gradients, strict=True) if gradient is not None)


def _trained_parameters(system: System) -> int:
    if system.contender is not None and system.contender.trained_on is None:
        return 0
    module = system.run if system.contender is None else system.contender.module
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


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


@torch.no_grad()
def _gives_own_scores(system: System, images: Tensor) -> bool:
    """Return whether the pass that is timed gives what the detector gives."""
    if system.contender is None:
        return True
    timed_scores, scores = system.run(images)[1], system.contender.module(images)
    return not bool((timed_scores - scores).abs().max() > _TOLERANCE * (1 + scores.abs().max()))
