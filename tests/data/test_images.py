"""Splits and loaders of every image data module."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data import ImageData, Images
from tests.data.toy import COUNT, Toy, ToyWithTest, positions

DISJOINT = ["classifier_train", "detector_train", "calibration", "test"]
HELD_OUT = ["classifier_train_validation", "detector_train_validation"]


def sets_of(data):
    return {name: set(data.split(name).positions.tolist()) for name in [*DISJOINT, *HELD_OUT]}


@pytest.mark.parametrize("make", [Toy, ToyWithTest])
def test_disjoint_splits_are_disjoint_and_complete(make):
    splits = sets_of(make())
    assert sum(len(positions) for positions in splits.values()) == COUNT
    assert set().union(*splits.values()) == set(range(COUNT))
    assert all(splits.values())


@pytest.mark.parametrize("make", [Toy, ToyWithTest])
def test_paper_splits_train_both_on_the_same_images_and_share_nothing_else(make):
    splits = sets_of(make(splits="paper"))
    assert splits["classifier_train"] == splits["detector_train"]
    assert splits["classifier_train_validation"] == splits["detector_train_validation"]
    different = [splits[name] for name in ("classifier_train", HELD_OUT[0], "calibration", "test")]
    assert sum(len(positions) for positions in different) == COUNT
    assert set().union(*different) == set(range(COUNT))


def test_unknown_kind_of_splits_is_refused():
    with pytest.raises(ValueError, match="disjoint"):
        Toy(splits="Disjoint")


def test_validation_is_held_out_of_its_own_split():
    data, limited = Toy(), Toy(split_seed=1)
    for module in (data, limited):
        for name in ("classifier_train", "detector_train"):
            kept, held_out = len(module.split(name)), len(module.split(f"{name}_validation"))
            assert held_out == pytest.approx((kept + held_out) / 10, abs=1)
    assert sets_of(data) != sets_of(limited)


def test_the_sets_own_test_images_are_the_test_split():
    assert sets_of(ToyWithTest())["test"] == set(range(140, 200))


def test_without_test_images_a_fifth_is_the_test_split():
    assert len(sets_of(Toy())["test"]) == COUNT / 5


@pytest.mark.parametrize("make", [Toy, ToyWithTest])
def test_splits_depend_on_the_split_seed_alone(make):
    torch.manual_seed(1)
    first = make()
    first.setup("fit")
    torch.manual_seed(2)
    torch.rand(5)
    second = make(batch_size=3)
    for name in [*DISJOINT, *HELD_OUT]:
        assert torch.equal(first.split(name).positions, second.split(name).positions)
    assert sets_of(make(split_seed=1))["calibration"] != sets_of(first)["calibration"]


def test_images_and_labels_go_with_their_positions():
    data = Toy()
    pixels, labels, _ = data.read()
    for name in [*DISJOINT, *HELD_OUT]:
        split = data.split(name)
        batch = split.__getitems__(list(range(len(split))))
        assert torch.equal((batch.images * 255).round().byte(), pixels[batch.positions])
        assert torch.equal(batch.labels, labels[batch.positions])
        assert (batch.images.dtype, batch.labels.dtype, batch.positions.dtype) == (torch.float32, *[torch.int64] * 2)


def test_bytes_become_numbers_from_0_to_1():
    batch = next(iter(Toy().test_dataloader()))
    assert isinstance(batch, Images)
    assert batch.images.min() == 0
    assert batch.images.max() == 1


def test_one_row_is_a_batch_of_one():
    split = Toy().split("test")
    one = split[3]
    assert one.images.shape == (1, 1, 12, 12)
    assert one.positions.tolist() == [split.positions[3]]


def test_files_are_read_once():
    data = Toy()
    for stage in ("fit", "validate", "test", None):
        data.setup(stage)
    before = data.split("test")
    assert data.reads == 1
    assert data.split("test") is before


def test_unknown_split_is_refused():
    with pytest.raises(KeyError, match="training"):
        Toy().split("training")


@pytest.mark.parametrize("make", [Toy, ToyWithTest])
def test_train_limit_draws_from_the_training_images_and_leaves_the_test_split(make):
    full, limited = sets_of(make()), sets_of(make(train_limit=100))
    assert sum(len(positions) for name, positions in limited.items() if name != "test") == 100
    assert limited["test"] == full["test"]
    assert sum(len(positions) for positions in limited.values()) == len(set().union(*limited.values()))
    drawn = set().union(*(positions for name, positions in limited.items() if name != "test"))
    assert drawn != set(range(100))  # drawn at random


@pytest.mark.parametrize("make", [Toy, ToyWithTest])
def test_test_limit_draws_from_the_test_images_and_leaves_the_others(make):
    full, limited = sets_of(make()), sets_of(make(test_limit=7))
    assert len(limited["test"]) == 7
    assert limited["test"] < full["test"]
    assert all(limited[name] == full[name] for name in limited if name != "test")


def test_limits_above_what_there_is_change_nothing():
    assert sets_of(Toy(train_limit=10_000, test_limit=10_000)) == sets_of(Toy())


@pytest.mark.parametrize("splits", ["disjoint", "paper"])
def test_too_few_images_are_refused_with_their_number(splits):
    with pytest.raises(ValueError, match=r"\d images are too few for the splits .* is empty"):
        Toy(train_limit=4, splits=splits).setup()


@pytest.mark.parametrize("name", ["batch_size", "train_limit", "test_limit"])
@pytest.mark.parametrize("value", [0, -1])
def test_sizes_below_1_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got {value}"):
        Toy(**{name: value})


@pytest.mark.parametrize(
    ("loader", "split"),
    [
        ("train_dataloader", "classifier_train"),
        ("val_dataloader", "classifier_train_validation"),
        ("calibration_dataloader", "calibration"),
        ("test_dataloader", "test"),
        ("predict_dataloader", "test"),
    ],
)
def test_loader_gives_its_split_once(loader, split):
    data = Toy(batch_size=16)
    seen = positions(getattr(data, loader)())
    assert sorted(seen) == sorted(data.split(split).positions.tolist())


def test_batches_have_the_batch_size_and_the_last_one_is_kept():
    sizes = [len(batch.images) for batch in Toy(batch_size=16).test_dataloader()]
    assert sizes == [16, 16, 8]


def test_only_training_is_shuffled():
    data = Toy()
    for split, loader in {
        "test": data.test_dataloader(),
        "calibration": data.calibration_dataloader(),
        "classifier_train_validation": data.val_dataloader(),
    }.items():
        assert positions(loader) == data.split(split).positions.tolist()
    assert positions(data.train_dataloader()) != data.split("classifier_train").positions.tolist()


def order(seed, epoch, draws=0, **arguments):
    """Return the order of the training images of an epoch, after so many draws from the global random state."""
    torch.manual_seed(seed)
    torch.rand(draws)
    loader = Toy(**arguments).train_dataloader()
    loader.sampler.set_epoch(epoch)
    torch.rand(draws)
    return positions(loader)


def test_order_of_training_depends_on_seed_and_epoch():
    orders = [order(seed, epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    assert len({tuple(images) for images in orders}) == 9  # also (0, 1) and (1, 0) differ
    assert len({frozenset(images) for images in orders}) == 1


def test_order_of_training_depends_on_nothing_else():
    assert order(3, 2, draws=5) == order(3, 2)
    assert order(3, 2, batch_size=7) == order(3, 2)
    assert order(3, 2, workers=1) == order(3, 2)


def test_an_epoch_can_be_repeated():
    loader = Toy().train_dataloader()
    orders = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        orders.append(positions(loader))
    assert orders[0] == orders[2] != orders[1]


def test_global_random_state_is_not_changed_by_reading_and_iterating():
    torch_state, numpy_words = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    data = Toy()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        positions(loader)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_words  # noqa: NPY002


def test_processes_share_the_training_images():
    shares = []
    for rank in range(2):
        data = Toy()
        data.trainer = SimpleNamespace(world_size=2, global_rank=rank)
        shares.append(positions(data.train_dataloader()))
    whole = Toy().split("classifier_train").positions.tolist()
    assert len(whole) % 2 == 1  # one image is given to both, so that no process waits
    assert len(shares[0]) == len(shares[1]) == (len(whole) + 1) / 2
    assert set(shares[0]) | set(shares[1]) == set(whole)


def test_processes_share_the_test_images_in_order():
    whole = Toy().split("test").positions.tolist()
    for rank in range(2):
        data = Toy()
        data.trainer = SimpleNamespace(world_size=2, global_rank=rank)
        assert positions(data.test_dataloader()) == whole[rank::2]


def test_splits_share_the_pixels():
    data = Toy()
    data.setup()
    assert len({id(data.split(name).pixels) for name in [*DISJOINT, *HELD_OUT]}) == 1


def test_a_split_is_as_long_as_its_labels_and_positions():
    for name in [*DISJOINT, *HELD_OUT]:
        split = Toy().split(name)
        assert len(split) == len(split.labels) == len(split.positions)


class Changed(Toy):
    """The toy images, one value changed."""

    changed = "nothing"

    def read(self):
        pixels, labels, is_test = super().read()
        if self.changed == "a pixel":
            pixels[77, 0, 5, 5] ^= 1
        elif self.changed == "a label":
            labels[77] = (labels[77] + 1) % 4
        elif self.changed == "the order":
            pixels[[7, 11]] = pixels[[11, 7]]
        elif self.changed == "an image less":
            pixels, labels = pixels[:-1], labels[:-1]
        return pixels, labels, is_test


@pytest.mark.parametrize("changed", ["a pixel", "a label", "the order", "an image less"])
def test_fingerprint_changes_with_the_content(changed, monkeypatch):
    first = Toy().fingerprint()
    assert Changed().fingerprint() == first
    monkeypatch.setattr(Changed, "changed", changed)
    assert Changed().fingerprint() != first


def test_fingerprint_changes_with_nothing_else():
    first = Toy().fingerprint()
    for data in (ToyWithTest(), Toy(train_limit=50), Toy(split_seed=4, splits="paper"), Toy(batch_size=3, workers=1)):
        assert data.fingerprint() == first
    assert int(first, 16) >= 0


def test_fingerprint_reads_once():
    data = Toy()
    data.setup()
    assert data.fingerprint() == data.fingerprint()
    assert data.reads == 1


def test_sets_in_memory_are_loaded_without_workers_unless_asked_for():
    assert Toy().train_dataloader().num_workers == 0
    assert Toy(workers=1).train_dataloader().num_workers == 1


def test_workers_below_0_are_refused():
    with pytest.raises(ValueError, match="workers must be at least 0, got -1"):
        Toy(workers=-1)


def test_the_base_of_all_data_sets_is_refused_where_it_is_named():
    with pytest.raises(TypeError, match="abstract"):
        ImageData()
