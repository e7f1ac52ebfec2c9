"""Contenders run in turn on the same images: how long they take, what they find, and which of them give up."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from attacks import norms
from attacks.problem import Counted, Passes
from benchmarks.memory import peak
from benchmarks.peers import Contender
from benchmarks.subjects import predicted

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Row:
    """What one contender did; norms over the images that it fooled."""

    comparison: str
    contender: str
    images: int
    seconds: list[float]  # of each round, all images
    success: float
    l2: float
    l2_quantiles: list[float]  # at .1, .5, .9
    l0: float
    forward: float
    backward: float
    peak_mib: float  # the largest of all rounds

    @property
    def images_per_second(self) -> float:
        """Return the median of the rounds."""
        return self.images / statistics.median(self.seconds)


@dataclass(frozen=True)
class Task:
    """What is attacked, and how it is measured.

    Attributes:
        comparison: Its name.
        model: Gives logits (N, K).
        images: (N, C, H, W) in [0, 1].
        labels: (N,), the model's predictions.
        goals: (N,), the classes that targeted contenders aim at; the labels where they shall be left.
        batch: Images passed at once.
        rounds: How often the contenders run in turn; where more than once, a first time before to warm up.
        limit: Seconds after which a run is given up.
        clock: Whose seconds: wall, or cpu (of all threads together; other processes do not count).
    """

    comparison: str
    model: nn.Module
    images: Tensor
    labels: Tensor
    goals: Tensor
    batch: int
    rounds: int
    limit: float
    clock: str

    def first(self, count: int) -> "Task":
        """Return the same for the first images only."""
        return replace(self, images=self.images[:count], labels=self.labels[:count], goals=self.goals[:count])

    def measured(self, contenders: dict[str, Contender]) -> tuple[list[Row], dict[str, str]]:
        """Return a row for each contender, and for those that failed the reason; an error of ours is raised."""
        rows: dict[str, list[Row]] = {name: [] for name in contenders}
        failed: dict[str, str] = {}
        for _ in range(self.rounds + (self.rounds > 1)):
            for name in [name for name in contenders if name not in failed]:
                try:
                    rows[name].append(self._row(name, contenders[name]))
                except Exception as error:  # a peer may raise anything
                    if name.startswith("ours") and not isinstance(error, TimeoutError):
                        raise
                    failed[name] = _sentence(error)
        return [self._together(rounds) for name, rounds in rows.items() if name not in failed], failed

    def _together(self, rows: list[Row]) -> Row:
        seconds = [row.seconds[0] for row in rows[-self.rounds :]]
        return replace(rows[-1], seconds=seconds, peak_mib=max(row.peak_mib for row in rows))

    def _row(self, name: str, run: Contender) -> Row:
        passes = Passes(self.images)
        device, clock = self.images.device.type, CLOCKS[self.clock]
        with peak(device) as memory:
            wait(device)
            start = clock()
            adversarial = self._attacked(run, passes, start + self.limit)
            wait(device)
            seconds = clock() - start
        classes = predicted(self.model, adversarial)
        fooled = torch.where(self.goals == self.labels, classes != self.labels, classes == self.goals)
        change = (adversarial - self.images)[fooled]
        lengths = norms.l2(change) if len(change) else torch.full((1,), torch.nan)
        quantiles = torch.tensor([0.1, 0.5, 0.9], device=lengths.device)
        return Row(
            comparison=self.comparison,
            contender=name,
            images=len(self.images),
            seconds=[seconds],
            success=fooled.float().mean().item(),
            l2=lengths.mean().item(),
            l2_quantiles=lengths.quantile(quantiles).tolist(),
            l0=norms.l0(change).mean().item(),
            forward=passes.forward.mean().item(),
            backward=passes.backward.mean().item(),
            peak_mib=memory.mib,
        )

    def _attacked(self, run: Contender, passes: Passes, end: float) -> Tensor:
        def check() -> None:
            if CLOCKS[self.clock]() > end:
                msg = f"not done after {self.limit:g} s and {passes.forward.mean():.0f} passes forward an image"
                raise TimeoutError(msg)

        counted = Counted(_Checked(self.model, check), passes).eval()
        parts = [slice(start, start + self.batch) for start in range(0, len(self.images), self.batch)]
        return torch.cat([run(counted.select(rows), self.images[rows], self.labels[rows]) for rows in parts])


class _Checked(nn.Module):
    """A model that checks something before each pass: so that any library's attack can be ended."""

    def __init__(self, model: nn.Module, check: Callable[[], None]) -> None:
        super().__init__()
        self.model = model
        self.check = check

    def forward(self, images: Tensor) -> Tensor:
        self.check()
        logits: Tensor = self.model(images)
        return logits


def _sentence(error: Exception) -> str:
    """Return the first line of an error, after its type where that says something."""
    speaks = isinstance(error, (TimeoutError, MemoryError))
    return (f"{error}" if speaks else f"{type(error).__name__}: {error}").partition("\n")[0]


def wait(device: str) -> None:
    """Wait until a device has done what it was given to do."""
    if device != "cpu":
        torch.cuda.synchronize()
