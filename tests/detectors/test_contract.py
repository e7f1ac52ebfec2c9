"""What every detector promises, trained or not."""

import math
from itertools import combinations

import pytest
import torch

from detectors import ID, JSD, SMD, SPD, ConvNet, ResidualNet, load
from saliency import jacobian
from saliency.checkpoints import save
from tests.detectors import helpers
from tests.detectors.helpers import RESIDUAL, TRAINED, TRAINING_FREE, WITH_MAPS, build

EVERY = pytest.mark.parametrize("name", [*TRAINED, *RESIDUAL, *TRAINING_FREE])
EACH_TRAINED = pytest.mark.parametrize("name", [*TRAINED, *RESIDUAL])
EACH_WITH_MAPS = pytest.mark.parametrize("name", WITH_MAPS)


def _calls_of(module):
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_the_world_of_these_tests_has_several_predicted_classes(world):
    assert len(world.classifier(world.images).argmax(1).unique()) > 1


@EVERY
def test_score_is_one_finite_number_per_image_and_not_constant(name, world):
    scores = build(name, world)(world.images)
    assert scores.shape == (16,)
    assert scores.isfinite().all()
    assert scores.std() > 0


@EVERY
def test_scores_are_deterministic_and_draw_nothing(name, world):
    detector = build(name, world)
    before = torch.get_rng_state()
    assert torch.equal(detector(world.images), detector(world.images))
    assert torch.equal(torch.get_rng_state(), before)


@EVERY
def test_batch_of_n_equals_n_batches_of_one(name, world):
    detector = build(name, world).double()
    images = world.images.double()
    alone = torch.cat([detector(image[None]) for image in images])
    assert torch.allclose(detector(images), alone, rtol=1e-5, atol=1e-5)


@EVERY
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_scores_are_the_same_without_gradients(name, mode, world):
    detector = build(name, world)
    expected = detector(world.images)
    with mode():
        assert torch.allclose(detector(world.images.clone()), expected, rtol=1e-5, atol=1e-6)


@EVERY
def test_images_are_left_unchanged(name, world):
    before = world.images.clone()
    build(name, world)(world.images)
    assert torch.equal(world.images, before)


@EVERY
def test_gradient_of_the_score_reaches_every_image_and_no_other(name, world):
    images = world.images.clone().requires_grad_()
    scores = build(name, world)(images)
    (gradient,) = torch.autograd.grad(scores[3], images, retain_graph=True)
    assert gradient[3].abs().sum() > 0
    assert not gradient[torch.arange(16) != 3].any()
    (gradient,) = torch.autograd.grad(scores.sum(), images)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()


@EACH_TRAINED
def test_representation_has_the_channels_of_what_it_shows(name, world):
    channels = world.images.shape[1]
    expected = {"ID": channels, "JSD": 2 * channels, "SMD": 1, "SPD": channels, "FeatureHead": 4}
    detector = build(name, world)
    assert detector.channels == expected.get(name, detector.channels)
    assert detector.represent(world.images).shape == (16, detector.channels, 12, 12)


def test_representations_are_those_of_the_paper(world):
    images, classifier = world.images, world.classifier
    maps = world.saliency.masks(images, classifier(images).argmax(1))
    assert torch.equal(ID(classifier).represent(images), images)
    assert torch.equal(SMD(classifier, world.saliency).represent(images), maps)
    assert torch.equal(SPD(classifier, world.saliency).represent(images), maps * images)
    for readout in ("sum", "predicted", "margin"):
        gradient = jacobian(classifier, images, readout)
        assert torch.equal(JSD(classifier, readout).represent(images), torch.cat([images, gradient], 1))


