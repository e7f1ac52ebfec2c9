"""Sets in torchvision's own layout, from files that the tests write; nothing is downloaded."""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image

from data import CIFAR10, FashionMNIST, Torchvision
from data.sources.torchvision_sets import KNOWN

COUNTS = {True: 100, False: 30}


@pytest.fixture(autouse=True)
def _no_network(tmp_path, monkeypatch):
    """Give torchvision addresses that do not exist, so that every download fails at once."""
    nowhere = (tmp_path / "mirror").as_uri()
    for kind in (torchvision.datasets.MNIST, torchvision.datasets.FashionMNIST, torchvision.datasets.KMNIST):
        monkeypatch.setattr(kind, "mirrors", [f"{nowhere}/"])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{nowhere}/cifar.tar.gz")
    parts = {part: (f"{nowhere}/{part}", f"{part}_32x32.mat", "") for part in ("train", "test")}
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", parts)


def contents(shape, classes, *, train):
    """Return pixels (N, *shape) and labels (N,) of made-up images."""
    random = np.random.default_rng(int(train))
    count = COUNTS[train]
    return random.integers(256, size=(count, *shape), dtype=np.uint8), (np.arange(count) % classes).astype(np.uint8)


def write_idx(folder, prefix, *, train, first=0):
    """Write images and labels as idx files."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels, labels = contents((28, 28), 10, train=train)
    for ending, array in {"images-idx3-ubyte": pixels, "labels-idx1-ubyte": labels + first}.items():
        array = array.astype(np.uint8)  # noqa: PLW2901 - the sum is wider
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / f"{prefix}-{ending}").write_bytes(head + array.tobytes())


def mnist_like(root, name):
    for train, prefix in {True: "train", False: "t10k"}.items():
        write_idx(Path(root) / name / "raw", prefix, train=train)
    return str(root)


def cifar(root, monkeypatch, kind=torchvision.datasets.CIFAR10):
    """Write CIFAR's pickled batches, and make torchvision take them for the real ones."""
    monkeypatch.setattr(kind, "_check_integrity", lambda self: Path(self.root, self.base_folder).is_dir())
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, _md5: Path(path).is_file())
    folder = Path(root) / kind.base_folder
    folder.mkdir(parents=True)
    key = "labels" if kind is torchvision.datasets.CIFAR10 else "fine_labels"
    classes = KNOWN[kind.__name__][1]
    for train, files in {True: kind.train_list, False: kind.test_list}.items():
        pixels, labels = contents((3, 32, 32), classes, train=train)
        parts = zip(np.array_split(pixels, len(files)), np.array_split(labels, len(files)), strict=True)
        for (name, _), (part, part_labels) in zip(files, parts, strict=True):
            batch = {"data": part.reshape(len(part), -1), key: part_labels.tolist()}
            (folder / name).write_bytes(pickle.dumps(batch))
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: [str(i) for i in range(classes)]}))
    return str(root)


def check(data, shape, classes):
    """Assert that the module gives the made-up images, and the official test images as its test split."""
    assert (tuple(data.shape), data.classes) == (KNOWN.get(data.name) or ((1, 28, 28), classes))
    for train, split in {True: "classifier_train", False: "test"}.items():
        pixels, labels = contents(shape, classes, train=train)
        pixels = pixels if len(shape) == 3 else pixels[:, None]
        part = data.split(split)
        batch = part.__getitems__(list(range(len(part))))
        rows = batch.positions - (0 if train else COUNTS[True])
        assert torch.equal((batch.images * 255).round().byte(), torch.from_numpy(pixels)[rows])
        assert torch.equal(batch.labels, torch.from_numpy(labels).long()[rows])
    assert len(data.split("test")) == COUNTS[False]


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_sets_laid_out_as_mnist_need_no_more_than_their_name(name, tmp_path):
    check(Torchvision(name, root=mnist_like(tmp_path, name)), (28, 28), 10)


def test_fashion_mnist_has_a_name_of_its_own(tmp_path):
    check(FashionMNIST(mnist_like(tmp_path, "FashionMNIST")), (28, 28), 10)


def test_cifar10_has_a_name_of_its_own(tmp_path, monkeypatch):
    check(CIFAR10(cifar(tmp_path, monkeypatch)), (3, 32, 32), 10)


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar_by_name(name, tmp_path, monkeypatch):
    root = cifar(tmp_path, monkeypatch, getattr(torchvision.datasets, name))
    check(Torchvision(name, root=root), (3, 32, 32), KNOWN[name][1])


