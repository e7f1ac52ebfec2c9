"""Adversarial sets read from a store are what would be made on the fly."""

import logging
from dataclasses import dataclass

import lightning
import pytest
import torch
from rich.progress import Progress

from attacks import BIM, FGSM, PGD
from attacks.guard import evaluation_mode
from data import AdversarialData, Images, Pairs
from data.pairs import make_pairs
from data.store.sets import AdversarialSets
from data.store.store import SHARD_SIZE, Store
from detectors import ID, JSD, SMD, SPD, Classifier
from tests.data.test_adversarial import TEST_ATTACKS, Recorder, check_pairs, halves
from tests.data.toy import LargeToy, Toy
from tests.fixtures import CLASSES, SHAPE
from tests.forked import FORK, forked


class Counting(BIM):
    """Counts how often it was run."""

    runs = 0

    def perturb(self, problem):
        Counting.runs += 1
        return super().perturb(problem)


@pytest.fixture
def folder(tmp_path):
    Counting.runs = 0
    return tmp_path / "store"


@pytest.fixture
def sets(folder, classifier):
    data = LargeToy(batch_size=50)
    data.setup()
    return AdversarialSets(Store(folder), data, classifier, torch.device("cpu"), Progress(disable=True))


DETECTORS = {
    "id": lambda classifier, _: ID(classifier),
    "jsd": lambda classifier, _: JSD(classifier, readout="margin"),
    "smd": SMD,
    "spd": SPD,
}


@pytest.mark.parametrize("attack", [FGSM(epsilon=0.1), PGD(epsilon=0.1, step_size=0.03, steps=3, restarts=2)], ids=repr)
def test_stored_pairs_are_those_made_on_the_fly(sets, classifier, attack):
    images = sets.images.split("detector_train_validation")
    pairs = sets.pairs("detector_train_validation", attack)
    assert len(pairs) == len(images)
    rows = torch.randperm(len(images))[:40].tolist()
    stored, made = pairs.__getitems__(rows), make_pairs(classifier, attack, images.__getitems__(rows))
    for name, field in stored._asdict().items():
        torch.testing.assert_close(field, getattr(made, name), rtol=0, atol=1e-6)
    assert torch.equal(stored.images[:40], made.images[:40])
    assert pairs[3].positions.tolist() == [int(images.positions[3])] * 2


@pytest.mark.parametrize("name", ["jsd", "smd", "spd"])
def test_stored_explanations_give_the_detector_s_own_scores(sets, classifier, saliency, name):
    detector = DETECTORS[name](classifier, saliency).eval()
    pairs = sets.pairs("detector_train_validation", FGSM(epsilon=0.1), detector.explanation)
    batch = pairs.__getitems__(list(range(30)))
    assert batch.explanation.shape[1] > 0
    with torch.no_grad():
        torch.testing.assert_close(detector.batch_scores(batch), detector(batch.images), rtol=1e-4, atol=1e-5)
        nothing = batch._replace(explanation=torch.zeros_like(batch.explanation))
        assert not torch.allclose(detector.batch_scores(nothing), detector(batch.images))  # it is really read


@pytest.mark.slow
def test_a_set_is_shared_by_what_it_depends_on(sets, classifier, saliency):
    attack = FGSM(epsilon=0.1)
    sets.pairs("detector_train", attack, SMD(classifier, saliency).explanation)
    assert sets.tally.sets == 3
    made = sets.tally.made
    sets.pairs("detector_train", attack, SPD(classifier, saliency).explanation)  # the same maps
    assert (sets.tally.sets, sets.tally.made) == (3, made)
    sets.pairs("detector_train", BIM(epsilon=0.1), SPD(classifier, saliency).explanation)  # the same maps of clean ones
    assert sets.tally.sets == 5
    sets.pairs("detector_train", attack, JSD(classifier).explanation)
    sets.pairs("detector_train", attack, JSD(classifier, readout="margin").explanation)
    assert sets.tally.sets == 9
    kinds = [entry.about["kind"] for entry in sets.store.entries()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"adversarial": 2, "predictedmap": 3, "logitgradient": 4}


