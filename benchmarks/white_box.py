"""White-box attacks at equal cost: which share of images they win for how many passes, beside two references.

    python -m benchmarks.white_box --run runs/digits
    python -m benchmarks.white_box --run runs/digits --split calibration --detectors smd --passes 50 200

A pass is half the sum of passes forward and backward, those through classifier and detector together counted once. Each
attack gets settings with which no image takes more than so many, and is run anew for each number. The table gives the
share of images that are classified right, then wrong, and accepted at 5 % false positives (SR@5), and the mean over
the numbers of passes (area). The references are Orthogonal PGD, written here from its authors' released algorithm, and
one walk of Auto-PGD on the loss of `HingedPGD`. An attack is behind a reference where its area is lower by more than
twice the standard error of the images' differences.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional

from attacks import (
    Attack,
    HingedAPGD,
    HingedPGD,
    HopSkipJump,
    OrthogonalPGD,
    SelectivePGD,
    Square,
)
from attacks.loop import gradients_of
from attacks.norms import column
from attacks.problem import Problem
from attacks.white_box.walk import Kept
from benchmarks.kept import write
from experiments.study.study import Study
from experiments.training.run_folder import Run
from experiments.white_box.attacker import Subject
from experiments.white_box.subjects import start_of, subjects

REFERENCES = ("reference: Orthogonal PGD", "reference: Auto-PGD")
_PER_STEP = {"orthogonal": 1.5, REFERENCES[0]: 1.5}
"""Passes of a step: one forward and two gradients."""
_STEPS_OF_A_WALK = 60
"""With more passes than these, the attacks of several goals take one more of them each time."""


@dataclass(frozen=True)
class Row:
    """What an attack wins of a detector for so many passes.

    Attributes:
        attack: Its name in the suite.
        detector: The detector.
        passes: The most that an image may take.
        spent: Passes that an image took, mean.
        won: Of each image, whether it counts for SR@5.
    """

    attack: str
    detector: str
    passes: int
    spent: float
    won: list[bool]

    @property
    def success(self) -> float:
        """SR@5."""
        return sum(self.won) / len(self.won)


@dataclass(frozen=True, kw_only=True)
class ReferenceOrthogonalPGD(Attack):
    """Orthogonal PGD as released by its authors, L-inf: cross entropy, constant signed steps.

    A step goes against the detector where another logit leads by more than .05, else against the classifier, without
    its component along the other one's gradient. Kept is the misclassified point of lowest score.

    Reference: Bryniarski et al., arXiv 2106.15023; their released code for the step rule.
    """

    needs_detector = True
    epsilon: float
    steps: int

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images."""
        kept, points = Kept(problem, targeted=False), problem.images
        for _ in range(self.steps):
            points = points.detach().requires_grad_()
            logits, scores = problem.joint(points)
            kept.offer(points, logits, scores)
            entropy = functional.cross_entropy(logits, problem.labels, reduction="none")
            against = gradients_of([-entropy, scores], points)
            raised = logits.detach() + 0.05 * functional.one_hot(problem.labels, logits.shape[1])
            wrong = column(raised.argmax(1) != problem.labels)
            direction = torch.where(wrong, _orthogonal(against[1], against[0]), _orthogonal(*against))
            change = points.detach() - self.epsilon / 8 * direction.sign() - problem.images
            points = (problem.images + change.clamp(-self.epsilon, self.epsilon)).clamp(0, 1)
        return kept.points


def _orthogonal(gradient: Tensor, other: Tensor) -> Tensor:
    along = (gradient * other).sum((1, 2, 3), keepdim=True)
    return gradient - other * along / (1e-20 + other.square().sum((1, 2, 3), keepdim=True))


def main() -> None:
    """Measure, print the tables, and write them as JSON where asked."""
    options = _options()
    torch.set_num_threads(options.threads)
    study = Study(Run(options.run), torch.device(options.device), Progress(disable=True), [], options.detectors)
    images, labels = _images(study, options.split, options.skip, options.images)
    attacked = subjects(study, start_of(study.run), study.run.settings.seeds[:1])
    known = contenders(options.epsilon)
    rows: list[Row] = []
    for subject in attacked:
        for name in [*(options.only or [name for name in known if name not in REFERENCES]), *REFERENCES]:
            rows += [_row(name, known[name](passes), passes, subject, images, labels) for passes in options.passes]
            print(_line(rows[-len(options.passes) :]), flush=True)
    _print(rows)
    names = ("attack", "detector", "passes", "spent", "success")
    write(options.json, options, [{name: getattr(row, name) for name in names} for row in rows], behind=behind(rows))


