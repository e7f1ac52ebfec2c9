"""Pictures in TensorBoard."""

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torchvision.utils import make_grid

from attacks import Attack
from data import ImageData
from saliency import SaliencyModel

_SHOWN_SIZE = 96
"""Small images are enlarged to at least so many pixels, without smoothing."""


class MapPanel(lightning.Callback):
    """Shows, after each validation, clean and adversarial images with the maps of their predicted classes.

    Args:
        attack: Makes the adversarial images, on the saliency model's classifier.
        count: How many images.
    """

    def __init__(self, attack: Attack, count: int = 8) -> None:
        self.attack = attack
        self.count = count

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the grid as `maps/clean_map_adversarial_map`: four rows in this order."""
        logger, data = trainer.logger, trainer.datamodule  # type: ignore[attr-defined]
        if trainer.sanity_checking or not trainer.is_global_zero or not isinstance(logger, TensorBoardLogger):
            return
        if not isinstance(pl_module, SaliencyModel) or not isinstance(data, ImageData):
            return
        held_out = data.split("classifier_train_validation")
        positions = list(range(min(self.count, len(held_out))))
        images = held_out.__getitems__(positions).images.to(pl_module.device)
        grid = map_grid(pl_module, images, self.attack)
        logger.experiment.add_image("maps/clean_map_adversarial_map", grid, trainer.current_epoch)


def map_grid(saliency: SaliencyModel, images: Tensor, attack: Attack) -> Tensor:
    """Return a picture (3, height, width) in [0, 1]: clean images, their maps, adversarial images, their maps.

    Args:
        saliency: In any mode; left as it was.
        images: (N, C, H, W) in [0, 1], clean.
        attack: Called on the saliency model's classifier.
    """
    classifier = saliency.classifier
    adversarial = attack(classifier, images)
    with torch.no_grad():
        training = saliency.training
        saliency.eval()
        maps = [saliency(classifier, batch).expand(-1, 3, -1, -1) for batch in (images, adversarial)]
        saliency.train(training)
    rows = [images.expand(-1, 3, -1, -1), maps[0], adversarial.expand(-1, 3, -1, -1), maps[1]]
    factor = max(1, _SHOWN_SIZE // images.shape[-1])
    enlarged = torch.cat(rows).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    grid: Tensor = make_grid(enlarged, nrow=len(images), padding=2, pad_value=0.5)
    return grid
