"""Which files and folders belong to a data set."""

from pathlib import Path

import pytest
from torchvision.datasets.folder import make_dataset

from data import ASSIRA
from data.files import class_folders, image_files, images_below, is_hidden, is_image
from tests.data.pictures import write

SYSTEMS = [
    *(".ipynb_checkpoints", ".thumbnails", ".Trash-1000", ".@__thumb", ".AppleDouble"),
    *("__MACOSX", "__pycache__", "@eaDir", "#recycle", "@Recycle"),
    *("lost+found", "$RECYCLE.BIN", "System Volume Information"),
]


@pytest.mark.parametrize("name", [*SYSTEMS, "._00.png", ".DS_Store", "Thumbs.db", "desktop.ini", "LOST+FOUND"])
def test_names_of_systems_are_hidden(name):
    assert is_hidden(name)


@pytest.mark.parametrize("name", ["cat", "__background__", "@home", "a.b", "#1", "$5", "_x.png", "~x.png", "lost"])
def test_names_of_users_are_not_hidden(name):
    assert not is_hidden(name)


@pytest.mark.parametrize("below", ["", "deep/er/"])
def test_hidden_files_and_folders_are_left_out_at_every_depth(below, tmp_path):
    for name in "ab":
        write(tmp_path / name / below / "00.png")
        for number, folder in enumerate(SYSTEMS):
            write(tmp_path / name / below / folder / "x" / f"{number}.png")
        write(tmp_path / name / below / "._00.png")
    assert image_files(tmp_path, {"a": 0, "b": 1}) == [
        (str(tmp_path / name / below / "00.png"), label) for label, name in enumerate("ab")
    ]


def test_hidden_folders_are_no_classes_and_those_above_the_data_set_do_not_matter(tmp_path):
    root = tmp_path / ".ipynb_checkpoints" / "@eaDir"
    for name in ("a", "b", *SYSTEMS):
        write(root / name / "x.png")
    assert class_folders(root) == ["a", "b"]
    assert len(image_files(root, {"a": 0, "b": 1})) == 2


def test_kaggles_files_are_listed_by_the_same_rule(tmp_path):
    for name in ("cat.0.jpg", "cat.1.jpg", "dog.0.jpg"):
        for place in ("", "._", "@eaDir/", ".thumbnails/", "__MACOSX/._"):
            write(tmp_path / "train" / f"{place}{name}")
    assert ASSIRA(str(tmp_path)).find().names == tuple(f"train/{name}.jpg" for name in ("cat.0", "cat.1", "dog.0"))


def test_the_order_is_torchvisions(tmp_path):
    for name in ("b/1.png", "b/a-b/1.png", "b/a/1.png", "b/a/c/2.JPG", "b/a b/3.png", "B/z/0.png", "B/é.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    labels = {"B": 0, "b": 1}
    assert image_files(tmp_path, labels) == make_dataset(str(tmp_path), labels, is_valid_file=is_image)


def test_a_folder_that_links_lead_to_in_circles_is_read_once(tmp_path):
    path = write(tmp_path / "a" / "x.png")
    for name in ("one", "two", "three"):
        (tmp_path / "a" / name).symlink_to(tmp_path / "a")
        (tmp_path / "a" / f"up {name}").symlink_to(Path(".."), target_is_directory=True)
    assert list(images_below(tmp_path / "a")) == [(str(path), str(path))]
