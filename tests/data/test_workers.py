"""Loader workers that are started, not forked: on macOS, on Windows, and everywhere from Python 3.14 on."""

import multiprocessing
import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch

from attacks import FGSM
from data import AdversarialData, Digits, ImageFolder, WhiteBoxData
from data.pairs import PairData
from detectors import Classifier
from tests.data.pictures import write_classes

SHAPE = (3, 12, 12)


@pytest.fixture
def images(request, tmp_path):
    """Image files that are decoded once or in each epoch, or images in memory."""
    if request.param == "memory":
        return Digits(batch_size=1000, train_limit=40, test_limit=10)
    cache = str(tmp_path / "cache") if request.param == "kept" else None
    return ImageFolder(write_classes(tmp_path / "pictures"), size=12, cache=cache, batch_size=1000, workers=0)


@pytest.fixture(params=["alone", "pairs", "stored", "white-box"])
def data(request, images, tmp_path):
    """Images alone, or a module of pairs of them."""
    classifier = Classifier(images.shape, images.classes, widths=(4,)).eval()
    if request.param == "alone":
        return images
    if request.param == "white-box":
        return WhiteBoxData(images, classifier, FGSM(epsilon=0.1))
    store = str(tmp_path / "store") if request.param == "stored" else None
    return AdversarialData(images, classifier, FGSM(epsilon=0.1), store=store)


def loader_of(data):
    """Return the loader of the test images."""
    data.setup("test")
    found = data.test_dataloader()
    return found[0] if isinstance(found, list) else found


@pytest.mark.parametrize("images", ["kept", "anew", "memory"], indirect=True)
def test_what_a_started_worker_gets_reads_the_same_images(data):
    loader = loader_of(data)
    sent = bytes(ForkingPickler.dumps((loader.dataset, loader.collate_fn)))
    assert len(sent) < 6000  # paths and handles, no images
    dataset, collate = pickle.loads(sent)  # noqa: S301
    rows = list(range(len(dataset)))
    ours, theirs = loader.dataset.__getitems__(rows), collate(dataset.__getitems__(rows))
    assert type(ours) is type(theirs)
    assert all(torch.equal(*fields) for fields in zip(ours, theirs, strict=True))


@pytest.mark.long
@pytest.mark.parametrize("images", ["kept", "memory"], indirect=True)
@pytest.mark.parametrize("data", ["alone", "stored"], indirect=True)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_started_workers_load_the_same_images(method, data):
    alone = list(loader_of(data))
    images = data.images if isinstance(data, PairData) else data
    images.workers = 1
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    try:
        helped = list(loader_of(data))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert len(alone) == len(helped)
    assert all(torch.equal(*fields) for both in zip(alone, helped, strict=True) for fields in zip(*both, strict=True))