def test_options_choose_a_part_of_a_set(tmp_path):
    folder = tmp_path / "EMNIST" / "raw"
    for train in (True, False):
        write_idx(folder, f"emnist-digits-{'train' if train else 'test'}", train=train)
    options = {"options": {"split": "digits"}, "shape": (1, 28, 28), "classes": 10}
    check(Torchvision("EMNIST", root=str(tmp_path), **options), (28, 28), 10)


def svhn(root, monkeypatch):
    """Write SVHN's two .mat files, images last and 10 for the digit 0, and make torchvision accept their checksums."""
    root.mkdir(exist_ok=True)
    for train, part in {True: "train", False: "test"}.items():
        pixels, labels = contents((32, 32, 3), 10, train=train)
        path = root / f"{part}_32x32.mat"
        scipy.io.savemat(path, {"X": pixels.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]})
        entry = ("", path.name, hashlib.md5(path.read_bytes()).hexdigest())  # noqa: S324 - as torchvision
        monkeypatch.setitem(torchvision.datasets.SVHN.split_list, part, entry)
    return str(root)


def test_svhn_needs_no_more_than_its_name(tmp_path, monkeypatch):
    data = Torchvision("SVHN", root=svhn(tmp_path / "svhn", monkeypatch))
    data.prepare_data()
    assert (data.shape, data.classes) == ((3, 32, 32), 10)
    for train, split in {True: "classifier_train", False: "test"}.items():
        pixels, labels = contents((32, 32, 3), 10, train=train)
        batch = data.split(split).__getitems__(list(range(len(data.split(split)))))
        rows = batch.positions - (0 if train else COUNTS[True])
        assert torch.equal((batch.images * 255).round().byte(), torch.from_numpy(pixels)[rows].permute(0, 3, 1, 2))
        assert torch.equal(batch.labels, torch.from_numpy(labels).long()[rows])
    assert len(data.split("test")) == COUNTS[False]


