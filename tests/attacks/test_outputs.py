"""What would pass for robustness is said once: no gradient, probabilities, NaN."""

import warnings

import pytest
import torch
from torch import nn

from attacks import BIM, FGSM, Advertorch, HopSkipJump, SelectivePGD, Square
from attacks.guard import guarded
from tests.attacks.cases import ALL, each
from tests.attacks.white_box.cases import Casting
from tests.fixtures import CLASSES


class Through(nn.Module):
    """A linear model that sees the images through a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.linear = nn.Sequential(nn.Flatten(), nn.Linear(144, CLASSES))

    def forward(self, images):
        """Return logits."""
        return self.linear(self.function(images))


class Silent(Through):
    @torch.no_grad()
    def forward(self, images):
        """Return logits without a graph."""
        return super().forward(images)


def in_bytes(images):
    return (images * 255).byte() / 255


def rounded(images):
    return (images * 255).round() / 255


WITHOUT = {
    "no_grad": Silent(nn.Identity()),
    "detach": Through(torch.Tensor.detach),
    "detach, frozen": Through(torch.Tensor.detach).requires_grad_(requires_grad=False),
    "bytes": Through(in_bytes),
    "numpy": Through(lambda images: torch.from_numpy(images.detach().numpy())),
}


@each({name: attack for name, attack in ALL.items() if not isinstance(attack, HopSkipJump | Square)})
def test_a_model_without_a_gradient_is_refused_by_all_that_need_one(attack, images, labels):
    for name, model in WITHOUT.items():
        with pytest.raises(
            ValueError, match=r"no gradient leads from the logits of \w+ to the images .* Square and LIME"
        ):
            attack(model, images, labels)
        assert name


@pytest.mark.parametrize("name", WITHOUT)
def test_attacks_that_need_no_gradient_take_a_model_without_one(name, images, labels):
    attacks = Square(epsilon=0.1, queries=5), Advertorch(attack="LinfSPSAAttack", parameters={"eps": 0.1, "nb_iter": 1})
    for attack in attacks:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            adversarial = attack(WITHOUT[name], images, labels, detector=Casting(1, seed=3))
        assert not torch.equal(adversarial, images)


def told(call):
    """The warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(each.message) for each in caught]


def test_a_gradient_of_zero_is_told_once(images, labels):
    model = Through(rounded)
    (warning,) = told(lambda: BIM(epsilon=0.1)(model, images, labels))
    assert warning.startswith("the gradient of the logits of Through is exactly 0 for every image")


def test_nothing_is_told_of_a_model_as_it_should_be(classifier, images, labels):
    saturated = Through(lambda batch: 1e6 * batch)  # of its loss, the gradient is 0; of its logits it is not
    for model in (classifier, saturated, nn.Sequential(classifier, nn.LogSoftmax(1))):
        assert told(lambda model=model: BIM(epsilon=0.1)(model, images, labels)) == []


def test_probabilities_in_place_of_logits_are_told_once(classifier, images, labels):
    model = nn.Sequential(classifier, nn.Softmax(1))
    for chosen in (labels, None):
        warning = ["Sequential gives probabilities, rows that sum to 1, in place of logits: leave out its softmax"]
        assert told(lambda chosen=chosen: BIM(epsilon=0.1).report(model, images, chosen)) == warning


def test_logits_that_are_nan_for_every_image_are_refused(linear, images, labels):
    nn.init.constant_(linear[1].bias, torch.nan)
    for given in (labels, None):
        with pytest.raises(ValueError, match="the logits of Sequential are NaN for every image: check its weights"):
            FGSM()(linear, images, given)


@pytest.mark.parametrize("attack", [SelectivePGD(epsilon=0.1, steps=2), Square(epsilon=0.1, queries=3)], ids=repr)
def test_scores_that_are_nan_are_told_once(attack, linear, images, labels):
    class Broken(Casting):
        def forward(self, batch):
            return torch.where(torch.arange(len(batch)) < 3, torch.nan, super().forward(batch))

    warning = ["the scores of Broken are NaN for 3 of 8 images: these count as rejected"]
    assert told(lambda: attack(linear, images, labels, detector=Broken(1, seed=3))) == warning


def test_scores_without_a_gradient_are_told_once_and_the_attack_goes_on(linear, images):
    class Deaf(Casting):
        def forward(self, batch):
            return super().forward(batch.detach())

    result = []
    attack, labels = SelectivePGD(epsilon=0.3, steps=5), linear(images).argmax(1)
    (warning,) = told(lambda: result.append(attack.report(linear, images, labels, detector=Deaf(1, seed=3))))
    assert warning.startswith("no gradient leads from the scores of Deaf to the images")
    assert result[0].success.all()


def test_rounding_of_a_detector_is_told(linear, images):
    class Rounding(Casting):
        def forward(self, batch):
            return super().forward(rounded(batch))

    wrong = (linear(images).argmax(1) + 1) % CLASSES
    (warning,) = told(lambda: SelectivePGD(steps=2)(linear, images, wrong, detector=Rounding(1, seed=3)))
    assert warning.startswith("the gradient of the scores of Rounding is exactly 0 for every image")


def test_only_the_first_outputs_are_looked_at(linear, images):
    with guarded(linear) as safe:
        safe(images)
        nn.init.constant_(linear[1].bias, torch.nan)
        assert safe(images).isnan().all()
