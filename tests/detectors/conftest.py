import pytest
import torch
from hypothesis import settings

from tests.detectors import helpers

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Images this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[(1, 4), (3, 2)], ids=["grey, 4 classes", "colour, 2 classes"])
def world(request):
    torch.manual_seed(0)
    return helpers.world(*request.param)


@pytest.fixture
def grey():
    torch.manual_seed(0)
    return helpers.world(1, 4)