@pytest.mark.slow
def test_explanations_belong_to_the_very_images_that_they_explain(sets, folder, classifier, saliency):
    """A bug: the number of images took the place of the twins' key, so that old maps stood beside new images."""
    explanation = SMD(classifier, saliency).explanation
    other = Classifier(SHAPE, CLASSES, widths=(8,)).eval()
    attacked = AdversarialSets(Store(folder), sets.images, other, torch.device("cpu"), Progress(disable=True))
    keys = {each.explained("calibration", explanation, FGSM(epsilon=0.1)).key for each in (sets, attacked)}
    assert len(keys) == 2
    assert sets.explained("calibration", explanation).key == attacked.explained("calibration", explanation).key


def test_attacks_of_one_class_name_have_their_own_loaders(classifier, folder, trainer):
    @dataclass(frozen=True)
    class Idle(FGSM):
        def perturb(self, problem):
            return problem.images

    Idle.__qualname__ = Idle.__name__ = "FGSM"
    attacks = {"fgsm": FGSM(epsilon=0.1), "idle": Idle(epsilon=0.1)}
    assert repr(attacks["fgsm"]) == repr(attacks["idle"])
    recorder = Recorder()
    data = AdversarialData(Toy(), classifier, FGSM(epsilon=0.1), attacks, store=str(folder))
    trainer.test(recorder, data, verbose=False)
    moved = [recorder.batches["test", index][0].images.chunk(2) for index in (0, 1)]
    assert [bool((clean != twin).any()) for clean, twin in moved] == [True, False]


class Halved(JSD):
    """A detector of a user: its own representation, on top of one of the project's."""

    def represent(self, images, logits=None):
        return super().represent(images, logits) * 0.5


def test_a_representation_of_one_s_own_is_never_bypassed(classifier, folder, tmp_path):
    detector = Halved(classifier)
    data = AdversarialData(Toy(batch_size=16), classifier, FGSM(epsilon=0.1), store=str(folder))
    short(tmp_path).fit(detector, data)
    assert {entry.about["kind"] for entry in Store(folder).entries()} == {"adversarial"}
    batch = next(iter(data.train_dataloader()))
    known = batch._replace(explanation=torch.zeros_like(batch.images))
    with torch.no_grad():
        assert torch.equal(detector.eval().batch_scores(known), detector(batch.images))


def test_a_smoke_test_makes_no_whole_set(classifier, folder, tmp_path):
    data = AdversarialData(Toy(batch_size=16), classifier, FGSM(epsilon=0.1), store=str(folder))
    lightning.Trainer(accelerator="cpu", fast_dev_run=True, enable_progress_bar=False, default_root_dir=tmp_path).fit(
        ID(classifier), data
    )
    assert not folder.exists()


@pytest.mark.parametrize("change", ["weights", "attack", "split", "data", "limit"])
def test_anything_else_gets_another_set(sets, folder, classifier, change):
    key = sets.attacked("detector_train", FGSM(epsilon=0.1)).key
    data, attack, split = LargeToy(batch_size=50), FGSM(epsilon=0.1), "detector_train"
    if change == "weights":
        next(classifier.parameters()).data.view(-1)[0] += 0.01
    elif change == "attack":
        attack = FGSM(epsilon=0.1001)
    elif change == "split":
        split = "calibration"
    elif change == "data":
        data = Toy(batch_size=50)
    else:
        data = LargeToy(batch_size=50, train_limit=3000)
    data.setup()
    other = AdversarialSets(Store(folder), data, classifier, torch.device("cpu"), Progress(disable=True))
    assert other.attacked(split, attack).key != key


