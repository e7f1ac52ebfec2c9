"""Models that only the tests of attacks need."""

import pytest
from torch import nn

from tests.fixtures import CLASSES, SHAPE


@pytest.fixture
def mixed():
    """A model in train mode with dropout and a frozen batch norm in eval mode."""
    norm = nn.BatchNorm2d(3).eval().requires_grad_(requires_grad=False)
    head = nn.Linear(3 * (SHAPE[1] - 2) * (SHAPE[2] - 2), CLASSES)
    model = nn.Sequential(nn.Conv2d(SHAPE[0], 3, 3), norm, nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), head)
    model.append(nn.Dropout(0.5))
    return model
