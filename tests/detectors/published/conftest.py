"""Clean images of four classes, and a classifier to fit detectors on."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from detectors import Classifier
from tests.fixtures import CLASSES, SHAPE


@pytest.fixture
def classifier(whole):
    """An untrained convolutional classifier in eval mode that predicts several classes."""
    torch.manual_seed(3)
    made = Classifier(SHAPE, CLASSES, widths=(4,)).eval()
    with torch.no_grad():
        made.network.layers[-1].bias -= made(whole[0]).mean(0)
    return made


@pytest.fixture
def clean():
    """Batches of 60 images, 15 of each class, whose brightness depends on the class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % CLASSES
    images = (torch.rand(60, *SHAPE, generator=generator) + labels[:, None, None, None] / 6).clamp(0, 1)
    return DataLoader(TensorDataset(images, labels), batch_size=16)


@pytest.fixture
def whole(clean):
    """The same images (60, C, H, W) and labels (60,)."""
    return clean.dataset.tensors
