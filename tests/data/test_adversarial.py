"""Pairs of clean and adversarial images, through Lightning's own loops."""

import lightning
import numpy as np
import pytest
import torch
from torch import nn

from attacks import BIM, FGSM
from data import AdversarialData, Images, Pairs
from data.pairs import make_pairs
from detectors import Classifier
from saliency import Encoder
from saliency.checkpoints import save
from tests.data.toy import Toy
from tests.fixtures import CLASSES, SHAPE

TEST_ATTACKS = {"weak": FGSM(epsilon=0.02), "strong": FGSM(epsilon=0.2), "iterative": BIM(epsilon=0.1)}


class Recorder(lightning.LightningModule):
    """Keeps every batch that it is given, by stage and loader."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.batches = {}

    def keep(self, stage, batch, loader=0):
        self.batches.setdefault((stage, loader), []).append(Pairs(*(field.clone() for field in batch)))

    def training_step(self, batch, batch_idx):  # noqa: ARG002 - Lightning's
        self.keep("train", batch)
        return self.weight * batch.images.mean()

    def validation_step(self, batch, batch_idx):  # noqa: ARG002 - Lightning's
        self.keep("validate", batch)

    def test_step(self, batch, batch_idx, dataloader_idx=0):  # noqa: ARG002 - Lightning's
        self.keep("test", batch, dataloader_idx)

    def predict_step(self, batch, batch_idx):  # noqa: ARG002 - Lightning's
        self.keep("predict", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def data(classifier, attack):
    return AdversarialData(Toy(batch_size=16), classifier, attack, TEST_ATTACKS)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def batch(images, labels):
    return Images(images, labels, torch.arange(8) + 40)


def halves(field):
    return field[: len(field) // 2], field[len(field) // 2 :]


def distance(pairs):
    clean, adversarial = halves(pairs.images)
    return (adversarial - clean).abs().max().item()


def check_pairs(pairs, classifier):
    """Assert everything that a batch of pairs promises, against the data set and the classifier."""
    pixels, true, _ = Toy().read()
    for field in (pairs.labels, pairs.positions, pairs.successful, pairs.failed):
        assert torch.equal(*halves(field))
    positions = halves(pairs.positions)[0]
    clean, adversarial = halves(pairs.images)
    assert torch.equal(clean, pixels[positions].float() / 255)  # to the bit
    assert torch.equal(halves(pairs.labels)[0], true[positions])
    assert halves(pairs.is_adversarial)[0].logical_not().all()
    assert halves(pairs.is_adversarial)[1].all()
    before, after = (classifier(half).argmax(1) == true[positions] for half in (clean, adversarial))
    assert torch.equal(halves(pairs.successful)[0], before & ~after)
    assert torch.equal(halves(pairs.failed)[0], before & after)


def test_pairs_are_the_batch_and_what_the_attack_returns(classifier, batch):
    attack = FGSM(epsilon=0.1)
    pairs = make_pairs(classifier, attack, batch)
    assert torch.equal(pairs.images, torch.cat([batch.images, attack(classifier, batch.images)]))
    assert pairs.is_adversarial.tolist() == [False] * 8 + [True] * 8
    assert pairs.labels.tolist() == batch.labels.tolist() * 2
    assert pairs.positions.tolist() == batch.positions.tolist() * 2
    assert [field.dtype for field in pairs[:6]] == [
        torch.float32,
        torch.bool,
        torch.int64,
        *[torch.bool] * 2,
        torch.int64,
    ]
    assert pairs.explanation.shape == (16, 0, *SHAPE[1:])


def test_successful_and_failed_are_recomputed_from_the_returned_images(classifier, batch):
    strong = FGSM(epsilon=0.5)
    predicted = classifier(batch.images).argmax(1)
    after = classifier(strong(classifier, batch.images)).argmax(1)
    assert (after != predicted).any()
    right = torch.arange(8) < 4
    given = batch._replace(labels=torch.where(right, predicted, (predicted + 1) % CLASSES))
    pairs = make_pairs(classifier, strong, given)
    assert torch.equal(halves(pairs.successful)[0], right & (after != predicted))
    assert torch.equal(halves(pairs.failed)[0], right & (after == predicted))
    weak = make_pairs(classifier, FGSM(epsilon=0), given)
    assert not weak.successful.any()
    assert torch.equal(halves(weak.failed)[0], right)


def test_making_pairs_leaves_a_training_classifier_as_it_was(classifier, batch):
    classifier.train()
    state = torch.get_rng_state()
    pairs = make_pairs(classifier, FGSM(epsilon=0.1), batch)
    assert all(part.training for part in classifier.modules())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(field.requires_grad for field in pairs)


def test_pairs_of_a_training_classifier_are_those_of_eval_mode(classifier, batch):
    classifier.network = nn.Sequential(classifier.network, nn.Dropout(1.0))  # in train mode every logit would be 0
    expected = make_pairs(classifier.eval(), FGSM(epsilon=0.3), batch)
    pairs = make_pairs(classifier.train(), FGSM(epsilon=0.3), batch)
    assert all(torch.equal(field, other) for field, other in zip(pairs, expected, strict=True))


def test_test_has_one_named_loader_per_attack_and_each_uses_its_own(data, recorder, trainer, classifier):
    trainer.test(recorder, data, verbose=False)
    assert data.test_names == list(TEST_ATTACKS)
    assert set(recorder.batches) == {("test", 0), ("test", 1), ("test", 2)}
    expected = data.images.split("test").positions.tolist()
    for index, attack in enumerate(TEST_ATTACKS.values()):
        batches = recorder.batches["test", index]
        seen = [position for pairs in batches for position in halves(pairs.positions)[0].tolist()]
        assert seen == expected
        for pairs in batches:
            check_pairs(pairs, classifier)
            clean, adversarial = halves(pairs.images)
            assert torch.equal(adversarial, attack(classifier, clean))


def test_two_attacks_together_give_what_each_gives_alone(classifier, attack, trainer):
    together, alone = Recorder(), Recorder()
    trainer.test(together, AdversarialData(Toy(), classifier, attack, TEST_ATTACKS), verbose=False)
    only = {"strong": TEST_ATTACKS["strong"]}
    trainer.test(alone, AdversarialData(Toy(), classifier, attack, only), verbose=False)
    pairs = zip(together.batches["test", 1], alone.batches["test", 0], strict=True)
    assert all(torch.equal(first, second) for batches in pairs for first, second in zip(*batches, strict=True))


def test_without_test_attacks_the_training_attack_is_tested_by_the_name_of_its_class(
    classifier, attack, recorder, trainer
):
    data = AdversarialData(Toy(), classifier, attack)
    assert data.test_names == ["fgsm"]
    trainer.test(recorder, data, verbose=False)
    assert distance(recorder.batches["test", 0][0]) == pytest.approx(attack.epsilon, abs=1e-6)


def test_fit_trains_on_pairs_of_detector_train(data, recorder, trainer, classifier):
    trainer.fit(recorder, data)
    for stage, split in {"train": "detector_train", "validate": "detector_train_validation"}.items():
        loader = data.train_dataloader() if stage == "train" else data.val_dataloader()
        batches = recorder.batches[stage, 0][-len(loader) :]  # before them comes Lightning's sanity check
        seen = [position for pairs in batches for position in halves(pairs.positions)[0].tolist()]
        assert sorted(seen) == sorted(data.images.split(split).positions.tolist())
        for pairs in batches:
            check_pairs(pairs, classifier)
            assert distance(pairs) == pytest.approx(0.1, abs=1e-6)  # the training attack, whatever is tested


@pytest.mark.parametrize(("stage", "split"), [("validate", "detector_train_validation"), ("predict", "test")])
def test_other_stages_use_the_training_attack(stage, split, data, recorder, trainer, classifier):
    trainer.validate(recorder, data, verbose=False) if stage == "validate" else trainer.predict(recorder, data)
    batches = recorder.batches[stage, 0]
    seen = [position for pairs in batches for position in halves(pairs.positions)[0].tolist()]
    assert seen == data.images.split(split).positions.tolist()
    for pairs in batches:
        check_pairs(pairs, classifier)
        assert distance(pairs) == pytest.approx(0.1, abs=1e-6)


def test_tests_in_inference_mode_and_without_it_give_the_same(data, recorder, tmp_path):
    seen = []
    for inference_mode in (True, False):
        recorder = Recorder()
        lightning.Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            inference_mode=inference_mode,
        ).test(recorder, data, verbose=False)
        seen.append(torch.cat([pairs.images for pairs in recorder.batches["test", 2]]))
    assert torch.equal(*seen)


def test_global_random_state_is_not_changed_by_a_test(data, recorder, trainer):
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    trainer.test(recorder, data, verbose=False)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002


def test_classifier_gets_no_gradients_and_no_new_mode(data, recorder, trainer, classifier):
    weights = [parameter.detach().clone() for parameter in classifier.parameters()]
    classifier.train()
    trainer.fit(recorder, data)
    assert classifier.training
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert all(torch.equal(now, before) for now, before in zip(classifier.parameters(), weights, strict=True))


def test_calibration_stays_clean(data):
    loader = data.calibration_dataloader()
    batches = list(loader)
    assert all(isinstance(batch, Images) for batch in batches)
    assert sum(len(batch.images) for batch in batches) == len(data.images.split("calibration"))


def test_mapping_that_the_caller_changes_later_does_not_change_the_test(classifier, attack):
    attacks = dict(TEST_ATTACKS)
    data = AdversarialData(Toy(), classifier, attack, attacks)
    attacks.pop("weak")
    assert data.test_names == list(TEST_ATTACKS)


def test_shape_and_classes_are_those_of_the_images(data):
    assert (data.shape, data.classes) == (SHAPE, CLASSES)


def test_classifier_is_read_from_its_checkpoint(classifier, attack, batch, tmp_path):
    save(classifier, tmp_path / "model.ckpt")
    data = AdversarialData(Toy(), str(tmp_path / "model.ckpt"), attack)
    torch.testing.assert_close(data.classifier(batch.images), classifier(batch.images), rtol=0, atol=0)
    assert torch.equal(data.on_after_batch_transfer(batch, 0).images, make_pairs(classifier, attack, batch).images)


def test_missing_checkpoint_is_refused_with_its_path(attack, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*absent\.ckpt: make it with"):
        AdversarialData(Toy(), str(tmp_path / "absent.ckpt"), attack)


def test_checkpoint_of_something_else_is_refused(attack, tmp_path):
    save(Encoder(SHAPE, CLASSES, width=4), tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="holds Encoder, but Classifier is needed"):
        AdversarialData(Toy(), str(tmp_path / "model.ckpt"), attack)


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((1, 14, 12), CLASSES, r"made for images \(1, 14, 12\) of 4 classes, Toy gives \(1, 12, 12\) of 4"),
        (SHAPE, 5, r"made for images \(1, 12, 12\) of 5 classes, Toy gives \(1, 12, 12\) of 4"),
        (
            (3, 12, 12),
            CLASSES,
            r"made for images \(3, 12, 12\) .* give the checkpoint of a classifier of this data set",
        ),
    ],
)
def test_classifier_of_other_images_is_refused(shape, classes, message, attack):
    with pytest.raises(ValueError, match=message):
        AdversarialData(Toy(), Classifier(shape, classes, widths=(4,)), attack)
