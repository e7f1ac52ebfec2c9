"""Images are decoded once, kept, and refused when they are damaged."""

import json
import os
import shutil
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from data import ImageFolder
from data.decoding import cache as module
from data.decoding.cache import MappedPixels
from data.decoding.decode import LazyPixels, UndecodableError
from tests.data.pictures import write, write_classes
from tests.forked import forked


@pytest.fixture
def root(tmp_path):
    return write_classes(tmp_path / "pictures")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def folder(root, cache, **options):
    return ImageFolder(root, size=12, cache=cache and str(cache), **options)


def only(cache, ending):
    (path,) = cache.glob(f"*.{ending}")
    return path


def decoding_is_refused(monkeypatch):
    def refuse(*_):
        msg = "a file was decoded"
        raise AssertionError(msg)

    monkeypatch.setattr(module, "decode_all", refuse)


def whole(data):
    """Return all images and labels of a data module in the order of their positions."""
    data.setup()
    names = [name for name in data._sets if not (data.splits == "paper" and name.startswith("detector"))]
    batches = [data.split(name).__getitems__(list(range(len(data.split(name))))) for name in names]
    order = torch.cat([batch.positions for batch in batches]).argsort()
    return torch.cat([batch.images for batch in batches])[order], torch.cat([b.labels for b in batches])[order]


def test_cached_images_are_lazily_decoded_ones_to_the_bit(root, cache):
    for ending in ("jpg", "gif"):
        write_classes(root, count=3, ending=ending, first=500)
    kept, lazy = folder(root, cache), folder(root, None)
    assert all(torch.equal(*both) for both in zip(whole(kept), whole(lazy), strict=True))
    assert isinstance(kept.split("test").pixels, MappedPixels)
    assert isinstance(lazy.split("test").pixels, LazyPixels)


def test_second_run_decodes_nothing(root, cache, monkeypatch):
    folder(root, cache).prepare_data()
    decoding_is_refused(monkeypatch)
    again = folder(root, cache)
    again.prepare_data()
    assert len(whole(again)[0]) == 40
    assert {path.suffix for path in cache.iterdir()} == {".pixels", ".json", ".lock"}


@pytest.mark.parametrize("change", ["size", "channels", "touched", "renamed", "added"])
def test_other_files_or_another_shape_are_decoded_anew(change, root, cache):
    folder(root, cache).prepare_data()
    options = {"size": {"size": 10}, "channels": {"channels": 1}}.get(change, {})
    path = Path(root) / "a" / "00.png"
    if change == "touched":
        os.utime(path, ns=(1, 1))
    elif change == "renamed":
        path.rename(path.with_name("new.png"))
    elif change == "added":
        write(path.with_name("new.png"), seed=77)
    data = ImageFolder(root, **{"size": 12, "cache": str(cache), **options})
    images = whole(data)[0]
    assert images.shape[1:] == data.shape
    assert len(list(cache.glob("*.pixels"))) == 2


def test_what_is_read_of_the_pixels_is_a_copy(root, cache):
    data = folder(root, cache)
    before = whole(data)[0]
    data.split("test").pixels[torch.arange(40)].zero_()
    assert torch.equal(whole(data)[0], before)
    assert torch.equal(whole(folder(root, cache))[0], before)


def test_complete_cache_may_be_read_only(root, cache):
    folder(root, cache).prepare_data()
    for path in cache.iterdir():
        path.chmod(0o444)
    cache.chmod(0o555)
    assert len(whole(folder(root, cache))[0]) == 40
    cache.chmod(0o755)


@pytest.mark.parametrize(
    ("damage", "how"),
    [
        (lambda data: data[:-5], r"it has 17275 bytes instead of 17280"),
        (lambda data: data + b"x", r"it has 17281 bytes instead of 17280"),
        (lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:], "its bytes are not those that were written"),
    ],
    ids=["cut", "longer", "one bit"],
)
def test_damaged_pixels_are_refused_by_name_and_left(damage, how, root, cache):
    folder(root, cache).prepare_data()
    path = only(cache, "pixels")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"the decoded images in .*{path.name} are damaged \({how}\): delete it and"):
        folder(root, cache).setup()
    assert path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": "x"}', '{"unreadable": []}'])
