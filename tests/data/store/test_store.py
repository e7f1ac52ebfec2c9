"""The store: sets made once, by whichever process comes, and found again."""

import json
import os
import pickle
import random
import signal
import time

import pytest
import torch
from filelock import FileLock

from data.store.shards import write_shard
from data.store.store import SHARD_SIZE, Store
from tests.data.fill import fill
from tests.forked import FORK, forked

COUNT = 2 * SHARD_SIZE + 7
ABOUT = {"kind": "squares", "of": "positions"}


class Maker:
    """Computes squares of rows, and remembers which it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, rows):
        self.asked.append(rows)
        numbers = torch.arange(rows.start, rows.stop)
        return {"values": numbers.float() ** 2, "rows": numbers}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def make():
    return Maker()


def files(folder):
    """Return the contents of all shards below a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("shard_*.pt")}


def test_a_set_is_made_once_and_found_again(store, make):
    stored, made = store.complete(ABOUT, COUNT, make)
    assert (len(stored), stored.shards, made) == (COUNT, 3, 3)
    assert make.asked == [slice(0, 256), slice(256, 512), slice(512, 519)]
    again, made = Store(store.folder).complete(ABOUT, COUNT, make)
    assert made == 0
    assert len(make.asked) == 3
    rows = torch.tensor([518, 0, 255, 256, 0])
    assert again.read("values", rows).tolist() == [518.0**2, 0.0, 255.0**2, 256.0**2, 0.0]
    assert again.read("rows", rows).tolist() == rows.tolist()


