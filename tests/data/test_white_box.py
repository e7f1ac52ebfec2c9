"""Pairs under attacks that see the live detector, through Lightning's own loops."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import lightning
import pytest
import torch
from torch import nn

from attacks import FGSM, Alternating, Attack, Joint, SelectivePGD
from data import Pairs, WhiteBoxData
from data.white_box import Repeated
from detectors import ID, JSD, SPD, Classifier, Detector, Thresholded
from tests.data.toy import Toy
from tests.fixtures import CLASSES, SHAPE

SPLIT = 58
"""Training images of `Toy`'s detector_train."""


@dataclass(frozen=True, kw_only=True)
class Spy(Attack):
    """Adds a little, and keeps what it was called with."""

    needs_detector: ClassVar[bool] = True
    calls: list = field(default_factory=list, compare=False)

    def perturb(self, problem):
        problem.joint(problem.images)
        weight = next(problem.detector.detector.parameters()).detach().clone()
        self.calls.append((problem, weight, torch.is_autocast_enabled("cpu")))
        return (problem.images + 0.01).clamp(0, 1)


class Watched(lightning.Callback):
    """Keeps the batches of every stage, the steps made before each, and whether an attack changed a gradient."""

    def __init__(self):
        self.batches = {"train": [], "validate": [], "test": []}
        self.gradients = None
        self.changed = []

    def on_fit_start(self, trainer, module):  # noqa: ARG002 - Lightning's
        self.gradients = None

    def on_train_batch_start(self, trainer, module, batch, batch_idx):  # noqa: ARG002 - Lightning's
        self.batches["train"].append(batch)
        if self.gradients is not None:  # the attack comes between two steps
            self.changed += [not torch.equal(a, b) for a, b in zip(self.gradients, gradients(module), strict=True)]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):  # noqa: ARG002 - Lightning's
        self.gradients = gradients(module)

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):  # noqa: ARG002
        self.batches["validate"].append(batch)

    def on_validation_end(self, trainer, module):  # noqa: ARG002 - Lightning's
        self.gradients = None  # Lightning set them to zero

    def on_test_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):  # noqa: ARG002
        self.batches["test"].append(batch)


def gradients(module):
    return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]


@pytest.fixture
def detector(classifier):
    torch.manual_seed(1)
    return ID(classifier, widths=[4], learning_rate=0.01)


@pytest.fixture
def spy():
    return Spy()


@pytest.fixture
def watched():
    return Watched()


@pytest.fixture
def fit(tmp_path, watched):
    """Return a function that fits a detector, watched."""

    def run(module, data, **options):
        lightning.Trainer(
            **{"accelerator": "cpu", "max_epochs": 1, "num_sanity_val_steps": 0, "limit_val_batches": 0} | options,
            callbacks=[watched],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        ).fit(module, data)
        return watched

    return run


def white_box(classifier, attack, *, batch_size=16, **options):
    return WhiteBoxData(Toy(batch_size=batch_size), classifier, attack, **options)


def twins(batches):
    """Return the adversarial image of each position."""
    found = {}
    for batch in batches:
        half = len(batch.images) // 2
        found |= dict(zip(batch.positions[half:].tolist(), batch.images[half:], strict=True))
    return found


def test_attack_sees_the_live_detector_at_probability_one_half_and_its_own_classifier(classifier, detector, spy, fit):
    fit(detector, white_box(classifier, spy))
    for problem, _, _ in spy.calls:
        assert isinstance(problem.detector, Thresholded)
        assert problem.detector.detector is detector
        assert problem.detector.threshold == 0
        assert problem.model.model is detector.classifier  # so that both share its pass


def test_each_mini_batch_is_attacked_once_and_trained_on_as_often_as_asked(classifier, detector, spy, fit):
    batches = fit(detector, white_box(classifier, spy, repeats=3)).batches["train"]
    assert len(batches) == 3 * len(spy.calls) == 3 * 4
    for at in range(0, len(batches), 3):
        first, *others = batches[at : at + 3]
        assert isinstance(first, Pairs)
        assert all(again.images is first.images for again in others)
    assert sorted(twins(batches)) == sorted(twins(batches[::3]))
    assert sum(len(batch.images) for batch in batches[::3]) == 2 * SPLIT


def test_each_attack_sees_the_weights_of_that_moment(classifier, detector, fit):
    before = next(detector.network.parameters()).detach().clone()
    fit(detector, white_box(classifier, SeesNetwork(), repeats=2))
    seen = SeesNetwork.weights
    assert torch.equal(seen[0], before)
    assert all(not torch.equal(first, second) for first, second in pairwise(seen))


@dataclass(frozen=True, kw_only=True)
class SeesNetwork(Spy):
    """Keeps the first weights of the detector's network."""

    weights: ClassVar[list] = []

    def perturb(self, problem):
        self.weights.append(next(problem.detector.detector.network.parameters()).detach().clone())
        return problem.images.clone()


