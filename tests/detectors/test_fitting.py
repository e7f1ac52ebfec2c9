import pytest
import torch

from detectors import Detector, load
from detectors.metrics import auroc
from saliency.checkpoints import save
from tests.detectors.helpers import TRAINED, WITH_MAPS, TwoAttacks, bright_and_dark, build, world
from tests.saliency.helpers import loader, same, short_trainer, snapshot

EACH = pytest.mark.parametrize("name", TRAINED)


class FittingTestContrast(Detector):
    """A user's own detector: sees how far each pixel is from the image's mean."""

    def __init__(self, classifier, learning_rate=0.01, schedule="constant"):
        super().__init__(classifier, 1, learning_rate=learning_rate, schedule=schedule)

    def represent(self, images, logits=None):  # noqa: ARG002
        return images - images.mean((1, 2, 3), keepdim=True)


class FittingTestBare(Detector):
    """A user's own detector that changes `represent` alone."""

    def represent(self, images, logits=None):  # noqa: ARG002
        return 1 - images


def _fitted(detector, images, is_adversarial, folder, epochs=10):
    short_trainer(folder, epochs).fit(detector, loader(images, is_adversarial, batch_size=20))
    return detector.eval()


def _auroc(detector, images, is_adversarial):
    with torch.no_grad():
        scores = detector(images)
    return auroc(scores[~is_adversarial], scores[is_adversarial])


@EACH
def test_fit_changes_the_network_alone(name, world, trainer):
    detector = build(name, world)
    frozen = ["classifier", *(["saliency"] if name in WITH_MAPS else [])]
    before = {part: snapshot(detector.get_submodule(part)) for part in [*frozen, "network"]}
    trainer.fit(detector, loader(world.images, torch.arange(16) % 2 == 1, world.labels))
    for part in frozen:
        assert same(detector.get_submodule(part), before[part])
        assert all(parameter.grad is None for parameter in detector.get_submodule(part).parameters())
    assert all(not torch.equal(value, before["network"][key]) for key, value in detector.network.named_parameters())


@EACH
def test_fit_separates_what_is_separable(name, grey, tmp_path):
    images, is_adversarial = bright_and_dark(100)
    detector = _fitted(build(name, grey, learning_rate=0.01), images[:60], is_adversarial[:60], tmp_path)
    assert _auroc(detector, images[60:], is_adversarial[60:]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["ID", "SPD"])
def test_fit_on_permuted_labels_finds_nothing(name, grey, tmp_path):
    images, is_adversarial = bright_and_dark(400)
    permuted = is_adversarial[torch.randperm(400, generator=torch.Generator().manual_seed(1))]
    detector = _fitted(build(name, grey), images[:100], permuted[:100], tmp_path, epochs=3)
    assert 0.4 < _auroc(detector, images[100:], permuted[100:]) < 0.6


def test_a_user_s_own_detector_trains_saves_and_loads(grey, tmp_path):
    images, is_adversarial = bright_and_dark(100)
    detector = _fitted(FittingTestContrast(grey.classifier), images[:60], is_adversarial[:60], tmp_path)
    assert _auroc(detector, images[60:], is_adversarial[60:]) == pytest.approx(1, abs=1e-6)
    detector.calibrate(detector(images[~is_adversarial]))
    save(detector, tmp_path / "mine.ckpt")
    loaded = load(tmp_path / "mine.ckpt", FittingTestContrast)
    assert torch.equal(loaded(images), detector(images))
    assert loaded.threshold(0.1) == detector.threshold(0.1)


def test_a_user_s_own_detector_that_only_has_a_represent_can_be_saved_and_loaded(grey, tmp_path):
    detector = FittingTestBare(grey.classifier, channels=1).eval()
    save(detector, tmp_path / "mine.ckpt")
    assert torch.equal(load(tmp_path / "mine.ckpt")(grey.images), detector(grey.images))


@EACH
def test_validation_logs_the_metrics_of_all_images(name, grey, trainer):
    images, is_adversarial = bright_and_dark(30)
    detector = build(name, grey)
    (logged,) = trainer.validate(detector, loader(images, is_adversarial, batch_size=8), verbose=False)
    with torch.no_grad():
        scores = detector.eval()(images)
    right = ((scores > 0) == is_adversarial).double().mean().item()
    assert logged["validation/auroc"] == pytest.approx(_auroc(detector, images, is_adversarial), abs=1e-6)
    assert logged["validation/accuracy"] == pytest.approx(right, abs=1e-6)


# under `Trainer.test` with a loader per attack


@pytest.fixture
def attacks():
    """An attack that shows, and one of the same images that does not, with fewer images."""
    images, is_adversarial = bright_and_dark(40)
    noise = torch.Generator().manual_seed(7)
    return {
        "strong": (images, is_adversarial),
        "weak": (torch.rand(26, 1, 12, 12, generator=noise), torch.arange(26) % 2 == 1),
    }


@EACH
def test_each_attack_s_test_metrics_are_its_own_and_not_pooled(name, grey, trainer, attacks):
    detector = build(name, grey)
    per_loader = trainer.test(detector, TwoAttacks(attacks, 4), verbose=False)
    logged = {key: value for part in per_loader for key, value in part.items()}
    alone = {attack: _auroc(detector.eval(), *pairs) for attack, pairs in attacks.items()}
    for attack, (images, is_adversarial) in attacks.items():
        right = ((detector(images) > 0) == is_adversarial).double().mean().item()
        assert logged[f"test/{attack}/auroc"] == pytest.approx(alone[attack], abs=1e-6)
        assert logged[f"test/{attack}/accuracy"] == pytest.approx(right, abs=1e-6)
    assert alone["strong"] != pytest.approx(alone["weak"], abs=0.01)


def test_one_attack_s_test_metrics_do_not_depend_on_the_others(grey, tmp_path, attacks):
    detector = build("ID", grey)
    both = short_trainer(tmp_path, 1).test(detector, TwoAttacks(attacks, 4), verbose=False)
    alone = short_trainer(tmp_path, 1).test(detector, TwoAttacks({"weak": attacks["weak"]}, 4), verbose=False)
    again = short_trainer(tmp_path, 1).test(detector, TwoAttacks(attacks, 4), verbose=False)
    assert both[1] == alone[0]
    assert both == again


def test_a_detector_can_be_saved_and_loaded_after_a_test(grey, trainer, attacks, tmp_path):
    detector = build("ID", grey)
    trainer.test(detector, TwoAttacks(attacks, 4), verbose=False)
    save(detector, tmp_path / "model.ckpt")
    assert torch.equal(load(tmp_path / "model.ckpt")(grey.images), detector(grey.images))


def test_a_test_without_named_loaders_numbers_them(grey, trainer, attacks):
    detector = build("ID", grey)
    (logged,) = trainer.test(detector, loader(*attacks["weak"]), verbose=False)
    assert logged["test/loader_0/auroc"] == pytest.approx(_auroc(detector.eval(), *attacks["weak"]), abs=1e-6)


def test_data_of_another_shape_is_refused_before_the_first_batch(grey, trainer):
    colour = world(3, 4)
    with pytest.raises(ValueError, match="ID is made for images 3x12x12 of 4 classes"):
        trainer.test(build("ID", colour), TwoAttacks({"any": bright_and_dark(4)}, 4), verbose=False)
    with pytest.raises(ValueError, match="of 5 classes"):
        trainer.test(build("ID", grey), TwoAttacks({"any": bright_and_dark(4)}, 5), verbose=False)
