"""Pairs of clean and adversarial images, and the data module that gives them."""

from collections.abc import Mapping

import lightning
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader

from attacks import Attack
from attacks.errors import InputError
from attacks.guard import evaluation_mode
from data.batches import Images, Pairs
from data.images import ImageData
from detectors import Classifier
from saliency.checkpoints import part


def refuse_targeted(attack: Attack) -> None:
    """Raise ValueError if an attack is targeted: pairs have no targets."""
    if attack.targeted:
        msg = f"pairs are made by untargeted attacks, for there are no targets: leave out targeted of {attack}"
        raise InputError(msg)


def make_pairs(
    classifier: Classifier,
    attack: Attack,
    batch: Images,
    detector: nn.Module | None = None,
    generator: Generator | None = None,
) -> Pairs:
    """Return the batch with its adversarial images, and which of them fooled the classifier.

    Args:
        classifier: On the batch's device.
        attack: Untargeted; it leads away from the classifier's own predictions.
        batch: Clean images.
        detector: For an attack that needs one: gives scores (N,), above 0 means rejected.
        generator: Gives the attack's random numbers; None: a fixed seed.
    """
    adversarial = attack(classifier, batch.images, detector=detector, generator=generator)
    return paired(batch, adversarial, predict(classifier, batch.images), predict(classifier, adversarial))


def paired(
    batch: Images, adversarial: Tensor, before: Tensor, after: Tensor, explanation: Tensor | None = None
) -> Pairs:
    """Return clean and adversarial images as one batch.

    Args:
        batch: The clean images.
        adversarial: (N, C, H, W).
        before: (N,), the classes that the classifier predicts for the clean images.
        after: (N,), those that it predicts for the adversarial images.
        explanation: (2N, c, H, W) of both; None: there is none.
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
    """The base of the data modules that wrap an image data module; see `AdversarialData` for the arguments.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If the classifier was made for other images, or an attack is targeted.
    """

    def __init__(
        self,
        images: ImageData,
        classifier: str | Classifier,
        attack: Attack,
        test_attacks: Mapping[str, Attack] | None = None,
    ) -> None:
        super().__init__()
        self.attack = attack
        self.test_attacks = {type(attack).__name__.lower(): attack} if test_attacks is None else dict(test_attacks)
        self.images = images
        self.classifier = part(classifier, Classifier)
        self.shape = images.shape
        self.classes = images.classes
        images.train_split = "detector_train"
        for one in (attack, *self.test_attacks.values()):
            refuse_targeted(one)
        if (tuple(self.classifier.shape), self.classifier.classes) != (tuple(self.shape), self.classes):
            msg = (
                f"the classifier was made for images {tuple(self.classifier.shape)} of {self.classifier.classes} "
                f"classes, {type(images).__name__} gives {tuple(self.shape)} of {self.classes}: give the checkpoint "
                "of a classifier of this data set"
            )
            raise InputError(msg)

    @property
    def test_names(self) -> list[str]:
        """The names of the test loaders, in their order."""
        return list(self.test_attacks)

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