def test_pairs_are_those_of_the_attack_on_the_detector(classifier, detector, fit):
    attack = SelectivePGD(epsilon=0.2, steps=3)
    batch = fit(detector, white_box(classifier, attack), limit_train_batches=1).batches["train"][0]
    torch.manual_seed(1)
    untrained = ID(classifier, widths=[4])
    clean, adversarial = batch.images.chunk(2)
    assert torch.equal(adversarial, attack(classifier, clean, detector=Thresholded(untrained)))
    assert batch.is_adversarial.tolist() == [False] * 16 + [True] * 16


@pytest.mark.parametrize("kind", ["spd", "jsd"])
def test_the_frozen_networks_are_asked_once_for_all_repeats(classifier, saliency, spy, fit, kind):
    detector = JSD(classifier, widths=[4]) if kind == "jsd" else SPD(classifier, saliency, widths=[4])
    first, second, *_ = fit(detector, white_box(classifier, spy, repeats=2)).batches["train"]
    assert torch.equal(first.explanation, detector.explanation(first.images))
    assert second.explanation is first.explanation
    torch.testing.assert_close(detector.batch_scores(first), detector(first.images))


def test_pairs_that_are_trained_on_once_carry_no_explanation(classifier, saliency, spy, fit):
    batches = fit(SPD(classifier, saliency, widths=[4]), white_box(classifier, spy)).batches["train"]
    assert all(batch.explanation.shape[1] == 0 for batch in batches)


def test_a_round_has_as_many_mini_batches_as_asked_and_other_images_the_next_time(classifier, detector, spy, fit):
    data = white_box(classifier, spy, repeats=2, batches=2)
    batches = fit(detector, data, max_epochs=2).batches["train"]
    assert len(batches) == 2 * 2 * 2
    rounds = [sorted(twins(batches[:4])), sorted(twins(batches[4:]))]
    assert [len(each) for each in rounds] == [32, 32]
    assert rounds[0] != rounds[1]
    assert len(data.train_dataloader()) == 4


def test_more_batches_than_there_are_give_the_whole_split(classifier, spy):
    assert len(white_box(classifier, spy, repeats=2, batches=99).train_dataloader()) == 2 * 4


def test_an_epoch_of_one_mini_batch_is_attacked_anew_in_the_next(classifier, detector, spy, fit):
    fit(detector, white_box(classifier, spy, batch_size=SPLIT, repeats=2), max_epochs=3)
    assert len(spy.calls) == 3


def test_a_validation_amid_the_repeats_changes_nothing(classifier, detector, spy, fit, watched):
    options = {"val_check_interval": 1, "limit_val_batches": 1.0, "check_val_every_n_epoch": None, "max_steps": 4}
    fit(detector, white_box(classifier, spy, repeats=2), **options)
    first, second, third, _ = watched.batches["train"]
    assert second.images is first.images
    assert third.images is not first.images
    assert len(watched.batches["validate"]) == 4


@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"limit_train_batches": 3}, {"limit_train_batches": 0.5}])
def test_lightnings_limits_count_steps(classifier, detector, spy, fit, options):
    steps = {"fast_dev_run": 1, "limit_train_batches": 3 if options.get("limit_train_batches") == 3 else 4}
    batches = fit(detector, white_box(classifier, spy, repeats=2), **options).batches["train"]
    assert len(batches) == steps[next(iter(options))]


def test_double_precision_attacks_once_too(classifier, detector, spy, fit):
    fit(detector, white_box(classifier, spy, repeats=2), precision="64-true")
    assert len(spy.calls) == 4


def test_mixed_precision_trains_and_the_attack_computes_in_full(classifier, detector, spy, fit):
    before = [parameter.detach().clone() for parameter in detector.network.parameters()]
    fit(detector, white_box(classifier, spy), precision="bf16-mixed")
    assert all(problem.images.dtype == torch.float32 and not autocast for problem, _, autocast in spy.calls)
    assert any(not torch.equal(a, b) for a, b in zip(before, detector.network.parameters(), strict=True))
    assert all(parameter.isfinite().all() for parameter in detector.parameters())


def test_mixed_precision_changes_no_attacked_image_of_the_first_batch(classifier, fit, watched):
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(1)
        detector = ID(classifier, widths=[4])
        fit(detector, white_box(classifier, Joint(epsilon=0.2, steps=2)), precision=precision)
    first, second = watched.batches["train"][0], watched.batches["train"][4]
    assert second.images.dtype == torch.float32
    known, again = twins([first]), twins([second])
    assert known.keys() == again.keys()
    assert all(torch.equal(known[position], again[position]) for position in known)


def test_attack_touches_no_gradient_and_no_mode(classifier, detector, fit):
    seen = fit(detector, white_box(classifier, Alternating(step_size=0.1)))
    assert seen.changed
    assert not any(seen.changed)
    assert all(parameter.grad is None for parameter in detector.classifier.parameters())
    assert detector.network.training
    assert not detector.classifier.training


RANDOM = Joint(epsilon=0.2, steps=2, weights=None)