def test_batch_size_changes_nothing_but_rounding(sets, folder, classifier):
    stored = sets.attacked("detector_train_validation", BIM(epsilon=0.1))
    data = LargeToy(batch_size=7)
    data.setup()
    other = AdversarialSets(Store(folder / "b"), data, classifier, torch.device("cpu"), Progress(disable=True))
    again = other.attacked("detector_train_validation", BIM(epsilon=0.1))
    assert again.key == stored.key
    rows = torch.arange(len(stored))
    torch.testing.assert_close(again.read("images", rows), stored.read("images", rows), rtol=0, atol=1e-6)


def data_of(classifier, attack, folder, **options):
    return AdversarialData(Toy(batch_size=16), classifier, attack, TEST_ATTACKS, store=str(folder), **options)


def test_a_fit_makes_its_sets_once_and_trains_on_them(classifier, folder, trainer):
    recorder, attack = Recorder(), Counting(epsilon=0.1)
    trainer.fit(recorder, data_of(classifier, attack, folder))
    assert Counting.runs == -(-len(Toy().split("detector_train")) // 16) + 1  # a batch of validation images
    for stage in ("train", "validate"):
        for pairs in recorder.batches[stage, 0]:
            assert isinstance(pairs, Pairs)
            check_pairs(pairs, classifier)
    runs = Counting.runs
    again = Recorder()
    trainer.fit_loop.epoch_progress.reset()
    trainer.fit(again, data_of(classifier, attack, folder))
    assert Counting.runs == runs


def test_stored_batches_come_in_the_order_of_those_made_on_the_fly(classifier, folder, tmp_path):
    seen = []
    for store in (folder, None):
        lightning.seed_everything(3, verbose=False)
        recorder = Recorder()
        data = AdversarialData(Toy(batch_size=16), classifier, FGSM(epsilon=0.1), store=store and str(store))
        short(tmp_path, epochs=2).fit(recorder, data)
        seen.append(recorder.batches["train", 0])
    for stored, made in zip(*seen, strict=True):
        assert torch.equal(stored.positions, made.positions)
        torch.testing.assert_close(stored.images, made.images, rtol=0, atol=1e-6)


def short(tmp_path, epochs=1):
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_learns_the_same_from_the_store(classifier, saliency, folder, tmp_path, name):
    weights = []
    for store in (str(folder), None):
        lightning.seed_everything(1, verbose=False)
        detector = DETECTORS[name](classifier, saliency)
        data = AdversarialData(Toy(batch_size=16), classifier, FGSM(epsilon=0.1), store=store)
        short(tmp_path).fit(detector, data)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in detector.network.parameters()]))
    torch.testing.assert_close(*weights, rtol=0, atol=2e-4)


def test_each_test_attack_has_its_set(classifier, folder, trainer):
    recorder = Recorder()
    trainer.test(recorder, data_of(classifier, FGSM(epsilon=0.1), folder), verbose=False)
    for index, attack in enumerate(TEST_ATTACKS.values()):
        for pairs in recorder.batches["test", index]:
            check_pairs(pairs, classifier)
            clean, adversarial = halves(pairs.images)
            torch.testing.assert_close(adversarial, attack(classifier, clean), rtol=0, atol=1e-6)
    assert len(Store(folder).entries()) == len(TEST_ATTACKS)


@pytest.mark.parametrize("stage", ["validate", "predict"])
def test_other_stages_read_the_training_attack_s_set(classifier, folder, trainer, stage):
    recorder = Recorder()
    data = data_of(classifier, Counting(epsilon=0.1), folder)
    getattr(trainer, stage)(recorder, data)
    (entry,) = Store(folder).entries()
    assert entry.about["split"] == {"validate": "detector_train_validation", "predict": "test"}[stage]
    for pairs in recorder.batches[stage, 0]:
        check_pairs(pairs, classifier)


def test_an_attack_on_the_live_detector_is_never_stored(classifier, folder, trainer):
    class Live(FGSM):
        needs_detector = True

        def __call__(self, model, images, *arguments, **named):
            return FGSM(epsilon=self.epsilon)(model, images, *arguments, **named)

    recorder = Recorder()
    trainer.fit(recorder, data_of(classifier, Live(epsilon=0.1), folder))
    assert not folder.exists()
    check_pairs(recorder.batches["train", 0][0], classifier)


