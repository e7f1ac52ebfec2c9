"""Pairs of clean images and their adversarial twins."""

import torch
from torch import Generator, Tensor, nn

from attacks import Attack
from attacks.guard import evaluation_mode
from data.batches import Images, Pairs
from detectors import Classifier


def refuse_targeted(attack: Attack) -> None:
    """Refuse an attack that needs targets: pairs have none.

    Args:
        attack: Of pairs to be made.

    Raises:
        ValueError: If it is targeted.
    """
    if attack.targeted:
        msg = f"pairs are made by untargeted attacks, for there are no targets: leave out targeted of {attack}"
        raise ValueError(msg)


def make_pairs(
    classifier: Classifier,
    attack: Attack,
    batch: Images,
    detector: nn.Module | None = None,
    generator: Generator | None = None,
) -> Pairs:
    """Return the batch with its adversarial twins, and which of them fooled the classifier.

    Args:
        classifier: On the batch's device.
        attack: Called without labels: it leaves the classifier's own predictions.
        batch: Clean images.
        detector: For an attack that needs one: gives scores (N,), above 0 means rejected.
        generator: Seeds what is random about the attack; None: a fixed seed.
    """
    adversarial = attack(classifier, batch.images, detector=detector, generator=generator)
    return paired(batch, adversarial, predict(classifier, batch.images), predict(classifier, adversarial))


def paired(
    batch: Images, adversarial: Tensor, before: Tensor, after: Tensor, explanation: Tensor | None = None
) -> Pairs:
    """Return clean images and their twins as one batch.

    Args:
        batch: The clean images.
        adversarial: (N, C, H, W), their twins.
        before: (N,), the classes that the classifier predicts for the clean images.
        after: (N,), those that it predicts for the twins.
        explanation: (2N, c, H, W); None: there is none.
    """
    right_before, right_after = before == batch.labels, after == batch.labels
    clean = torch.zeros_like(right_before)
    images = torch.cat([batch.images, adversarial])
    return Pairs(
        images=images,
        is_adversarial=torch.cat([clean, ~clean]),
        labels=batch.labels.repeat(2),
        successful=(right_before & ~right_after).repeat(2),
        failed=(right_before & right_after).repeat(2),
        positions=batch.positions.repeat(2),
        explanation=images[:, :0] if explanation is None else explanation,
    )


@torch.no_grad()
def predict(classifier: nn.Module, images: Tensor) -> Tensor:
    """Return the classes (N,) that the classifier predicts in eval mode."""
    with evaluation_mode(classifier):
        predictions: Tensor = classifier(images).argmax(1)
    return predictions
