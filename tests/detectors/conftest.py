import pytest
import torch

from tests.detectors import helpers


@pytest.fixture(params=[(1, 4), (3, 2)], ids=["grey, 4 classes", "colour, 2 classes"])
def world(request):
    torch.manual_seed(0)
    return helpers.world(*request.param)


@pytest.fixture
def grey():
    torch.manual_seed(0)
    return helpers.world(1, 4)