def test_without_a_store_nothing_is_written(classifier, tmp_path, trainer, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer.fit(Recorder(), AdversarialData(Toy(), classifier, FGSM(epsilon=0.1)))
    assert not list(tmp_path.rglob("shard_*"))


@pytest.mark.slow
def test_workers_read_the_same(classifier, folder, tmp_path):
    seen = []
    for workers in (0, 2):
        lightning.seed_everything(3, verbose=False)
        recorder = Recorder()
        data = AdversarialData(Toy(batch_size=16, workers=workers), classifier, FGSM(epsilon=0.1), store=str(folder))
        short(tmp_path).fit(recorder, data)
        seen.append(torch.cat([pairs.images for pairs in recorder.batches["train", 0]]))
    assert torch.equal(*seen)


def test_what_was_found_and_made_is_told_in_a_line(classifier, saliency, folder, tmp_path, caplog):
    caplog.set_level(logging.INFO, "data")
    for _ in range(2):
        data = AdversarialData(Toy(batch_size=16), classifier, FGSM(epsilon=0.1), store=str(folder))
        short(tmp_path).fit(SPD(classifier, saliency), data)
    told = [record.getMessage() for record in caplog.records if record.name == "data.adversarial"]
    first, second = [message.split(" (")[0] for message in told]
    assert first == f"{folder}: 6 sets, 6 shards: 0 found, 6 made"
    assert second == f"{folder}: 6 sets, 6 shards: 6 found, 0 made"


def test_making_a_set_leaves_classifier_and_random_state_as_they_were(sets, classifier, saliency):
    explanation = SMD(classifier, saliency).explanation
    classifier.train()
    state = torch.get_rng_state()
    sets.pairs("calibration", FGSM(epsilon=0.1), explanation)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_shards_are_whole_but_for_the_last(sets):
    stored = sets.attacked("detector_train", FGSM(epsilon=0.1))
    assert len(stored) > 2 * SHARD_SIZE
    assert stored.shards == -(-len(stored) // SHARD_SIZE)
    assert stored.read("images", torch.tensor([len(stored) - 1])).shape == (1, *SHAPE)


def test_predictions_of_a_set_are_the_classifier_s(sets, classifier):
    stored = sets.attacked("calibration", FGSM(epsilon=0.3))
    rows = torch.arange(len(stored))
    images: Images = sets.images.split("calibration").__getitems__(rows.tolist())
    with torch.no_grad(), evaluation_mode(classifier):
        assert torch.equal(stored.read("before", rows), classifier(images.images).argmax(1))
        assert torch.equal(stored.read("after", rows), classifier(stored.read("images", rows)).argmax(1))
    assert stored.read("after", rows).max() < CLASSES


@pytest.mark.slow
def test_the_sets_that_two_processes_make_together_are_those_of_one(classifier, tmp_path):
    attack = PGD(epsilon=0.1, step_size=0.03, steps=2, restarts=2)

    def made(name):
        data = LargeToy(batch_size=50)
        data.setup()
        sets = AdversarialSets(Store(tmp_path / name), data, classifier, torch.device("cpu"), Progress(disable=True))
        return sets, sets.attacked("detector_train", attack)

    both = [FORK.Pipe(duplex=False) for _ in range(2)]
    processes = [forked(lambda end=end: end.send(made("two")[0].tally.made)) for _, end in both]
    counts = [end.recv() for end, _ in both]
    for process in processes:
        process.join(60)
    (_, one), (sets, two) = made("one"), made("two")
    assert sum(counts) == two.shards > 2
    assert sets.tally.made == 0
    rows = torch.arange(len(one))
    for name in ("images", "before", "after"):
        assert torch.equal(one.read(name, rows), two.read(name, rows))
