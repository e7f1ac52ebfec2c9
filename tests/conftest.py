"""Small models and images that every test may use; nothing is downloaded."""

import lightning
import pytest
import torch
from hypothesis import settings
from torch import nn

from attacks import FGSM
from detectors import Classifier
from saliency import Encoder, SaliencyModel, Selector

SHAPE = (1, 12, 12)
CLASSES = 4


settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("repeatable")

torch.set_num_threads(1)  # tensors are tiny: more threads only wait for each other, much so on a busy machine


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def images():
    """Eight images in [0, 1], some values exactly 0 and 1."""
    return (torch.rand(8, *SHAPE) * 1.2 - 0.1).clamp(0, 1)


@pytest.fixture
def labels():
    return torch.arange(8) % CLASSES


@pytest.fixture
def linear():
    """A linear classifier, whose minimal perturbations are known in closed form."""
    return nn.Sequential(nn.Flatten(), nn.Linear(SHAPE[1] * SHAPE[2], CLASSES))


@pytest.fixture
def classifier():
    """An untrained convolutional classifier in eval mode."""
    return Classifier(SHAPE, CLASSES, widths=(4,)).eval()


@pytest.fixture
def saliency(classifier):
    """An untrained saliency model in eval mode."""
    return SaliencyModel(Selector(Encoder(SHAPE, CLASSES, width=4)), classifier).eval()


@pytest.fixture
def attack():
    return FGSM(epsilon=0.1)


@pytest.fixture
def trainer(tmp_path):
    """A trainer that leaves nothing behind."""
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