def test_log_odds_of_a_map_span_minus_one_to_one_and_are_nowhere_flat(world):
    detector = SMD(world.classifier, world.saliency, scale="log-odds")
    values = torch.tensor([0.0, 1e-6, 0.25, 0.5, 0.75, 1 - 1e-6, 1.0], requires_grad=True)
    seen = detector.combine(world.images, values)
    assert seen[[0, 3, 6]].tolist() == pytest.approx([-1, 0, 1])
    assert seen[4].item() == pytest.approx(-seen[2].item())
    assert seen[4].item() == pytest.approx(math.log(0.7501 / 0.2501) / math.log(10001))
    assert (seen.diff() > 0).all()
    (gradient,) = torch.autograd.grad(seen.sum(), values)
    assert (gradient > 0.1).all()


def test_scale_of_the_map_is_one_of_two(world):
    with pytest.raises(ValueError, match=r"unknown scale 'logit'.*Accepted: map, log-odds"):
        SMD(world.classifier, world.saliency, scale="logit")


@EACH_TRAINED
def test_joint_gives_the_classifier_s_logits_and_the_same_scores(name, world):
    detector = build(name, world)
    logits, scores = detector.joint(world.images)
    assert torch.equal(logits, world.classifier(world.images))
    assert torch.allclose(scores, detector(world.images), atol=1e-6)


@EACH_TRAINED
def test_joint_asks_the_classifier_once_where_the_images_need_gradients(name, world):
    detector = build(name, world)
    calls = _calls_of(detector.classifier)
    detector.joint(world.images.clone().requires_grad_())
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["ID", "SMD", "SPD"])
def test_joint_asks_the_classifier_once(name, world):
    detector = build(name, world)
    calls = _calls_of(detector.classifier)
    detector.joint(world.images)
    assert len(calls) == 1


@EACH_TRAINED
def test_joint_has_the_gradients_of_the_classifier_and_of_the_score(name, world):
    detector = build(name, world).double()
    images = world.images.double().requires_grad_()
    logits, scores = detector.joint(images)
    of_logits, of_scores = (
        torch.autograd.grad(value.sum(), images, retain_graph=True)[0] for value in (logits[:, 0], scores)
    )
    (expected,) = torch.autograd.grad(world.classifier(images)[:, 0].sum(), images)
    assert torch.allclose(of_logits, expected, rtol=1e-8)
    (expected,) = torch.autograd.grad(detector(images).sum(), images)
    assert torch.allclose(of_scores, expected, rtol=1e-8)


@EACH_WITH_MAPS
def test_gradient_of_the_score_flows_through_the_map(name, world):
    detector = build(name, world)
    images = world.images.clone().requires_grad_()
    maps = detector.explanation(images, None)
    represented = maps if name == "SMD" else maps * images.detach()
    (gradient,) = torch.autograd.grad(detector.network(represented).sum(), images)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()


def test_gradient_of_spd_is_that_through_the_map_and_that_through_the_pixels(world):
    detector = build("SPD", world).double()
    images = world.images.double().requires_grad_()

    def gradient(pixels, map_of):
        scores = detector.network(detector.explanation(map_of, None) * pixels)
        return torch.autograd.grad(scores.sum(), images)[0]

    parts = gradient(images.detach(), images) + gradient(images, images.detach())
    assert torch.allclose(torch.autograd.grad(detector(images).sum(), images)[0], parts, atol=1e-10)


@pytest.mark.parametrize("name", [*WITH_MAPS, "MaskArea"])
def test_map_is_of_the_class_that_the_classifier_predicts(name, world):
    detector = build(name, world)
    classes = world.classifier.classes
    scores = []
    for predicted in range(classes):
        with torch.no_grad():
            world.classifier.network.layers[-1].bias += 1e4 * torch.eye(classes)[predicted]
        maps = world.saliency.masks(world.images, torch.full((16,), predicted))
        if name == "MaskArea":
            assert torch.allclose(detector(world.images), -maps.mean((1, 2, 3)))
        else:
            assert torch.equal(detector.explanation(world.images, None), maps)
            assert torch.equal(detector.explanation(world.images, detector.classifier(world.images)), maps)
        scores.append(detector(world.images))
        with torch.no_grad():
            world.classifier.network.layers[-1].bias -= 1e4 * torch.eye(classes)[predicted]
    assert all((first - second).abs().max() > 1e-4 for first, second in combinations(scores, 2))


