"""Which files and folders belong to a data set."""

import errno
import os
import re
from pathlib import Path

import pytest
from torchvision.datasets.folder import make_dataset

from data import ASSIRA
from data.decoding.files import Files, class_folders, image_files, images_below, is_hidden, is_image
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


def test_a_link_to_a_folder_above_adds_no_images(tmp_path):
    write(tmp_path / "b" / "y.png")
    write(tmp_path / "unlabelled.png")
    path = write(tmp_path / "a" / "x.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert list(images_below(tmp_path / "a")) == [(str(path), str(path))]


@pytest.mark.parametrize(("linking", "holding"), [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("of_folder", [True, False])
def test_links_do_not_change_the_class_of_an_image(linking, holding, of_folder, tmp_path):
    paths = {name: write(tmp_path / name / "deep" / f"{name}.png") for name in "ab"}
    target = paths[holding]
    link = tmp_path / linking / "link.png"
    if of_folder:
        (tmp_path / linking / "link").symlink_to(target.parent)
        link = tmp_path / linking / "link" / target.name
    else:
        link.symlink_to(target)
    told = f"{tmp_path} has links that lead to images of another class: 1 left out, the first is {link}"
    with pytest.warns(UserWarning, match=f"^{re.escape(told)}$"):
        found = image_files(tmp_path, {"a": 0, "b": 1})
    assert found == [(str(paths["a"]), 0), (str(paths["b"]), 1)]


def test_class_folders_made_of_links_keep_their_labels(tmp_path):
    pool = [write(tmp_path / "pool" / f"{number}.png") for number in range(3)]
    expected = []
    for number, (path, name) in enumerate(zip((*pool, pool[0]), "aabb", strict=True)):  # pool[0] is of both classes
        link = tmp_path / "set" / name / f"{number}.png"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
        expected.append((str(link), "ab".index(name)))
    (tmp_path / "set" / "a" / "again.png").symlink_to(pool[1])
    assert image_files(tmp_path / "set", {"a": 0, "b": 1}) == expected


def test_links_that_lead_nowhere_and_what_is_no_file_are_told(tmp_path):
    path = write(tmp_path / "a" / "x.png")
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "a" / "more").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a" / "self.png").symlink_to("self.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")  # to open it would wait for ever
    told = "has links that lead nowhere, or entries that are no files: "
    with pytest.warns(UserWarning, match=rf"/a {told}4 left out, the first is \S+/a/gone\.png$"):
        assert image_files(tmp_path, {"a": 0}) == [(str(path), 0)]
    (tmp_path / "b").symlink_to(tmp_path / "nowhere")
    with pytest.warns(UserWarning, match=rf"{told}1 left out, the first is \S+/b$"):
        assert class_folders(tmp_path) == ["a"]


def test_a_file_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def refuse(path, _):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    names = tuple(write(tmp_path / f"{number}.bmp", seed=number).name for number in range(2))  # of the same size
    files = Files(tmp_path, names, (0, 0), None, ("a",))
    assert files.copies() == {}
    monkeypatch.setattr("data.decoding.files.open", refuse, raising=False)
    with pytest.raises(
        PermissionError, match=r"/0\.bmp cannot be read \(Permission denied\): get permission, or take it"
    ):
        files.copies()


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)  # no permission is denied to root
    with pytest.raises(
        PermissionError, match=r"/a cannot be read \(Permission denied\): get permission, or take it out"
    ):
        image_files(tmp_path, {"a": 0})
