"""The detectors under test, on two kinds of data, and toys that they can learn."""

from functools import partial
from typing import NamedTuple

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from detectors import ID, JSD, SMD, SPD, Classifier, Disagreement, MaskArea, MaxSoftmax
from detectors.published import FeatureHead
from saliency import Encoder, SaliencyModel, Selector
from tests.saliency.helpers import awake, loader

TRAINED = {"ID": ID, "JSD": JSD, "SMD": SMD, "SPD": SPD, "FeatureHead": FeatureHead}
RESIDUAL = {f"residual {name}": partial(kind, architecture="residual") for name, kind in {"ID": ID, "JSD": JSD}.items()}
TRAINING_FREE = {"MaxSoftmax": MaxSoftmax, "MaskArea": MaskArea, "Disagreement": Disagreement}
WITH_MAPS = ("SMD", "SPD")
WITH_SALIENCY = (*WITH_MAPS, "MaskArea", "Disagreement")


class World(NamedTuple):
    """Images of one kind, with a classifier and a saliency model of them."""

    images: Tensor
    labels: Tensor
    classifier: Classifier
    saliency: SaliencyModel


def world(channels: int, classes: int) -> World:
    """Sixteen images; a classifier that predicts several classes; a saliency model that reacts to the class."""
    images = torch.rand(16, channels, 12, 12, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % classes
    classifier = Classifier((channels, 12, 12), classes, widths=(4,)).eval()
    with torch.no_grad():
        last = classifier.network.layers[-1]
        last.weight *= 10
        last.bias -= classifier(images).mean(0)
    selector = Selector(Encoder((channels, 12, 12), classes, width=4))
    saliency = SaliencyModel(selector, classifier).eval()
    awake(saliency, lambda: saliency.masks(images, labels))
    return World(images, labels, classifier, saliency)


def build(name: str, given: World, **arguments: object) -> nn.Module:
    """The detector of that name, in eval mode."""
    kind = (TRAINED | RESIDUAL | TRAINING_FREE)[name]
    parts = [given.classifier, given.saliency] if name in WITH_SALIENCY else [given.classifier]
    return kind(*parts, **arguments).eval()


def bright_and_dark(count: int, channels: int = 1) -> tuple[Tensor, Tensor]:
    """Grey images with a little noise; every second one is adversarial, and brighter in its lower half."""
    generator = torch.Generator().manual_seed(3)
    images = 0.3 + 0.04 * torch.rand(count, channels, 12, 12, generator=generator)
    is_adversarial = torch.arange(count) % 2 == 1
    images[is_adversarial, :, 6:] += 0.5
    return images, is_adversarial


class TwoAttacks(lightning.LightningDataModule):
    """Two named test loaders."""

    def __init__(self, attacks: dict[str, tuple[Tensor, Tensor]], classes: int) -> None:
        super().__init__()
        self.attacks = attacks
        self.test_names = list(attacks)
        images, _ = next(iter(attacks.values()))
        self.shape = tuple(images.shape[1:])
        self.classes = classes

    def test_dataloader(self) -> list[DataLoader]:
        return [loader(*pairs, batch_size=7) for pairs in self.attacks.values()]