def test_what_is_read_is_a_copy(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    stored.read("values", torch.arange(4)).zero_()
    assert stored.read("values", torch.arange(4)).tolist() == [0, 1, 4, 9]


def test_sets_differ_by_everything_they_depend_on(store, make):
    keys = {
        store.complete(about, count, make)[0].key
        for about in (ABOUT, {**ABOUT, "of": "others"}, {**ABOUT, "kind": "cubes"})
        for count in (5, 6)
    }
    assert len(keys) == 6
    assert {entry.name.split("-")[0] for entry in store.entries()} == {"squares", "cubes"}


def test_only_missing_shards_are_made(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    (stored.folder / "shard_00001.pt").unlink()
    _, made = store.complete(ABOUT, COUNT, make)
    assert made == 1
    assert make.asked[3:] == [slice(256, 512)]


def test_progress_is_told_for_shards_found_and_made(store, make):
    told = []
    stored, _ = store.complete(ABOUT, COUNT, make)
    (stored.folder / "shard_00000.pt").unlink()
    store.complete(ABOUT, COUNT, make, told.append)
    assert told == [256, 256, 7]


def test_nothing_but_the_set_is_left_in_its_folder(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    assert sorted(path.name for path in stored.folder.iterdir()) == [
        "about.json",
        *(f"shard_0000{i}.pt" for i in range(3)),
    ]


def test_leftovers_of_a_killed_process_are_cleared(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    (stored.folder / "shard_00001.pt").rename(stored.folder / "shard_00001.pt.deadbeef.tmp")
    (stored.folder / "shard_00001.lock").touch()
    store.complete(ABOUT, COUNT, make)
    assert not list(stored.folder.glob("*.tmp"))
    assert not list(stored.folder.glob("*.lock"))


def test_a_failing_computation_leaves_what_was_finished(store, make):
    def failing(rows):
        if rows.start == 512:
            message = "no more"
            raise RuntimeError(message)
        return make(rows)

    with pytest.raises(RuntimeError, match="no more"):
        store.complete(ABOUT, COUNT, failing)
    (entry,) = store.entries()
    assert (entry.shards, entry.wanted) == (2, 3)
    assert not list(entry.folder.glob("*.lock"))
    assert store.complete(ABOUT, COUNT, make)[1] == 1


def test_a_damaged_shard_is_refused_before_anything_is_made(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    damaged = stored.folder / "shard_00000.pt"
    contents = damaged.read_bytes()[:-1]
    damaged.unlink()
    damaged.write_bytes(contents)
    (stored.folder / "shard_00002.pt").unlink()
    with pytest.raises(ValueError, match=r"shard_00000\.pt is damaged, or no shard: restore it .* or delete it"):
        store.complete(ABOUT, COUNT, make)
    assert len(make.asked) == 3
    assert damaged.read_bytes() == contents


def test_a_shard_of_another_set_is_refused(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    other, _ = store.complete({**ABOUT, "of": "others"}, COUNT, make)
    (stored.folder / "shard_00000.pt").replace(other.folder / "shard_00000.pt")
    with pytest.raises(ValueError, match="belongs to another set or place"):
        store.complete({**ABOUT, "of": "others"}, COUNT, make)


@pytest.mark.parametrize(
    "tensors",
    [
        {"values": torch.zeros(256)},
        {"values": torch.zeros(256), "rows": torch.zeros(256)},
        {"values": torch.zeros(256, 2), "rows": torch.zeros(256, dtype=torch.long)},
    ],
)
def test_shards_of_one_set_must_hold_the_same(tensors, store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    write_shard(stored.folder / "shard_00001.pt", stored.key, 1, tensors)
    with pytest.raises(
        ValueError, match=r"shard_00001\.pt holds .*, but the set's first shard .*: delete .* made anew"
    ):
        store.complete(ABOUT, COUNT, make)


def test_a_tensor_that_a_set_lacks_is_told(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    with pytest.raises(
        ValueError, match=rf"{stored.folder} holds values, rows, not images: delete it to have it made anew"
    ):
        stored.read("images", torch.arange(3))


def test_folders_that_are_no_sets_are_left_alone(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    for name in ("precious", "squares-notakey", "squares-0123456789ab-more"):
        (store.folder / name).mkdir()
        (store.folder / name / "about.json").write_text("{}")
    (entry,) = store.entries()
    (stored.folder / "thesis.txt").write_text("years of work")
    with pytest.raises(OSError, match=r"could not be deleted .*: delete by hand what is left"):
        store.remove(entry)
    assert (stored.folder / "thesis.txt").read_text() == "years of work"


def test_what_a_set_depends_on_never_mixes_with_what_the_store_adds(store, make):
    keys = {store.complete({**ABOUT, "images": each, "format": each}, 5, make)[0].key for each in ("a", "b")}
    assert len(keys) == 2


@pytest.mark.parametrize("contents", ["", "{", "[]", '{"key": "other"}', "\0\1\2", '{"key": ["x"]}', "[" * 100000])
def test_a_damaged_description_is_refused(store, make, contents):
    stored, _ = store.complete(ABOUT, COUNT, make)
    (stored.folder / "about.json").write_text(contents)
    with pytest.raises(ValueError, match=r"about\.json is damaged or belongs to another set: restore it, or delete"):
        store.complete(ABOUT, COUNT, make)


def test_a_store_that_cannot_be_made_is_told(tmp_path, make):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/squares-\w+ could not be made \(Not a directory\): give another store"):
        Store(tmp_path / "file").complete(ABOUT, COUNT, make)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_without_permission_is_told(tmp_path, make):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="could not be made \\(Permission denied\\)"):
        Store(tmp_path / "store").complete(ABOUT, COUNT, make)


def test_a_worker_that_is_started_maps_the_files_itself(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    sent = pickle.dumps(stored)
    assert len(sent) < 1000
    assert torch.equal(pickle.loads(sent).read("rows", torch.arange(COUNT)), torch.arange(COUNT))  # noqa: S301


def test_a_shard_that_another_process_makes_is_waited_for(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    finished = stored.folder / "shard_00001.pt"
    elsewhere = finished.rename(store.folder / "elsewhere")
    lock = FileLock(finished.with_suffix(".lock"))
    lock.acquire()
    waited = []

    def tell(_):
        if len(waited) == 1:  # the second of the two that are there: the other process is done now
            elsewhere.rename(finished)
            lock.release()
        waited.append(True)

    assert store.complete(ABOUT, COUNT, make, tell)[1] == 0
    assert len(make.asked) == 3


def test_list_shows_sets_with_those_used_last_first(store, make):
    first, _ = store.complete(ABOUT, COUNT, make)
    second, _ = store.complete({**ABOUT, "of": "others"}, 5, make)
    os.utime(first.folder / "about.json", (1, 1))
    entries = store.entries()
    assert [entry.folder for entry in entries] == [second.folder, first.folder]
    assert [(entry.shards, entry.wanted) for entry in entries] == [(1, 1), (3, 3)]
    assert entries[1].size == sum(len(contents) for contents in files(first.folder).values())
    assert entries[0].about["of"] == "others"
    store.complete(ABOUT, COUNT, make)
    assert store.entries()[0].folder == first.folder


def test_list_does_not_count_to_the_images_that_a_description_claims(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    (stored.folder / "about.json").write_text(json.dumps({"images": 10**30}))
    assert store.entries()[0].wanted == -(-(10**30) // 256)


def test_list_survives_a_damaged_description(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    for contents in ("{", '{"images": "many"}', "[" * 100000, '{"images": [3]}', '{"depends_on": 5}', "null"):
        (stored.folder / "about.json").write_text(contents)
        (entry,) = store.entries()
        assert (entry.shards, entry.wanted) == (3, 0)


def test_sets_are_found_by_name_or_the_first_digits_of_their_key(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    assert store.find(stored.folder.name).folder == stored.folder
    assert store.find(stored.key[:5]).folder == stored.folder
    with pytest.raises(ValueError, match="has 0 sets named 'absent': give the name of one, as the list shows it"):
        store.find("absent")
    store.complete({**ABOUT, "of": "others"}, 5, make)
    with pytest.raises(ValueError, match="has 0 sets named ''"):
        store.find("")


def test_a_removed_set_is_gone_and_open_ones_go_on(store, make):
    stored, _ = store.complete(ABOUT, COUNT, make)
    other, _ = store.complete({**ABOUT, "of": "others"}, 5, make)
    store.remove(store.find(stored.folder.name))
    assert [entry.folder for entry in store.entries()] == [other.folder]
    assert stored.read("rows", torch.tensor([300])).tolist() == [300]


def test_a_missing_store_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no store .*absent: `train\.py pipeline` makes one"):
        Store(tmp_path / "absent").entries()


def start(folder):
    """Return a process that fills a store, and the end of a pipe that tells how many shards it made."""
    end, other = FORK.Pipe(duplex=False)
    return forked(lambda: other.send(fill(folder).made)), end


def test_killed_at_random_moments_it_goes_on_and_equals_the_uninterrupted_one(tmp_path):
    fill(tmp_path / "whole", pause=0)
    whole, broken = files(tmp_path / "whole"), tmp_path / "broken"
    moments = random.Random(os.environ.get("PYTEST_SEED", "0"))  # noqa: S311 - no secret
    for _ in range(2):
        (process, _), count = start(broken), len(files(broken))
        while len(files(broken)) == count:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.1))
        before = files(broken)
        process.kill()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert before.items() <= files(broken).items() <= whole.items()  # what was finished stays, and is right
    kept = len(files(broken))
    assert 0 < kept < len(whole)
    assert fill(broken, pause=0).made == len(whole) - kept
    assert files(broken) == whole
    assert not list(broken.rglob("*.tmp"))


def test_two_processes_share_the_work(tmp_path):
    started = [start(tmp_path / "shared") for _ in range(2)]
    assert all(end.poll(60) for _, end in started)
    made = [end.recv() for _, end in started]
    assert sum(made) == len(files(tmp_path / "shared"))
    assert min(made) > 0
    fill(tmp_path / "alone", pause=0)
    assert files(tmp_path / "shared") == files(tmp_path / "alone")