def test_damaged_description_is_refused_by_name(text, root, cache):
    folder(root, cache).prepare_data()
    path = only(cache, "json")
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"{path.name} are damaged \(it is not what was written"):
        folder(root, cache).setup()


@pytest.mark.parametrize(
    "wrong",
    [
        {"unreadable": 5},
        {"unreadable": "abc"},
        {"unreadable": [["a"]]},
        {"unreadable": ["c/00.png"]},
        {"unreadable": {}},
    ],
    ids=repr,
)
def test_a_description_of_another_shape_is_refused(wrong, root, cache):
    (Path(root) / "b" / "03.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match="cannot be decoded"):
        folder(root, cache).prepare_data()
    path = only(cache, "json")
    path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    with pytest.raises(
        ValueError, match=r"are damaged \((it is not what was written|it has 16848 bytes instead of 17280)"
    ):
        folder(root, cache).setup()


@pytest.mark.parametrize("lost", ["json", "pixels"])
def test_half_of_a_decoded_set_is_made_again(lost, root, cache):
    folder(root, cache).prepare_data()
    only(cache, lost).unlink()
    assert len(whole(folder(root, cache))[0]) == 40


def test_interrupted_decoding_leaves_nothing_that_is_taken_for_complete(root, cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "decode_all", interrupt)
        with pytest.raises(KeyboardInterrupt):
            folder(root, cache).prepare_data()
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    assert len(whole(folder(root, cache))[0]) == 40


def test_broken_files_are_left_out_and_told_in_one_line(root, cache):
    for name in ("05.png", "03.png"):
        (Path(root) / "b" / name).write_bytes(b"broken")
    data = folder(root, cache)
    with pytest.warns(UserWarning, match="cannot be decoded") as caught:
        data.prepare_data()
    (warning,) = caught
    start = f"2 of 40 image files in {root} cannot be decoded and are left out, the first is b/03.png: "
    assert str(warning.message).startswith(start)
    assert "\n" not in str(warning.message)
    unreadable = json.loads(only(cache, "json").read_text())["unreadable"]
    assert list(unreadable) == ["b/03.png", "b/05.png"]
    assert unreadable["b/03.png"].startswith(f"{root}/b/03.png cannot be decoded (cannot identify image file")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told once
        images, labels = whole(folder(root, cache))
    assert (len(images), labels.tolist()) == (38, [0] * 20 + [1] * 18)


@pytest.mark.parametrize("kept", [True, False])
def test_class_without_a_usable_file_is_refused(kept, root, cache):
    for path in (Path(root) / "b").iterdir():
        path.write_bytes(b"")
    reason = r"; .*/b/00\.png cannot be decoded \(" if kept else ""
    with pytest.raises(ValueError, match=rf"has no usable image of the class b: add images .*{reason}"):
        folder(root, cache if kept else None).setup()
    assert not list(cache.glob("*.p*"))


def test_empty_files_are_left_out_where_nothing_is_kept(root):
    (Path(root) / "a" / "07.png").write_bytes(b"")
    data = folder(root, None)
    with pytest.warns(UserWarning, match=r"^1 of 40 image files in .* are empty and left out, the first is a/07\.png$"):
        assert len(whole(data)[0]) == 39


def test_broken_file_is_an_error_where_nothing_is_kept(root):
    (Path(root) / "a" / "07.png").write_bytes(b"broken")
    with pytest.raises(UndecodableError, match=r"a/07\.png cannot be decoded"):
        whole(folder(root, None))


def test_without_room_images_are_decoded_anew_and_that_is_told(root, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=17279))
    data = folder(root, cache)
    data.prepare_data()
    with pytest.warns(UserWarning, match=r"cache has no room for 17280 bytes of decoded images, so that they are"):
        data.setup()
    assert isinstance(data.split("test").pixels, LazyPixels)
    assert not cache.exists()