@pytest.mark.slow
def test_an_attacks_draws_depend_on_seed_round_and_image_not_on_batches(classifier, tmp_path):
    def attacked(batch_size, seed, rounds=1):
        torch.manual_seed(1)
        module = ID(classifier, widths=[4], learning_rate=1e-12)  # stands still, so that only draws differ
        data, seen = white_box(classifier, RANDOM, batch_size=batch_size), Watched()
        torch.manual_seed(seed)
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=rounds,
            limit_val_batches=0,
            callbacks=[seen],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(module, data)
        each = len(seen.batches["train"]) // rounds
        return twins(seen.batches["train"][-each:])

    def alike(first, second):
        assert first.keys() == second.keys()
        return all(torch.allclose(first[position], second[position], atol=1e-5) for position in first)

    known = attacked(16, 0)
    assert alike(known, attacked(7, 0))
    assert not alike(known, attacked(16, 5))
    assert not alike(known, attacked(16, 0, rounds=2))


def test_validation_attacks_the_live_detector_the_same_way_each_time(classifier, detector, trainer):
    data = white_box(classifier, RANDOM)
    seen = []
    for _ in range(2):
        watched = Watched()
        trainer.callbacks[:] = [watched]
        trainer.validate(detector, data, verbose=False)
        seen.append(twins(watched.batches["validate"]))
    assert sorted(seen[0]) == sorted(data.images.split("detector_train_validation").positions.tolist())
    assert all(torch.equal(seen[0][position], seen[1][position]) for position in seen[0])


def test_test_has_one_loader_by_the_attacks_name(classifier, detector, trainer):
    watched = Watched()
    trainer.callbacks[:] = [watched]
    (found,) = trainer.test(detector, white_box(classifier, Alternating(step_size=0.1)), verbose=False)
    assert "test/alternating/accuracy" in found
    assert len(twins(watched.batches["test"])) == 40


def test_predict_gives_pairs(classifier, detector, trainer):
    batches = trainer.predict(detector, white_box(classifier, Alternating(step_size=0.1)))
    assert all("is_adversarial" in batch for batch in batches)


def test_an_attack_that_needs_no_detector_gives_pairs_on_the_fly(classifier, detector, fit):
    attack = FGSM(epsilon=0.1)
    batches = fit(detector, white_box(classifier, attack)).batches["train"]
    clean, adversarial = batches[-1].images.chunk(2)
    assert torch.equal(adversarial, attack(classifier, clean))


class Bare(lightning.LightningModule):
    """A user's own module that names no classifier."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(SHAPE[1] * SHAPE[2], 1)

    def forward(self, images):
        return self.layer(images.flatten(1)).squeeze(1)

    def training_step(self, batch, batch_idx):  # noqa: ARG002 - Lightning's
        return nn.functional.binary_cross_entropy_with_logits(self(batch.images), batch.is_adversarial.float())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_module_without_a_classifier_is_attacked_with_the_datas_own(classifier, fit):
    batches = fit(Bare(), white_box(classifier, SelectivePGD(epsilon=0.2, steps=2))).batches["train"]
    clean, adversarial = batches[0].images.chunk(2)
    assert (adversarial - clean).abs().max() > 0.01


def test_calibration_stays_clean(classifier, spy):
    data = white_box(classifier, spy)
    assert sum(len(batch.images) for batch in data.calibration_dataloader()) == len(data.images.split("calibration"))


def test_a_detector_of_another_classifier_is_refused(detector, spy, fit):
    with pytest.raises(ValueError, match=r"looks through another classifier than data\.classifier: give both the same"):
        fit(detector, white_box(Classifier(SHAPE, CLASSES, widths=(4,)), spy))


@pytest.mark.parametrize("options", [{"repeats": 0}, {"batches": 0}])
def test_numbers_out_of_range_are_refused(classifier, spy, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be at least 1, got 0"):
        white_box(classifier, spy, **options)


def test_a_targeted_attack_is_refused(classifier):
    with pytest.raises(ValueError, match="pairs are made by untargeted attacks"):
        white_box(classifier, SelectivePGD(targeted=True))


def test_without_a_trainer_there_is_no_detector_to_attack(classifier, spy):
    data = white_box(classifier, spy)
    batch = next(iter(data.calibration_dataloader()))
    with pytest.raises(ValueError, match="attacks the detector of a Trainer"):
        data.on_after_batch_transfer(data.on_before_batch_transfer(batch, 0), 0)


def test_a_round_tells_its_length_and_leaves_the_loader_where_it_stopped(classifier, spy):
    loader = white_box(classifier, spy).train_dataloader().loader
    repeated = Repeated(loader, 2, 3)
    batches = list(repeated)
    assert all(first is again for first, again in zip(batches[::2], batches[1::2], strict=True))
    assert len(batches) == len(repeated) == 6
    assert repeated.sampler is loader.sampler


def test_every_detector_is_a_module_that_returns_its_validation_scores(detector, classifier, trainer):
    class Kept(lightning.Callback):
        outputs: ClassVar[list] = []

        def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):  # noqa: ARG002
            self.outputs.append((outputs, module.batch_scores(batch)))

    trainer.callbacks[:] = [Kept()]
    trainer.validate(detector, white_box(classifier, Alternating()), verbose=False)
    assert isinstance(detector, Detector)
    assert all(torch.equal(*pair) for pair in Kept.outputs)
