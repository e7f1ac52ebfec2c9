"""One file of a stored set: kept to the bit, refused when it is not what it should be."""

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.store.shards import FORMAT, read_shard, write_shard

KEY = "a" * 32
TENSORS = {
    "images": torch.tensor([0.1, 1e-45, 1.0, 0.5, -0.0, 1 / 3]).view(3, 1, 1, 2),  # one of them subnormal
    "after": torch.tensor([2, 0, 1]),
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "shard_00004.pt"
    write_shard(file, KEY, 4, TENSORS)
    return file


def bits(tensor):
    return tensor.contiguous().view(torch.uint8)


def test_tensors_come_back_to_the_bit(path):
    read = read_shard(path, KEY, 4, 3)
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(bits(read[name]), bits(tensor))


def test_strided_tensors_and_views_are_written_as_they_look(tmp_path):
    whole = torch.rand(6, 5)
    write_shard(tmp_path / "s.pt", KEY, 0, {"part": whole[::2, 1:3]})
    assert (tmp_path / "s.pt").stat().st_size < 4000  # not the whole storage
    assert torch.equal(read_shard(tmp_path / "s.pt", KEY, 0, 3)["part"], whole[::2, 1:3])


def test_reading_maps_the_file_instead_of_copying_it(tmp_path):
    write_shard(tmp_path / "s.pt", KEY, 0, {"part": torch.rand(1000, 100)})
    read = read_shard(tmp_path / "s.pt", KEY, 0, 1000)["part"]
    assert str(tmp_path / "s.pt") in Path("/proc/self/maps").read_text()
    assert read.shape == (1000, 100)


@given(st.data())
def test_every_flipped_bit_is_noticed(data):
    buffer = sealed()
    place = data.draw(st.integers(0, len(buffer) * 8 - 1))
    buffer[place // 8] ^= 1 << place % 8
    check_refused(bytes(buffer), "damaged, or no shard")


@given(st.data())
def test_every_truncation_is_noticed(data):
    buffer = sealed()
    check_refused(bytes(buffer[: data.draw(st.integers(0, len(buffer) - 1))]), "damaged, or no shard")


def test_bytes_after_the_end_are_noticed():
    check_refused(bytes(sealed()) + b"\0", "damaged, or no shard")


def sealed(**changes):
    """Return a shard's bytes, some of its contents changed, correctly sealed."""
    return saved({"format": FORMAT, "key": KEY, "shard": 4, "tensors": TENSORS} | changes)


def saved(contents):
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    return bytearray(seal(buffer.getvalue()))


def seal(contents):
    return contents + b"blake2b " + hashlib.blake2b(contents, digest_size=32).hexdigest().encode()


def check_refused(contents, message):
    import tempfile  # noqa: PLC0415 - hypothesis forbids function-scoped fixtures

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shard_00004.pt"
        file.write_bytes(contents)
        with pytest.raises(ValueError, match=message) as error:
            read_shard(file, KEY, 4, 3)
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)
        assert file.read_bytes() == contents  # neither deleted nor changed


@pytest.mark.parametrize("contents", [b"", b"hello", b"PK\x03\x04" * 100])
def test_other_files_are_refused(contents):
    check_refused(contents, "damaged, or no shard")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": FORMAT + 1}, f"has format {FORMAT + 1}, this version reads up to {FORMAT}: upgrade"),
        ({"key": "b" * 32}, "belongs to another set or place"),
        ({"shard": 3}, "belongs to another set or place"),
        ({"tensors": {"images": torch.zeros(2, 1, 1, 2)}}, "belongs to another set or place"),
    ],
)
def test_sound_shards_of_other_formats_sets_and_places_are_refused(changes, message):
    check_refused(bytes(sealed(**changes)), message)


@pytest.mark.parametrize(
    "contents",
    [
        *(seal(b""), seal(b"hello"), seal(b"PK\x03\x04" * 100)),
        *map(saved, ([], 5, "text", torch.ones(3), {}, {"format": "1"}, {"format": FORMAT}, {1: 2})),
        sealed(tensors=[torch.ones(3)]),
        sealed(tensors={}),
        sealed(tensors={"images": [1, 2, 3]}),
        sealed(tensors={"images": torch.tensor(3.0)}),
        sealed(tensors={"images": torch.ones(3, 2).to_sparse()}),
        sealed(tensors={"images": torch.nn.Parameter(torch.ones(3))}),
        sealed(tensors={"images": None}),
    ],
)
def test_sealed_files_that_are_no_shards_are_refused(contents):
    check_refused(bytes(contents), "has a valid checksum but is no shard: move it away")


@pytest.mark.parametrize("missing", ["key", "shard"])
def test_a_sealed_shard_without_its_place_is_refused(missing):
    contents = {"format": FORMAT, "key": KEY, "shard": 4, "tensors": TENSORS}
    del contents[missing]
    check_refused(bytes(saved(contents)), "belongs to another set or place")


def test_a_file_changed_after_it_was_read_is_checked_again(path):
    read_shard(path, KEY, 4, 3)
    contents = bytearray(path.read_bytes())
    contents[-200] ^= 1
    path.unlink()  # a new file: the mapped one stays as it was
    path.write_bytes(contents)
    with pytest.raises(ValueError, match="damaged"):
        read_shard(path, KEY, 4, 3)


def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"s\.pt could not be written \(No space left on device\): make room"):
        write_shard(tmp_path / "s.pt", KEY, 0, TENSORS)
    assert list(tmp_path.iterdir()) == []