def picture(path, number, size):
    """Write an image whose grey is ten times a number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10 * number,) * 3).save(path)


def pets(root):
    """Write the Oxford-IIIT pets, files of different sizes in the splits trainval and test: breeds 1 to 4."""
    folder = root / "oxford-iiit-pet"
    for part, count in {"trainval": 80, "test": 20}.items():
        names = [f"breed{row % 4 + 1}_{part}{row}" for row in range(count)]
        for row, name in enumerate(names):
            picture(folder / "images" / f"{name}.jpg", row % 4, (20 + row % 3, 30))
            picture(folder / "annotations" / "trimaps" / f"{name}.png", row % 4, (20 + row % 3, 30))
        lines = [f"{name} {row % 4 + 1} 1 1" for row, name in enumerate(names)]
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines))
    return str(root)


def test_files_of_any_size_are_scaled_to_the_shape_and_splits_have_other_names(tmp_path):
    data = Torchvision("OxfordIIITPet", (3, 8, 6), 4, root=pets(tmp_path))
    assert len(data.split("test")) == 20
    for split in ("classifier_train", "test"):
        batch = data.split(split).__getitems__(list(range(len(data.split(split)))))
        assert batch.images.shape[1:] == (3, 8, 6)
        assert torch.equal((batch.images.mean((1, 2, 3)) * 25.5).round().long(), batch.labels)


def test_a_fifth_of_a_set_without_parts_becomes_the_test_split(tmp_path):
    for number in range(50):
        picture(tmp_path / "eurosat" / "2750" / f"class{number % 2}" / f"{number}.png", number % 2, (64, 64))
    data = Torchvision("EuroSAT", (1, 64, 64), 2, root=str(tmp_path))
    assert len(data.split("test")) == 10
    batch = data.split("test")[0]
    assert (batch.images * 25.5).round().unique().tolist() == batch.labels.tolist()


def test_sets_without_a_class_per_image_are_refused(tmp_path):
    options = {"target_types": "segmentation"}
    data = Torchvision("OxfordIIITPet", (3, 8, 8), 37, options, root=pets(tmp_path))
    with pytest.raises(ValueError, match=r"OxfordIIITPet gives Image and PngImageFile in place of an image and"):
        data.setup()


def test_a_file_that_cannot_be_decoded_is_named_by_its_row(tmp_path):
    root = pets(tmp_path)
    (tmp_path / "oxford-iiit-pet" / "images" / "breed2_trainval5.jpg").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"image 5 of OxfordIIITPet cannot be read \(.*: repair its file"):
        Torchvision("OxfordIIITPet", (3, 8, 8), 37, root=root).setup()


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"fold": 1}, "unexpected keyword argument 'fold'"), ({"target_types": "breed"}, "Unknown value 'breed'")],
)
def test_options_that_a_set_does_not_accept_are_refused(options, reason, tmp_path):
    data = Torchvision("OxfordIIITPet", (3, 8, 8), 37, options, root=pets(tmp_path))
    with pytest.raises(ValueError, match=rf"OxfordIIITPet cannot be read with {{.*: .*{reason}"):
        data.prepare_data()


def test_labels_with_further_columns_are_the_first(tmp_path, monkeypatch):
    class Columns(torchvision.datasets.MNIST):
        """As QMNIST: who wrote the digit stands beside it."""

        def __init__(self, _root, train=True, **_options):  # noqa: FBT002 - as torchvision's
            pixels, labels = contents((28, 28), 10, train=train)
            self.data = torch.from_numpy(pixels)
            self.targets = torch.stack([torch.from_numpy(labels).long(), torch.full((len(labels),), 99)], 1)

    monkeypatch.setattr(torchvision.datasets, "QMNIST", Columns)
    data = Torchvision("QMNIST", root=str(tmp_path))
    assert data.split("test").labels.max() == 9


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [({"shape": (1, 32, 32)}, "28, 28"), ({"classes": 9}, "labels up to 9")],
)
def test_images_other_than_asked_for_are_refused(arguments, seen, tmp_path):
    data = Torchvision("KMNIST", root=mnist_like(tmp_path, "KMNIST"), **arguments)
    with pytest.raises(ValueError, match=rf"KMNIST has images .*{seen}.* were asked for: give its own"):
        data.setup()


@pytest.mark.parametrize("name", ["Nothing", "folder", "ImageFolder", "FakeData", "__name__"])
def test_what_is_no_such_set_is_refused(name):
    with pytest.raises(ValueError, match=rf"takes train, split or download, for example MNIST, .* got '{name}'"):
        Torchvision(name)


@pytest.mark.parametrize("given", [{}, {"shape": (1, 28, 28)}, {"classes": 47}])
def test_unknown_sets_need_shape_and_classes(given):
    with pytest.raises(ValueError, match=r"known for MNIST, .* only: give both for EMNIST"):
        Torchvision("EMNIST", options={"split": "balanced"}, **given)


def test_files_that_are_there_are_not_downloaded(tmp_path, monkeypatch):
    def refuse(*_, **__):
        msg = "a download was started"
        raise AssertionError(msg)

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", refuse)
    data = CIFAR10(cifar(tmp_path, monkeypatch))
    data.prepare_data()
    data.setup()


@pytest.mark.parametrize(
    ("data", "folder"),
    [
        (CIFAR10, "cifar-10-batches-py"),
        (FashionMNIST, "FashionMNIST/raw"),
        (lambda root: Torchvision("KMNIST", root=root), "KMNIST/raw"),
        (lambda root: Torchvision("SVHN", root=f"{root}/svhn"), "svhn"),
    ],
)
@pytest.mark.parametrize("step", ["prepare_data", "setup"])
def test_missing_files_are_refused_with_the_folder_looked_at(step, data, folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf" is not in {tmp_path}/x/{folder}, .* downloading it .*--data\.root"):
        getattr(data(str(tmp_path / "x")), step)()


def test_damaged_files_are_refused(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, _ in [*torchvision.datasets.CIFAR10.train_list, *torchvision.datasets.CIFAR10.test_list]:
        (folder / name).write_bytes(b"damaged")
    with pytest.raises(FileNotFoundError, match=r"CIFAR10 is not in .*, or not all of it"):
        CIFAR10(str(tmp_path)).prepare_data()


def test_fingerprint_is_that_of_the_content(tmp_path):
    first = Torchvision("KMNIST", root=mnist_like(tmp_path / "1", "KMNIST")).fingerprint()
    assert FashionMNIST(mnist_like(tmp_path / "2", "FashionMNIST")).fingerprint() == first
    path = tmp_path / "2" / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert FashionMNIST(str(tmp_path / "2")).fingerprint() != first
