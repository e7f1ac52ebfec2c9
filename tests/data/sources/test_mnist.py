"""MNIST from files that the tests write; nothing is downloaded."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from data import MNIST

FILES = {
    True: ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    False: ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
COUNTS = {True: 90, False: 25}


@pytest.fixture(autouse=True)
def _no_network(tmp_path, monkeypatch):
    """Give torchvision a folder that does not exist for its mirror, so that every download fails at once."""
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{(tmp_path / 'mirror').as_uri()}/"])


def contents(*, train):
    """Return pixels (N, 28, 28) and labels (N,) of made-up digits."""
    random = np.random.default_rng(int(train))
    count = COUNTS[train]
    return random.integers(256, size=(count, 28, 28), dtype=np.uint8), (np.arange(count) % 10).astype(np.uint8)


def write(root, *, train):
    """Write the two idx files of a part in torchvision's layout."""
    folder = Path(root) / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(FILES[train], contents(train=train), strict=True):
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / name).write_bytes(head + array.tobytes())
    return folder


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "datasets"
    for train in (True, False):
        write(folder, train=train)
    return str(folder)


def test_official_test_images_are_the_test_split(root):
    data = MNIST(root)
    test = data.split("test")
    assert sorted(test.positions.tolist()) == list(range(90, 115))
    pixels, labels = contents(train=False)
    assert torch.equal(test.pixels[test.positions][:, 0], torch.from_numpy(pixels)[test.positions - 90])
    assert torch.equal(test.labels, torch.from_numpy(labels).long()[test.positions - 90])


def test_training_images_are_those_of_the_training_file(root):
    split = MNIST(root).split("classifier_train")
    pixels, labels = contents(train=True)
    assert torch.equal(split.pixels[split.positions][:, 0], torch.from_numpy(pixels)[split.positions])
    assert torch.equal(split.labels, torch.from_numpy(labels).long()[split.positions])


def test_other_splits_share_the_training_file(root):
    data = MNIST(root)
    names = ["classifier_train", "detector_train", "calibration"]
    names += ["classifier_train_validation", "detector_train_validation"]
    positions = torch.cat([data.split(name).positions for name in names])
    assert sorted(positions.tolist()) == list(range(90))


def test_batches_have_the_declared_shape_and_range(root):
    batch = next(iter(MNIST(root, batch_size=8).train_dataloader()))
    assert batch.images.shape == (8, *MNIST.shape)
    assert batch.images.dtype == torch.float32
    assert 0 <= batch.images.min() < batch.images.max() <= 1
    assert batch.labels.dtype == torch.int64
    assert batch.labels.max() < MNIST.classes


def test_files_that_are_there_are_not_downloaded(root, monkeypatch):
    def refuse(*_, **__):
        msg = "a download was started"
        raise AssertionError(msg)

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", refuse)
    data = MNIST(root)
    data.prepare_data()
    data.setup()
    assert len(data.split("test")) == 25


@pytest.mark.parametrize("step", ["prepare_data", "setup"])
def test_missing_files_are_refused_with_the_folder_looked_at(step, tmp_path):
    root = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError) as caught:
        getattr(MNIST(str(root)), step)()
    message = str(caught.value)
    assert f"MNIST is not in {root / 'MNIST' / 'raw'}" in message
    assert "--data.root" in message


@pytest.mark.parametrize("train", [True, False])
def test_half_of_the_files_does_not_do(train, tmp_path):
    folder = write(tmp_path, train=train)
    with pytest.raises(FileNotFoundError, match="MNIST is not in") as caught:
        MNIST(str(tmp_path)).prepare_data()
    assert str(folder) in str(caught.value)


def test_relative_root_is_told_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        MNIST("here").prepare_data()
    assert str(tmp_path / "here" / "MNIST" / "raw") in str(caught.value)


def test_root_that_cannot_be_written_is_refused_with_the_folder(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FileNotFoundError, match="MNIST is not in"):
        MNIST(str(tmp_path / "file")).prepare_data()


def test_missing_files_are_downloaded(tmp_path, monkeypatch):
    roots = []

    def download(dataset):
        roots.append(dataset.root)
        for train in (True, False):
            write(dataset.root, train=train)

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", download)
    data = MNIST(str(tmp_path / "new"))
    data.prepare_data()
    assert roots == [str(tmp_path / "new")]  # one download brings both parts
    assert len(data.split("test")) == 25
