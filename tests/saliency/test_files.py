"""Files are replaced whole or not at all."""

import os
from pathlib import Path

import pytest
import torch

from saliency.files import UnwrittenError, leftovers, replacing, write_bytes, write_tensors, write_text

WRITE = {
    "text": lambda path: write_text(path, "new"),
    "bytes": lambda path: write_bytes(path, b"new"),
    "tensors": lambda path: write_tensors(path, {"weights": torch.zeros(3)}),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / "file"
    write_text(path, "old")
    return path


@pytest.mark.parametrize("kind", WRITE)
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_beside_it(kind, where, path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match=r"folder/file could not be written \(No space left on device\): make room"):
        WRITE[kind](path)
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_a_folder_that_is_a_file_is_told(path):
    with pytest.raises(UnwrittenError, match=r"file/deeper could not be written \((Not a directory|File exists)\)"):
        write_text(path / "deeper", "new")


def test_it_is_on_disk_before_it_is_renamed(path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda _: done.append("flushed"))
    rename = Path.replace
    monkeypatch.setattr(Path, "replace", lambda *paths: done.append("renamed") or rename(*paths))
    write_text(path, "new")
    assert done == ["flushed", "renamed"]
    assert path.read_text() == "new"


def test_errors_about_other_files_and_bugs_are_left_as_they_are(path):
    def write(error):
        with replacing(path) as file:
            file.write(b"half")
            raise error

    for error in (FileNotFoundError(2, "No such file", "image.png"), ValueError("a bug")):
        with pytest.raises(type(error)) as raised:
            write(error)
        assert raised.value is error
    assert path.read_text() == "old"
    assert not leftovers(path)


def test_what_is_being_written_is_found_beside_the_file(path):
    with replacing(path) as file:
        assert leftovers(path) == [Path(file.name)]
    assert not leftovers(path)


def test_bytes_of_a_name_that_are_not_utf_8_are_written_as_escapes(tmp_path):
    write_text(tmp_path / "report.md", "Report on \udcff: é")
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == "Report on \\udcff: é"