@EACH_TRAINED
def test_true_labels_beside_the_images_change_neither_prediction_nor_loss(name, world, monkeypatch):
    detector = build(name, world)
    monkeypatch.setattr(detector, "log", lambda *_, **__: None)
    is_adversarial = torch.arange(16) % 2 == 1
    batches = [(world.images, is_adversarial, labels) for labels in (world.labels, world.labels.flip(0))]
    scores = [detector.predict_step(batch, 0)["scores"] for batch in batches]
    losses = [detector.training_step(batch, 0) for batch in batches]
    assert torch.equal(*scores)
    assert torch.equal(*losses)


@EACH_TRAINED
def test_loss_is_the_mean_binary_cross_entropy(name, world, monkeypatch):
    detector = build(name, world)
    monkeypatch.setattr(detector, "log", lambda *_, **__: None)
    is_adversarial = torch.arange(16) % 3 == 0
    probability = detector(world.images).double().sigmoid()
    expected = -torch.where(is_adversarial, probability, 1 - probability).log().mean()
    loss = detector.training_step((world.images, is_adversarial), 0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


@EACH_TRAINED
def test_prediction_says_which_are_adversarial_where_the_batch_does(name, world):
    detector = build(name, world)
    is_adversarial = torch.arange(16) % 2 == 1
    of_pairs = detector.predict_step((world.images, is_adversarial, world.labels), 0)
    of_clean = detector.predict_step((world.images, world.labels), 0)
    assert torch.equal(of_pairs["is_adversarial"], is_adversarial)
    assert set(of_clean) == {"scores"}
    assert torch.equal(of_clean["scores"], detector(world.images))


@EACH_TRAINED
def test_network_has_the_classifier_s_widths_unless_others_are_given(name, world):
    first = build(name, world).network.layers[1]
    other = build(name, world, widths=(7,)).network.layers[1]
    assert (first.out_channels, other.out_channels) == (4, 7)


@EACH_TRAINED
def test_architecture_decides_the_network_and_checkpoints_keep_it(name, world, tmp_path):
    for architecture, kind in {"paper": ConvNet, "residual": ResidualNet}.items():
        detector = build(name, world, architecture=architecture)
        save(detector, tmp_path / "model.ckpt")
        loaded = load(tmp_path / "model.ckpt")
        assert isinstance(loaded.network, kind)
        assert torch.equal(loaded.scores(world.images), detector.scores(world.images))


@EACH_TRAINED
def test_a_checkpoint_of_before_architectures_has_the_paper_s_network(name, world, tmp_path):
    detector = build(name, world, architecture="paper")
    save(detector, tmp_path / "model.ckpt")
    contents = torch.load(tmp_path / "model.ckpt", weights_only=True)
    del contents["architecture"]["arguments"]["architecture"]
    torch.save(contents, tmp_path / "older.ckpt")
    assert torch.equal(load(tmp_path / "older.ckpt").scores(world.images), detector.scores(world.images))


@EACH_TRAINED
def test_an_architecture_of_another_name_is_refused(name, world):
    with pytest.raises(ValueError, match=r"unknown architecture 'deep'\. Accepted: paper, residual"):
        build(name, world, architecture="deep")


@EACH_WITH_MAPS
def test_classifier_and_saliency_model_of_different_data_are_refused(name):
    grey, colour = helpers.world(1, 4), helpers.world(3, 2)
    with pytest.raises(ValueError, match="use checkpoints of one data set"):
        TRAINED[name](grey.classifier, colour.saliency)


@EACH_TRAINED
@pytest.mark.parametrize("given", ["saliency", "layer"])
def test_a_classifier_of_the_wrong_class_is_refused(name, given, grey):
    wrong = grey.saliency if given == "saliency" else torch.nn.Linear(2, 2)
    with pytest.raises(TypeError, match="expected a Classifier or the path of its checkpoint"):
        build(name, grey._replace(classifier=wrong))