def contenders(epsilon: float) -> dict[str, Callable[[int], Attack]]:
    """Return, by their names, the attacks of the suite for a number of passes, then the references."""

    def walks(passes: int) -> int:
        return min(4, max(1, passes // _STEPS_OF_A_WALK))

    def steps(name: str, passes: int, walks: int = 1) -> int:
        return max(1, int(((passes - 1) // walks - 1) / _PER_STEP.get(name, 1)))

    def one(name: str, kind: Callable[..., Attack]) -> Callable[[int], Attack]:
        return lambda passes: kind(epsilon=epsilon, steps=steps(name, passes))

    def several(kind: Callable[..., Attack]) -> Callable[[int], Attack]:
        return lambda passes: kind(epsilon=epsilon, steps=steps("", passes, walks(passes)), goals=walks(passes) - 1)

    return {
        "selective": one("selective", SelectivePGD),
        "orthogonal": one("orthogonal", OrthogonalPGD),
        "hinged": several(HingedPGD),
        "hinged_apgd": several(HingedAPGD),
        "square": lambda passes: Square(epsilon=epsilon, queries=2 * passes),
        "hop_skip_jump": lambda passes: HopSkipJump(
            epsilon=epsilon, norm="linf", queries=max(100, 2 * passes), on_system=True
        ),
        REFERENCES[0]: one(REFERENCES[0], ReferenceOrthogonalPGD),
        REFERENCES[1]: lambda passes: HingedAPGD(epsilon=epsilon, steps=steps("", passes), goals=0),
    }


def behind(rows: list[Row]) -> dict[str, list[str]]:
    """Return by reference which attacks win less on which detector, by more than the noise of the images."""
    names = list(dict.fromkeys((row.attack, row.detector) for row in rows if row.attack not in REFERENCES))
    return {
        reference: [f"{name} on {detector}" for name, detector in names if _is_behind(rows, name, detector, reference)]
        for reference in REFERENCES
    }


def _is_behind(rows: list[Row], attack: str, detector: str, reference: str) -> bool:
    lost = _areas(rows, reference, detector) - _areas(rows, attack, detector)
    return bool(lost.mean() > 2 * lost.std() / len(lost) ** 0.5)


def _areas(rows: list[Row], attack: str, detector: str) -> Tensor:
    """Return of each image the share of the numbers of passes for which an attack wins it, (N,)."""
    found = [row.won for row in rows if (row.attack, row.detector) == (attack, detector)]
    return torch.tensor(found, dtype=torch.double).mean(0)


def _row(name: str, attack: Attack, passes: int, subject: Subject, images: Tensor, labels: Tensor) -> Row:
    with torch.no_grad():
        right = subject.model(images).argmax(1) == labels
    report = attack.report(subject.model, images[right], labels[right], detector=subject.aimed())
    won = report.success & (report.scores <= 0)  # type: ignore[operator]
    spent = (report.forward_passes + report.backward_passes).mean().item() / 2
    return Row(name, subject.name, passes, spent, won.tolist())


def _images(study: Study, split: str, skip: int, count: int) -> tuple[Tensor, Tensor]:
    whole = study.data.split(split)
    batch = whole.__getitems__(list(range(min(skip, len(whole) - 1), min(skip + count, len(whole)))))
    return batch.images.to(study.device), batch.labels.to(study.device)


def _line(rows: list[Row]) -> str:
    cells = " | ".join(f"{row.success:.2f}" for row in rows)
    return f"| {rows[0].detector} | {rows[0].attack} | {cells} | {sum(row.success for row in rows) / len(rows):.3f} |"


def _print(rows: list[Row]) -> None:
    passes = sorted({row.passes for row in rows})
    detectors = list(dict.fromkeys(row.detector for row in rows))
    print(f"\nSR@5 of {len(rows[0].won)} images, after {', '.join(map(str, passes))} passes, and the area")
    print(f"| attack | {' | '.join(detectors)} |\n|{'---|' * (len(detectors) + 1)}")
    for attack in dict.fromkeys(row.attack for row in rows):
        cells = []
        for detector in detectors:
            found = [row for row in rows if (row.attack, row.detector) == (attack, detector)]
            curve = " / ".join(f"{row.success:.2f}" for row in found)
            cells.append(f"{curve} ({_areas(rows, attack, detector).mean():.3f})")
        print(f"| {attack} | {' | '.join(cells)} |")
    for reference, lost in behind(rows).items():
        print(f"behind the {reference}, by more than noise: {', '.join(lost) or 'none'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a run whose detectors are trained")
    parser.add_argument("--detectors", nargs="+", help="default: all, training-free ones too")
    parser.add_argument(
        "--only", nargs="+", choices=[*contenders(0.1)][: -len(REFERENCES)], help="attacks; default: all"
    )
    parser.add_argument("--passes", nargs="+", type=int, default=[25, 50, 100, 200, 400], help="passes an image")
    parser.add_argument("--split", choices=["calibration", "test"], default="test", help="tune on calibration images")
    parser.add_argument("--images", type=int, default=50, help="how many images")
    parser.add_argument("--skip", type=int, default=0, help="images to leave out first")
    parser.add_argument("--epsilon", type=float, default=0.1, help="L-inf budget")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    return parser.parse_args()


if __name__ == "__main__":
    main()
