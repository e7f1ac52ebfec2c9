"""What is measured for the flags: gradients, determinism, and a detector that is broken on purpose."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from attacks import SelectivePGD
from attacks.guard import evaluation_mode, gradients
from attacks.margin import lead
from detectors.scoring import scores
from experiments.study.batches import BATCH, batches
from experiments.study.metrics import WORKING_RATE
from experiments.white_box.attacker import Attacker, Subject
from experiments.white_box.records import Checks, GradientCheck


def measure_checks(attacker: Attacker, subjects: Sequence[Subject], broken: Subject, epsilon: float) -> Checks:
    """Return what the flags need to know of detectors, and of one that is broken on purpose, under an L-inf budget."""
    fooled, share = _self_test(attacker, broken, epsilon)
    return Checks(
        gradients=[check for subject in subjects for check in gradient_checks(attacker, subject)],
        undetermined=[subject.name for subject in subjects if not _is_determined(attacker, subject)],
        self_test_fooled=fooled,
        self_test_accepted=share,
    )


def gradient_checks(attacker: Attacker, subject: Subject) -> list[GradientCheck]:
    """Return what the gradients of a detector's score and of the classifier's margin are at the clean images."""
    score = _without_gradient(attacker, subject.contender.module, lambda values, _labels: values)
    margin = _without_gradient(attacker, subject.model, lead)
    shares = {f"score of {subject.name}": score, f"margin of the classifier beside {subject.name}": margin}
    return [GradientCheck(name, subject.phase, subject.contender.seed, *share) for name, share in shares.items()]


def _without_gradient(
    attacker: Attacker, network: nn.Module, read: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, float]:
    """Return the shares of images where the gradient of what is read off a network is zero, and not finite."""
    zero, broken = [], []
    with evaluation_mode(network), gradients(attacker.device):
        for images, labels in batches(attacker.images, attacker.labels, device=attacker.device):
            seen = images.clone().requires_grad_()
            value = read(network(seen), labels)
            gradient = torch.zeros_like(seen)
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(value.sum(), seen, materialize_grads=True)
            zero.append((gradient == 0).flatten(1).all(1))
            broken.append(~gradient.isfinite().flatten(1).all(1))
    return torch.cat(zero).double().mean().item(), torch.cat(broken).double().mean().item()


def _is_determined(attacker: Attacker, subject: Subject) -> bool:
    """Return whether a detector gives the same images the same scores twice."""
    images = attacker.images[:BATCH]
    return torch.equal(*(scores(subject.contender.module, images, attacker.device) for _ in range(2)))


def _self_test(attacker: Attacker, broken: Subject, epsilon: float) -> tuple[int, float]:
    """Return how many images fool the classifier beside a broken detector, and which share of them it accepts."""
    attack = SelectivePGD(epsilon=max(epsilon, 0.1), steps=50)
    outcome = attacker.outcome(broken, "self-test", attack, broken.aimed(), min(50, len(attacker.images)))
    fooled = int((outcome.right_before & outcome.wrong).sum())
    return fooled, int(outcome.fooled(WORKING_RATE).sum()) / max(1, fooled)
