"""ASSIRA in every layout that it is handed round in."""

import shutil
from pathlib import Path

import pytest
import torch

from data import ASSIRA, ImageFolder
from tests.data.pictures import write, write_classes

PHOTO = (150, 120)


@pytest.fixture
def make(tmp_path):
    """Make the data module of a folder."""

    def made(root, **options):
        return ASSIRA(str(root), **{"cache": str(tmp_path / "cache"), **options})

    return made


def photos(folder, names=("Cat", "Dog"), count=10, first=0):
    for label, name in enumerate(names):
        for number in range(count):
            write(folder / name / f"{number}.jpg", seed=first + 100 * label + number, size=PHOTO)


def kaggle(folder, count=10):
    for label, name in enumerate(("cat", "dog")):
        for number in range(count):
            write(folder / f"{name}.{number}.jpg", seed=100 * label + number, size=PHOTO)


def labels_of(data):
    data.setup()
    return sorted(label for part in data._sets.values() for label in part.labels.tolist())


LAYOUTS = {
    "Microsoft's archive": lambda root: photos(root / "PetImages"),
    "PetImages itself": photos,
    "Kaggle's train folder": lambda root: kaggle(root / "train"),
    "Kaggle's files": kaggle,
    "class folders in train": lambda root: photos(root / "train", ("cat", "dog")),
}


@pytest.mark.parametrize("below", ["", "assira", "ASSIRA"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_without_test_images(layout, below, make, tmp_path):
    LAYOUTS[layout](tmp_path / "x" / below)
    data = make(tmp_path / "x")
    assert labels_of(data) == [0] * 10 + [1] * 10
    assert len(data.split("test")) == 4
    assert {tuple(batch.images.shape[1:]) for batch in data.train_dataloader()} == {(3, 112, 112)}


def test_all_layouts_hold_the_same_images(make, tmp_path):
    digests = set()
    for number, lay in enumerate(LAYOUTS.values()):
        lay(tmp_path / str(number))
        digests.add(make(tmp_path / str(number)).fingerprint())
    assert len(digests) == 1


@pytest.mark.parametrize("names", [("cat", "dog"), ("Cat", "Dog")])
def test_own_test_images_are_the_test_split(names, make, tmp_path):
    photos(tmp_path / "train", names)
    photos(tmp_path / "test", names, count=3, first=50)
    data = make(tmp_path)
    assert sorted(data.split("test").positions.tolist()) == list(range(20, 26))
    assert sorted(data.split("test").labels.tolist()) == [0] * 3 + [1] * 3


@pytest.mark.parametrize("name", ["test", "test1"])
def test_unlabelled_test_images_of_kaggle_are_not_read(name, make, tmp_path):
    kaggle(tmp_path / "train")
    for number in range(3):
        write(tmp_path / name / f"{number}.jpg", size=PHOTO)
    data = make(tmp_path)
    assert len(labels_of(data)) == 20
    assert len(data.split("test")) == 4


def test_files_of_the_archive_that_are_no_images_are_left_out(make, tmp_path):
    photos(tmp_path / "PetImages")
    (tmp_path / "PetImages" / "Cat" / "Thumbs.db").write_bytes(b"thumbs")
    (tmp_path / "PetImages" / "Cat" / "666.jpg").write_bytes(b"")
    (tmp_path / "PetImages" / "Dog" / "11702.jpg").write_bytes(b"cut")
    data = make(tmp_path)
    with pytest.warns(UserWarning, match=r"^2 of 22 image files .* left out, the first is Cat/666\.jpg"):
        data.prepare_data()
    assert labels_of(data) == [0] * 10 + [1] * 10


def test_images_are_those_of_an_image_folder_of_that_size(make, tmp_path):
    photos(tmp_path / "x", ("cat", "dog"))
    folder = ImageFolder(str(tmp_path / "x"), size=112, cache=None)
    rows = list(range(4))
    ours, theirs = (data.split("test").__getitems__(rows) for data in (make(tmp_path / "x"), folder))
    assert all(torch.equal(*fields) for fields in zip(ours, theirs, strict=True))


def test_shape_and_classes_are_known_without_the_folder(make, tmp_path):
    data = make(tmp_path / "nowhere")
    assert (data.shape, data.classes, data.class_names) == ((3, 112, 112), 2, ("cat", "dog"))


@pytest.mark.parametrize("step", ["prepare_data", "setup"])
def test_missing_images_are_refused_with_all_that_was_looked_for(step, make, tmp_path):
    write_classes(tmp_path / "x", ("horse", "cow"), count=1)
    with pytest.raises(FileNotFoundError) as caught:
        getattr(make(tmp_path / "x"), step)()
    message = str(caught.value)
    for part in (
        str(tmp_path / "x"),
        "assira/ or ASSIRA/",
        "PetImages/{Cat,Dog}",
        "cat.0.jpg",
        "Kaggle",
        "--data.root",
    ):
        assert part in message
    assert "\n" not in message


def test_cats_alone_are_refused(make, tmp_path):
    photos(tmp_path / "PetImages")
    shutil.rmtree(tmp_path / "PetImages" / "Dog")
    with pytest.raises(ValueError, match="has no usable image of the class dog"):
        make(tmp_path).setup()
    assert (Path(tmp_path) / "PetImages" / "Cat").exists()
