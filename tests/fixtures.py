"""Small models and images that every test may use; nothing is downloaded."""

import gc
import sys

import lightning
import pytest
import torch
from torch import nn
from torch.nn import functional

from attacks import FGSM
from detectors import Classifier
from saliency import Encoder, SaliencyModel, Selector
from saliency.portable import Portable

SHAPE = (1, 12, 12)
CLASSES = 4


torch.set_num_threads(1)  # tensors are tiny: more threads only wait for each other, much so on a busy machine


def pytest_collection_finish():
    """Let the garbage collector pass over what imports made: half a million objects, which stay."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded():
    torch.default_generator.manual_seed(0)  # torch.manual_seed also keeps a stack trace for CUDA, which takes longer


@pytest.fixture(autouse=True)
def _modules_of_users_are_forgotten(tmp_path_factory):
    """Unload what a test imports from its temporary folder: the next test may write a class of the same name."""
    before = set(sys.modules)
    yield
    folder = str(tmp_path_factory.getbasetemp())
    for name in sys.modules.keys() - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(folder):
            del sys.modules[name]
            for known in [known for known, cls in Portable._known.items() if cls.__module__ == name]:
                del Portable._known[known]


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


class Awkward(nn.Module):
    """A network as people write them: it writes on its input if asked to, and flattens by `view` or `reshape`."""

    def __init__(self, *, writes, flatten) -> None:
        super().__init__()
        self.first = nn.Conv2d(SHAPE[0], 3, 3)
        self.second = nn.Conv2d(3, 4, 3)
        self.last = nn.Linear(64, CLASSES)
        self.writes = writes
        self.flatten = flatten

    def forward(self, images):
        """Return logits (N, K)."""
        images = images.sub_(0.3).div_(0.4) if self.writes else (images - 0.3) / 0.4
        values = functional.max_pool2d(functional.relu(self.second(functional.relu(self.first(images)))), 2)
        return self.last(self.flatten(values, (len(values), 64)))


@pytest.fixture
def twins():
    """A classifier of a network that writes and views, and one of the same weights that does neither, in double."""
    kinds = {"writes": True, "flatten": torch.Tensor.view}, {"writes": False, "flatten": torch.Tensor.reshape}
    awkward, plain = (Classifier(SHAPE, CLASSES, network=Awkward(**kind)).double().eval() for kind in kinds)
    plain.load_state_dict(awkward.state_dict())
    return awkward, plain


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
