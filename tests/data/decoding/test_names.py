"""Names of files and folders may hold whatever a file system allows."""

import io
import json
import logging
import os
import warnings
from dataclasses import dataclass

import pytest
import torch
from rich.console import Console
from rich.progress import Progress

from attacks import FGSM
from data import AdversarialData, ImageFolder
from data.decoding import cache as decoded
from data.decoding.files import shown
from data.store.sets import AdversarialSets
from data.store.store import Store
from detectors import Classifier
from tests.data.pictures import write
from tests.data.toy import Toy

NAMES = {
    b"caf\xe9": r"caf\udce9",  # Latin 1
    b"two\nlines": r"two\nlines",
    b"\x1b[31mred": r"\x1b[31mred",
    b"[bold]": "[bold]",
    b"$x^$": "$x^$",
    b"<b>|": "<b>|",
    "😀 é\u2028".encode(): "😀 é\\u2028",
    b"x" * 255: "x" * 255,
}


@pytest.fixture
def root(tmp_path):
    """Classes and files of such names, in a folder whose name looks like a tag."""
    for number, name in enumerate(NAMES):
        for place in range(3):
            write(
                tmp_path / "[a] [" / "b]" / os.fsdecode(name) / os.fsdecode(b"\xff\n[b]%d.png" % place),
                3 * number + place,
            )
    return tmp_path / "[a] [" / "b]"


def test_names_are_shown_in_one_line_of_valid_unicode():
    for name, expected in NAMES.items():
        assert shown(os.fsdecode(name)) == expected
        expected.encode()


@pytest.mark.parametrize("cached", [True, False])
def test_images_are_read_whatever_their_names(cached, root, tmp_path):
    data = ImageFolder(str(root), size=12, cache=str(tmp_path / "[/cache]\udcff\n") if cached else None)
    for _ in range(2):  # decoded, then read
        data.prepare_data()
    data.setup()
    assert sorted(data.class_names) == sorted(NAMES.values())
    labels = torch.cat([data.split(name).labels for name in data._sets])
    assert labels.bincount().tolist() == [3] * len(NAMES)


def test_messages_show_such_names(root, tmp_path):
    broken = next(path for path in root.rglob("*.png") if "red" in str(path))
    broken.write_bytes(b"no image")
    (root / os.fsdecode(b"caf\xe9") / os.fsdecode(b"gone\xff")).symlink_to("nowhere")
    copied = root / os.fsdecode(b"caf\xe9") / os.fsdecode(b"again\xff.png")
    copied.write_bytes(next(copied.parent.glob("*0.png")).read_bytes())
    data = ImageFolder(str(root), size=12, cache=str(tmp_path / "cache\n\udcff"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data.prepare_data()
        data.setup()
    told = [str(each.message) for each in caught]
    assert all(text == shown(text) and text.encode() for text in told)
    for part in (r"the first is \x1b[31mred/\udcff\n[b]", r"/caf\udce9/gone\udcff", r"the first is caf\udce9/"):
        assert any(part in text for text in told)
    (about,) = (tmp_path / "cache\n\udcff").glob("*.json")
    assert list(json.loads(about.read_text())["unreadable"]) == [os.fspath(broken.relative_to(root))]


def test_the_progress_bar_shows_the_folder_as_it_is_named(root, tmp_path, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(decoded, "Console", lambda **_: Console(file=written, force_terminal=True, width=500))
    ImageFolder(str(root), size=12, cache=str(tmp_path / "cache")).prepare_data()
    assert f"decoding {root}" in written.getvalue()


@dataclass(frozen=True)
class Tagged(FGSM):
    """An attack whose description looks like tags."""

    note: str = "[bold] and [/bold] [/x]"


def test_progress_shows_an_attack_as_it_is_described(classifier, tmp_path):
    data = Toy()
    data.setup()
    written = io.StringIO()
    with Progress(console=Console(file=written, force_terminal=True, width=500)) as progress:
        sets = AdversarialSets(Store(tmp_path), data, classifier, torch.device("cpu"), progress)
        sets.attacked("test", Tagged(epsilon=0.1))
    assert "[bold] and [/bold] [/x]" in written.getvalue()


def test_a_store_that_torch_cannot_map_is_refused_and_another_is_named_as_it_is(root, tmp_path, caplog):
    images = ImageFolder(str(root), size=12, cache=None)
    classifier = Classifier((3, 12, 12), len(NAMES), widths=(4,)).eval()
    data = AdversarialData(images, classifier, FGSM(epsilon=0.1), store=str(tmp_path / "store\udcff"))
    with pytest.raises(
        ValueError, match=r"torch cannot map files in .*store\\udcff/adversarial-\w+, whose name is no UTF-8"
    ):
        data.setup("test")
    assert not (tmp_path / "store\udcff").exists()
    data.store = str(tmp_path / "[store]\n")
    with caplog.at_level(logging.INFO, logger="data"):
        data.setup("test")
    assert rf"{tmp_path}/[store]\n: 1 sets, 1 shards" in caplog.text
