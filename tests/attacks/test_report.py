"""What `report` measures is measured on the returned images, and its counts are exact."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from attacks import BIM, FGSM, PGD, HopSkipJump, SelectivePGD, Square
from tests.attacks.cases import ALL, PASSES, TARGETED, UNTARGETED, each, goals, linear_model

NORMS = {
    "l0": lambda flat: (flat != 0).sum(1),
    "l2": lambda flat: np.sqrt((flat**2).sum(1)),
    "rms": lambda flat: np.sqrt((flat**2).mean(1)),
    "linf": lambda flat: np.abs(flat).max(1),
}


@each(ALL)
def test_images_are_those_of_the_plain_call(attack, mixed, images, labels):
    region = torch.rand(8, 1, 12, 12) < 0.5
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    result = attack.report(mixed, images, labels, region=region, generator=generators[0])
    assert torch.equal(result.images, attack(mixed, images, labels, region=region, generator=generators[1]))


@each(ALL)
def test_norms_are_those_of_the_perturbation(attack, classifier, images, labels):
    result = attack.report(classifier, images, labels)
    flat = (result.images - images).flatten(1).numpy().astype(np.float64)
    for name, formula in NORMS.items():
        np.testing.assert_allclose(getattr(result, name).numpy(), formula(flat), rtol=1e-5, err_msg=name)


def test_norms_of_fgsm_in_the_middle_of_the_range_have_their_closed_form():
    result = FGSM(epsilon=0.25).report(linear_model((3, 4, 5), 2), torch.full((2, 3, 4, 5), 0.5))
    assert result.l0.tolist() == [60, 60]
    torch.testing.assert_close(result.l2, torch.full((2,), 0.25 * 60**0.5))
    torch.testing.assert_close(result.rms, torch.full((2,), 0.25))
    torch.testing.assert_close(result.linf, torch.full((2,), 0.25))


@each(UNTARGETED)
def test_untargeted_success_means_that_the_prediction_left_the_label(attack, linear, images, labels):
    for given in (None, labels, goals(attack, linear, images)):
        result = attack.report(linear, images, given)
        left = linear(images).argmax(1) if given is None else given
        assert torch.equal(result.success, linear(result.images).argmax(1) != left)
        assert result.success.dtype == torch.bool
        assert result.success.any()


@each(TARGETED)
def test_targeted_success_means_that_the_prediction_is_the_target(attack, linear, images):
    labels = goals(attack, linear, images)
    result = attack.report(linear, images, labels)
    assert torch.equal(result.success, linear(result.images).argmax(1) == labels)
    assert result.success.any()


class Broken(nn.Module):
    """A model whose logits are not numbers for images with a bright corner."""

    def forward(self, images):
        """Return logits."""
        logits = images.flatten(1)[:, 1:5]
        return torch.where(images[:, :1, 0, 0] > 0.5, torch.nan, 1) * logits


@pytest.mark.parametrize("attack", [FGSM(epsilon=0), PGD(epsilon=0.1, restarts=2, steps=2)], ids=["FGSM", "PGD"])
def test_nan_is_no_prediction_and_no_success_and_is_told(attack, images):
    broken = torch.arange(8) < 3
    images[:, 0, 0, 0] = broken.float()
    for targeted in (False, True):
        labels = torch.full((8,), 0 if targeted else 1)
        with pytest.warns(UserWarning, match="logits of Broken are NaN for 3 of 8 images"):
            result = replace(attack, targeted=targeted).report(Broken(), images, labels)
        assert not result.success[broken].any()
        assert targeted or result.success[~broken].any()


def test_image_that_was_wrong_before_counts_as_success_against_its_label(linear, images):
    wrong = (linear(images).argmax(1) + 1) % 4
    result = FGSM(epsilon=0).report(linear, images, wrong)
    assert torch.equal(result.images, images)
    assert result.success.all()
    assert not FGSM(epsilon=0).report(linear, images).success.any()


@pytest.mark.parametrize("name", PASSES)
def test_passes_with_labels_are_counted_exactly(name, classifier, images, labels):
    result = ALL[name].report(classifier, images, labels)
    assert result.forward_passes.tolist() == result.backward_passes.tolist() == [PASSES[name]] * 8


@pytest.mark.parametrize("name", [name for name in PASSES if name in UNTARGETED])
def test_missing_labels_cost_one_forward_pass(name, classifier, images):
    result = UNTARGETED[name].report(classifier, images)
    assert result.forward_passes.tolist() == [PASSES[name] + 1] * 8
    assert result.backward_passes.tolist() == [PASSES[name]] * 8


@each(ALL)
def test_passes_sum_up_to_what_the_model_saw(attack, classifier, images):
    labels = goals(attack, classifier, images)
    seen = {"forward": 0, "backward": 0}

    def count_backward(gradient):
        seen["backward"] += len(gradient)

    def count(_module, _inputs, features):
        seen["forward"] += len(features)
        if features.requires_grad:
            features.register_hook(count_backward)

    classifier.network.layers[0].register_forward_hook(count)
    result = attack.report(classifier, images, labels)
    assert result.forward_passes.shape == result.backward_passes.shape == (8,)
    assert result.forward_passes.sum().item() == pytest.approx(seen["forward"] - 8)  # eight to measure success
    assert result.backward_passes.sum().item() == pytest.approx(seen["backward"])
    assert (seen["backward"] > 0) != isinstance(attack, HopSkipJump | Square)
    assert (result.forward_passes >= 1).all()


def test_passes_are_those_of_each_image(linear, images):
    attack = ALL["DeepFool"]
    labels = goals(attack, linear, images)
    wrong = (labels[:4] + 1) % 4
    result = attack.report(linear, images, torch.cat([wrong, labels[4:]]))
    alone = [attack.report(linear, images[i : i + 1], labels[i : i + 1]).forward_passes for i in range(4, 8)]
    assert result.forward_passes[:4].tolist() == [1] * 4
    assert result.forward_passes[4:].tolist() == torch.cat(alone).tolist()
    assert (result.forward_passes[4:] > 1).all()


@pytest.mark.parametrize("steps", [1, 3])
def test_passes_grow_with_the_steps(steps, classifier, images, labels):
    result = BIM(steps=steps).report(classifier, images, labels)
    assert result.forward_passes.tolist() == result.backward_passes.tolist() == [steps] * 8


@each(ALL)
def test_model_is_left_as_it_was(attack, mixed, images, labels):
    flags = [part.training for part in mixed.modules()]
    attack.report(mixed, images, labels)
    assert [part.training for part in mixed.modules()] == flags
    assert all(parameter.grad is None for parameter in mixed.parameters())
    assert not any(module._forward_hooks for module in mixed.modules())


def test_success_is_that_of_eval_mode(mixed, images):
    mixed[-1] = nn.Dropout(1.0)  # in train mode every logit would be 0
    assert not FGSM(epsilon=0).report(mixed, images).success.any()


def test_report_in_inference_mode_is_the_same(classifier, images, labels):
    attack = BIM(epsilon=0.1)
    outside = attack.report(classifier, images, labels)
    with torch.inference_mode():
        inside = attack.report(classifier, images.clone(), labels)
    assert all(
        (a is None and b is None) or torch.equal(torch.as_tensor(a), torch.as_tensor(b))
        for a, b in fields_of(inside, outside)
    )


def test_success_under_autocast_is_that_of_full_precision(linear, images):
    nn.init.zeros_(linear[1].weight)
    linear[1].bias.data = torch.tensor([1000.0, 1001.0, 0.0, 0.0])  # one number in bfloat16
    labels = torch.ones(8, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(images).argmax(1).tolist() == [0] * 8
        result = FGSM(epsilon=0.1).report(linear, images, labels)
    assert not result.success.any()


def test_measures_carry_no_graph_of_images_that_require_gradients(classifier, images, labels):
    result = FGSM().report(classifier, images.requires_grad_(), labels)
    measured = [value for value in vars(result).values() if isinstance(value, torch.Tensor)]
    assert len(measured) == 8
    assert not any(tensor.requires_grad for tensor in measured)


@each(ALL)
def test_report_of_an_empty_batch_is_empty(attack, classifier):
    result = attack.report(classifier, torch.empty(0, 1, 12, 12), torch.empty(0, dtype=torch.long))
    assert result.scores is None
    assert [len(tensor) for tensor in vars(result).values() if tensor is not None] == [0] * 8


class Dividing(nn.Module):
    """A network that fails on no images."""

    def forward(self, images):
        """Return logits."""
        return images.reshape(len(images), -1)[:, :4]


def test_report_of_an_empty_batch_asks_no_network():
    attack = SelectivePGD(epsilon=0.1, steps=1)
    for labels in (None, torch.empty(0, dtype=torch.long)):
        result = attack.report(Dividing(), torch.empty(0, 1, 12, 12), labels, detector=Dividing())
        assert [len(tensor) for tensor in vars(result).values()] == [0] * 9


def fields_of(first, second):
    return [(getattr(first, name), getattr(second, name)) for name in vars(first)]
