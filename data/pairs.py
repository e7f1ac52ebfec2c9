"""Pairs of clean images and their adversarial twins, and the data module that gives them."""

from collections.abc import Iterable

import lightning
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader

from attacks import Attack
from attacks.guard import evaluation_mode
from data.batches import Images, Pairs
from data.images import ImageData
from detectors import Classifier
from saliency.checkpoints import part


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


class PairData(lightning.LightningDataModule):
    """Wraps an image data module, whose detector_train it trains on and whose held-out tenth it validates with.

    Args:
        images: The images.
        classifier: The attacked classifier, or the path of its checkpoint.
        attacks: All attacks of the pairs.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If the classifier was made for other images, or an attack is targeted.
    """

    def __init__(self, images: ImageData, classifier: str | Classifier, attacks: Iterable[Attack]) -> None:
        super().__init__()
        self.images = images
        self.classifier = part(classifier, Classifier)
        self.shape = images.shape
        self.classes = images.classes
        images.train_split = "detector_train"
        for attack in attacks:
            refuse_targeted(attack)
        if (tuple(self.classifier.shape), self.classifier.classes) != (tuple(self.shape), self.classes):
            msg = (
                f"the classifier was made for images {tuple(self.classifier.shape)} of {self.classifier.classes} "
                f"classes, {type(images).__name__} gives {tuple(self.shape)} of {self.classes}: give the checkpoint "
                "of a classifier of this data set"
            )
            raise ValueError(msg)

    def prepare_data(self) -> None:
        """Download what is missing."""
        self.images.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Read and split once."""
        self.images.trainer = self.trainer
        self.images.setup(stage)

    def calibration_dataloader(self) -> DataLoader[Images]:
        """Return the clean calibration images; read outside a fit, they stay clean."""
        return self.images.calibration_dataloader()
