"""Rows that are read when they are asked for."""

from io import BytesIO

import pytest
import torch

from data.store.identity import of_tensor
from data.store.store import Store
from experiments.study.batches import in_batches
from experiments.study.rows import combined, on_disk, rows_of

ALL = torch.rand(600, 2, 3, generator=torch.Generator().manual_seed(0))
"""More rows than a file of a store holds."""


def from_store(folder):
    kept, _ = Store(folder).complete({"kind": "some"}, len(ALL), lambda rows: {"values": ALL[rows]})
    return rows_of(kept, "values")


@pytest.fixture(params=["on disk", "in a store"])
def rows(request, tmp_path):
    return on_disk(ALL.split(7)) if request.param == "on disk" else from_store(tmp_path)


def test_they_are_indexed_as_a_tensor(rows):
    positions = torch.tensor([599, 0, 256, 255, 255, 511])
    assert (len(rows), rows.shape) == (600, ALL.shape)
    for index in (slice(None), slice(250, 270), slice(None, None, 100), slice(0, 0), positions, ALL[:, 0, 0] > 0.5):
        assert torch.equal(rows[index], ALL[index])


def test_some_of_them_are_rows_too(rows):
    some = rows.at(torch.tensor([300, 2, 599]))
    assert torch.equal(some[1:], ALL[[2, 599]])
    assert torch.equal(some.at(torch.tensor([2]))[:], ALL[599:])


def test_their_digest_is_that_of_the_tensor(rows):
    assert rows.digest() == of_tensor(ALL)


def test_a_function_of_them_is_called_on_what_is_read(rows):
    doubled = combined(lambda one, two: (one + two).sum(1), rows, rows)
    assert doubled.shape == (600, 3)
    assert torch.equal(doubled[5:9], 2 * ALL[5:9].sum(1))


def test_batches_of_them_are_those_of_the_tensor(rows):
    options = {"device": torch.device("cpu"), "size": 64}
    assert torch.equal(in_batches(torch.neg, rows, **options), -ALL)


def test_what_is_on_disk_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = on_disk([ALL])
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(kept[3:4], ALL[3:4])


def test_what_is_on_disk_is_closed_where_a_part_fails(monkeypatch):
    files = []
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: files.append(BytesIO()) or files[0])

    def parts():
        yield ALL[:5]
        _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        on_disk(parts())
    assert files[0].closed


def test_there_may_be_none_of_them():
    none = on_disk([ALL[:0]])
    assert torch.equal(none[:], ALL[:0])
    assert torch.equal(on_disk([ALL[:0], ALL[:2]])[:], ALL[:2])
