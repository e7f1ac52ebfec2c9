"""Pairs of clean and adversarial images, made on the device that trains, on the fly."""

from collections.abc import Mapping

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from attacks import Attack
from attacks.guard import evaluation_mode
from data.batches import Images, Pairs
from data.images import ImageData
from detectors import Classifier
from saliency.checkpoints import part


class AdversarialData(lightning.LightningDataModule):
    """Wraps an image data module: batches become pairs [x, x_adv] under an attack on a fixed classifier.

    Failed attacks stay in; `Pairs` marks them. The attack takes the classifier's own predictions as labels.

    Args:
        images: The images; detector_train is used for training, its held-out tenth for validation.
        classifier: The attacked classifier, or the path of its checkpoint.
        attack: The attack of the training and validation pairs.
        test_attacks: Attacks of the test loaders by name; None: the training attack alone, by its class.

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
        self.images = images
        self.classifier = part(classifier, Classifier)
        self.attack = attack
        self.test_attacks = {type(attack).__name__.lower(): attack} if test_attacks is None else dict(test_attacks)
        self.shape = images.shape
        self.classes = images.classes
        images.train_split = "detector_train"
        for each in (attack, *self.test_attacks.values()):
            refuse_targeted(each)
        if (tuple(self.classifier.shape), self.classifier.classes) != (tuple(self.shape), self.classes):
            msg = (
                f"the classifier was made for images {tuple(self.classifier.shape)} of {self.classifier.classes} "
                f"classes, {type(images).__name__} gives {tuple(self.shape)} of {self.classes}: give the checkpoint "
                "of a classifier of this data set"
            )
            raise ValueError(msg)

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

    def train_dataloader(self) -> DataLoader[Images]:
        """Return clean batches; they become pairs on the device."""
        return self.images.train_dataloader()

    def val_dataloader(self) -> DataLoader[Images]:
        """Return clean batches; they become pairs on the device."""
        return self.images.val_dataloader()

    def test_dataloader(self) -> list[DataLoader[Images]]:
        """Return one loader of the test images per test attack."""
        return [self.images.test_dataloader() for _ in self.test_attacks]

    def predict_dataloader(self) -> DataLoader[Images]:
        """Return the test images; they become pairs under the training attack."""
        return self.images.predict_dataloader()

    def calibration_dataloader(self) -> DataLoader[Images]:
        """Return the clean calibration images; read outside a fit, they stay clean."""
        return self.images.calibration_dataloader()

    def on_after_batch_transfer(self, batch: Images, dataloader_idx: int) -> Pairs:
        """Attack a batch on the device it is on."""
        testing = self.trainer is not None and self.trainer.testing
        attack = self.test_attacks[self.test_names[dataloader_idx]] if testing else self.attack
        return make_pairs(self.classifier.to(batch.images.device), attack, batch)


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


def make_pairs(classifier: Classifier, attack: Attack, batch: Images) -> Pairs:
    """Return the batch with its adversarial twins, and which of them fooled the classifier.

    Args:
        classifier: On the batch's device.
        attack: Called without labels: it leaves the classifier's own predictions.
        batch: Clean images.
    """
    adversarial = attack(classifier, batch.images)
    right_before = predict(classifier, batch.images) == batch.labels
    right_after = predict(classifier, adversarial) == batch.labels
    clean = torch.zeros_like(right_before)
    return Pairs(
        images=torch.cat([batch.images, adversarial]),
        is_adversarial=torch.cat([clean, ~clean]),
        labels=batch.labels.repeat(2),
        successful=(right_before & ~right_after).repeat(2),
        failed=(right_before & right_after).repeat(2),
        positions=batch.positions.repeat(2),
    )


@torch.no_grad()
def predict(classifier: Classifier, images: Tensor) -> Tensor:
    """Return the classes (N,) that the classifier predicts in eval mode."""
    with evaluation_mode(classifier):
        predictions: Tensor = classifier(images).argmax(1)
    return predictions