def test_what_another_process_has_written_already_counts_as_room(root, cache, monkeypatch):
    folder(root, cache).prepare_data()
    path = only(cache, "pixels").rename(f"{only(cache, 'pixels')}.0.tmp")
    path.write_bytes(path.read_bytes()[:280])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=17000))
    assert isinstance(folder(root, cache).split("test").pixels, MappedPixels)


def test_room_does_not_matter_once_they_are_decoded(root, cache, monkeypatch):
    folder(root, cache).prepare_data()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert len(whole(folder(root, cache))[0]) == 40


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_cache_that_cannot_be_written_is_refused_with_what_to_do(below, root, tmp_path):
    (tmp_path / "file").write_text("no folder")
    data = folder(root, tmp_path / "file" / below if below else tmp_path / "file")
    with pytest.raises(
        OSError, match=r"decoded images cannot be kept in .*file.* \(.*\): give a folder .*--data\.cache"
    ):
        data.prepare_data()


def test_full_disk_is_told(root, cache, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot be kept in .* \(No space left on device\)"):
        folder(root, cache).prepare_data()
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def prepare(root, cache, log):
    """Decode slowly, and note that this process did."""
    real = module.decode_all

    def noted(*arguments):
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        return real(*arguments)

    module.decode_all = noted
    data = folder(root, Path(cache))
    data.prepare_data()
    data.setup()


def test_of_two_processes_one_decodes_and_the_other_waits(root, cache, tmp_path):
    processes = [forked(prepare, root, str(cache), str(tmp_path / "log")) for _ in range(2)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len((tmp_path / "log").read_text().split()) == 1


def test_fingerprint_is_that_of_the_content_wherever_it_lies(root, cache, tmp_path):
    first = folder(root, cache).fingerprint()
    shutil.copytree(root, tmp_path / "elsewhere")
    assert folder(str(tmp_path / "elsewhere"), tmp_path / "other").fingerprint() == first
    assert folder(root, cache, split_seed=3, train_limit=20, splits="paper").fingerprint() == first
    write(Path(root) / "a" / "00.png", seed=99)
    assert folder(root, cache).fingerprint() != first


def test_fingerprint_of_files_that_are_not_decoded_is_that_of_names_sizes_and_times(root, tmp_path):
    first = folder(root, None).fingerprint()
    shutil.copytree(root, tmp_path / "elsewhere")  # keeps the times
    assert folder(str(tmp_path / "elsewhere"), None).fingerprint() == first
    assert ImageFolder(root, size=10, cache=None).fingerprint() != first
    os.utime(Path(root) / "a" / "00.png", ns=(1, 1))
    assert folder(root, None).fingerprint() != first


@pytest.mark.parametrize(("kept", "given", "workers"), [(True, None, 0), (True, 1, 1), (False, 0, 0), (False, 1, 1)])
def test_workers_are_those_asked_for_or_none_for_decoded_images(kept, given, workers, root, cache):
    loader = folder(root, cache if kept else None, workers=given).test_dataloader()
    assert loader.num_workers == workers
    assert loader.persistent_workers == (workers > 0)


@pytest.mark.parametrize(("available", "workers"), [(1, 1), (3, 3), (64, 8)])
def test_images_that_are_not_kept_are_decoded_by_a_worker_per_core(available, workers, root, monkeypatch):
    monkeypatch.setattr("data.images.cores", lambda: available)
    assert folder(root, None).test_dataloader().num_workers == workers


def test_workers_decode_what_the_process_itself_does(root):
    alone, helped = folder(root, None, workers=0), folder(root, None, workers=1)
    batches = zip(alone.test_dataloader(), helped.test_dataloader(), strict=True)
    assert all(torch.equal(*fields) for both in batches for fields in zip(*both, strict=True))
