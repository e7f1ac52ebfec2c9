"""Transfer: the inner attack's images, on other networks, for the attacked model's labels."""

import pytest
import torch
from torch import nn

from attacks import BIM, DeepFool, SelectivePGD, Square, Transfer
from detectors import Classifier
from tests.attacks.white_box.cases import Casting, Watcher
from tests.attacks.white_box.test_foreign import Reshaping
from tests.fixtures import CLASSES, SHAPE

ATTACK = SelectivePGD(epsilon=0.2, steps=8)


@pytest.fixture
def other():
    return Classifier(SHAPE, CLASSES, widths=(4,)).eval()


def test_images_are_the_inner_attacks_for_the_attacked_models_labels(classifier, other, images):
    detector = Watcher(other).eval()
    predictions = classifier(images).argmax(1)
    with torch.no_grad():
        other.network.layers[-1].bias[2] += 10
    assert not torch.equal(predictions, other(images).argmax(1))
    expected = ATTACK(other, images, predictions, detector=detector)
    transfer = Transfer(attack=ATTACK, model=other, detector=detector)
    assert torch.equal(transfer(classifier, images), expected)
    assert torch.equal(transfer(classifier, images, predictions), expected)


def test_attacked_networks_are_asked_for_predictions_only(classifier, other, images):
    attack = Transfer(attack=BIM(epsilon=0.1), model=other)
    result = attack.report(classifier, images)
    assert result.forward_passes.tolist() == [1] * 8
    assert not result.backward_passes.any()
    assert not attack.report(classifier, images, torch.zeros(8, dtype=torch.long)).forward_passes.any()
    assert result.scores is None


def test_label_that_the_attacked_model_lacks_is_refused_though_the_other_one_has_it(classifier, images):
    attack = Transfer(attack=BIM(epsilon=0.1, targeted=True), model=Casting(CLASSES + 1, seed=1), targeted=True)
    labels = torch.full((8,), CLASSES)
    for call in (attack, attack.report):
        with pytest.raises(ValueError, match=rf"labels must be below the model's {CLASSES} classes, got {CLASSES}"):
            call(classifier, images, labels)


def test_detector_of_the_call_is_left_alone(classifier, other, images):
    class Loud(nn.Module):
        def forward(self, images):
            pytest.fail(f"asked about {len(images)} images")

    attack = Transfer(attack=ATTACK, model=other, detector=Casting(1, seed=1))
    assert attack(classifier, images, detector=Loud()).shape == images.shape


def test_to_itself_it_is_the_attack(classifier, images):
    assert torch.equal(
        Transfer(attack=DeepFool(), model=classifier)(classifier, images), DeepFool()(classifier, images)
    )


@pytest.mark.parametrize("labelled", [False, True])
def test_networks_that_need_rows_and_are_shared_are_attacked(labelled, images):
    model = Reshaping(CLASSES)
    storage = [weight.data_ptr() for weight in model.parameters()]
    labels = model(images).argmax(1)
    attack = BIM(epsilon=0.1)
    result = Transfer(attack=attack, model=model)(model, images, labels if labelled else None)
    assert torch.equal(result, attack(model, images, labels))
    assert [weight.data_ptr() for weight in model.parameters()] == storage


def test_seed_reaches_the_inner_attack(classifier, other, images):
    attack = Transfer(attack=Square(epsilon=0.1, queries=5), model=other, detector=Watcher(other).eval())
    first, again, another = (
        attack(classifier, images, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, another)


def test_one_image_crosses_to_a_similar_network_more_often_than_noise_does(trained):
    net, images, labels = trained
    near = nn.Sequential(nn.Flatten(), nn.Linear(64, 6))
    with torch.no_grad():  # nearest pattern: no network of the same kind
        means = torch.stack([images[labels == label].mean(0).flatten() for label in range(6)])
        near[1].weight.copy_(means)
        near[1].bias.copy_(-means.square().sum(1) / 2)
    epsilon = 0.15
    crossed = Transfer(attack=BIM(epsilon=epsilon, step_size=0.03), model=near).report(net, images, labels).success
    white = BIM(epsilon=epsilon, step_size=0.03).report(net, images, labels).success
    noise = images + epsilon * torch.randn(images.shape).sign()
    noisy = net(noise.clamp(0, 1)).argmax(1) != labels
    assert white.sum() >= crossed.sum() > noisy.sum() + 5
