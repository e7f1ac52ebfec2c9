"""What all modules of pairs share: the images, the classifier that is attacked, clean calibration images."""

from collections.abc import Iterable

import lightning
from torch.utils.data import DataLoader

from attacks import Attack
from data.batches import Images
from data.images import ImageData
from data.pairs import refuse_targeted
from detectors import Classifier
from saliency.checkpoints import part


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
