"""What every attack promises, whatever it does inside."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.attacks.cases import ALL, APART, EPSILON, OURS, TARGETED, UNTARGETED, Failing, each, linear_model
from tests.conftest import CLASSES

CONTEXTS = {
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}
SLACK = 1e-6


def numpy_state():
    _, words, *rest = np.random.get_state()  # noqa: NPY002 - the state that must not change
    return words.tolist(), rest


def run(attack, model, images, labels, *, fails):
    """Attack; with `fails`, through a model that raises at its first call, and survive that."""
    if not fails:
        return attack(model, images, labels)
    with pytest.raises(RuntimeError, match="out of memory"):
        attack(Failing(model, working_calls=0), images, labels)
    return None


@each(ALL)
def test_result_lies_in_the_range_and_in_each_images_ball(attack, classifier, images, labels):
    adversarial = attack(classifier, images, labels)
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    distances = (adversarial - images).flatten(1).abs().amax(1)
    assert (distances <= EPSILON + SLACK).all()
    assert (distances > EPSILON / 2).all()  # the attack did move every image


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("shape", "classes"), [((1, 12, 12), 2), ((1, 5, 8), 10), ((3, 7, 4), 3)])
@each(ALL)
def test_shape_dtype_and_device_are_kept(attack, shape, classes, dtype):
    images = torch.rand(3, *shape, dtype=dtype)
    adversarial = attack(linear_model(shape, classes, dtype), images, torch.tensor([0, 1, 1]))
    assert (adversarial.shape, adversarial.dtype, adversarial.device) == (images.shape, dtype, images.device)
    assert not torch.equal(adversarial, images)


@each(ALL)
def test_result_is_detached_and_images_that_require_gradients_get_none(attack, classifier, images, labels):
    images.requires_grad_()
    adversarial = attack(classifier, images, labels)
    assert not adversarial.requires_grad
    assert images.grad is None
    assert images.requires_grad


@pytest.mark.parametrize("scale", [0.0, 1e6])
@each(ALL)
def test_constant_and_saturated_classifiers_give_finite_images(attack, scale, linear, images, labels):
    with torch.no_grad():
        linear[1].weight.mul_(scale)
        linear[1].bias.mul_(scale)
    adversarial = attack(linear, images, labels)
    assert adversarial.isfinite().all()
    assert ((adversarial - images).abs() <= EPSILON + SLACK).all()


@each(APART)
def test_constant_classifier_leaves_images_as_they_are(attack, linear, images, labels):
    nn.init.zeros_(linear[1].weight)
    assert torch.equal(attack(linear, images, labels), images)


@each(ALL)
def test_images_labels_and_region_of_the_caller_are_not_changed(attack, classifier, images, labels):
    region = torch.ones(8, 1, 12, 12)
    copies = [tensor.clone() for tensor in (images, labels, region)]
    adversarial = attack(classifier, images, labels, region=region)
    assert all(torch.equal(tensor, before) for tensor, before in zip((images, labels, region), copies, strict=True))
    assert adversarial.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("fails", [False, True])
@each(ALL)
def test_parameters_keep_no_gradient_and_their_flags(attack, fails, mixed, images, labels):
    flags = [parameter.requires_grad for parameter in mixed.parameters()]
    run(attack, mixed, images, labels, fails=fails)
    assert [parameter.requires_grad for parameter in mixed.parameters()] == flags
    assert len(set(flags)) == 2
    assert all(parameter.grad is None for parameter in mixed.parameters())


@each(ALL)
def test_gradients_that_parameters_hold_already_are_kept(attack, classifier, images, labels):
    for parameter in classifier.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    attack(classifier, images, labels)
    assert all((parameter.grad == 7).all() for parameter in classifier.parameters())


@each(ALL)
def test_weights_and_running_statistics_are_not_changed(attack, mixed, images, labels):
    before = copy.deepcopy(mixed.state_dict())
    attack(mixed, images, labels)
    after = mixed.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("fails", [False, True])
@each(ALL)
def test_train_flags_are_put_back_module_by_module(attack, fails, mixed, images, labels):
    flags = [part.training for part in mixed.modules()]
    run(attack, mixed, images, labels, fails=fails)
    assert [part.training for part in mixed.modules()] == flags
    assert set(flags) == {True, False}


@each(ALL)
def test_training_model_is_attacked_in_eval_mode(attack, mixed, images, labels):
    adversarial = attack(mixed, images, labels)
    assert torch.equal(adversarial, attack(mixed.eval(), images, labels))


@pytest.mark.parametrize("fails", [False, True])
@each(ALL)
def test_global_random_state_of_torch_and_numpy_is_not_changed(attack, fails, classifier, images, labels):
    before = torch.get_rng_state(), numpy_state()
    run(attack, classifier, images, labels, fails=fails)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy_state() == before[1]


@each(ALL)
def test_other_devices_are_not_seeded(attack, classifier, images, labels, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)  # torch.manual_seed calls it, CUDA or not
    attack(classifier, images, labels)
    assert seeded == []


@each(ALL)
def test_gradient_mode_is_put_back_after_an_exception(attack, classifier, images, labels):
    with torch.inference_mode():
        run(attack, classifier, images.clone(), labels, fails=True)
        assert torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()


@each(APART)
def test_batch_gives_what_its_images_give_alone(attack, classifier, images, labels):
    model, images = classifier.double(), images.double()
    alone = [attack(model, images[i : i + 1], labels[i : i + 1]) for i in range(len(images))]
    torch.testing.assert_close(attack(model, images, labels), torch.cat(alone), rtol=0, atol=1e-6)


@each(ALL)
def test_same_call_gives_the_same_images(attack, classifier, images, labels):
    first = attack(classifier, images, labels)
    torch.rand(3)  # whatever the caller draws in between
    assert torch.equal(attack(classifier, images, labels), first)


@pytest.mark.parametrize("context", CONTEXTS)
@each(ALL)
def test_result_is_the_same_inside_other_modes(attack, context, classifier, images, labels):
    outside = attack(classifier, images, labels)
    with CONTEXTS[context]():
        inside = attack(classifier, images, labels)
    assert torch.equal(inside, outside)


@each(UNTARGETED)
def test_own_predictions_under_autocast_are_those_of_full_precision(attack, classifier, images):
    outside = attack(classifier, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert classifier(images).dtype == torch.bfloat16  # outside the attack autocast is on
        inside = attack(classifier, images)
    assert torch.equal(inside, outside)


@each(ALL)
def test_tensors_of_inference_mode_are_accepted(attack, classifier, images, labels):
    with torch.inference_mode():
        made_inside = images.clone(), labels.clone()
        region = torch.ones(8, 1, 12, 12)
        inside = attack(classifier, *made_inside, region=region)
    assert made_inside[0].is_inference()
    outside = attack(classifier, *made_inside, region=region)
    expected = attack(classifier, images, labels)
    assert torch.equal(inside, expected)
    assert torch.equal(outside, expected)
    assert not inside.is_inference()  # so that a detector can train on it


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
@each(ALL)
def test_outside_the_region_images_are_equal_to_the_bit(attack, dtype, classifier, images, labels):
    region = torch.rand(8, 1, 12, 12) < 0.5
    adversarial = attack(classifier, images, labels, region=region.to(dtype))
    changed = adversarial != images
    assert not changed[~region].any()
    assert changed[region].float().mean() > 0.5


@each(ALL)
def test_one_region_serves_all_images(attack, classifier, images, labels):
    region = torch.zeros(1, 1, 12, 12)
    region[..., :6] = 1
    adversarial = attack(classifier, images, labels, region=region)
    assert torch.equal(adversarial, attack(classifier, images, labels, region=region.expand(8, 1, 12, 12)))
    assert torch.equal(adversarial[..., 6:], images[..., 6:])


@each(ALL)
def test_full_region_is_no_region(attack, classifier, images, labels):
    everywhere = torch.ones(8, 1, 12, 12)
    assert torch.equal(attack(classifier, images, labels, region=everywhere), attack(classifier, images, labels))


@each(OURS)
def test_empty_region_gives_the_images(attack, classifier, images, labels):
    assert torch.equal(attack(classifier, images, labels, region=torch.zeros(8, 1, 12, 12)), images)


@each(UNTARGETED)
def test_no_labels_means_the_models_own_predictions(attack, mixed, images):
    predictions = copy.deepcopy(mixed).eval()(images).argmax(1)
    assert len(predictions.unique()) > 1
    assert torch.equal(attack(mixed, images), attack(mixed, images, predictions))


@each(TARGETED)
def test_targeted_without_targets_is_refused(attack, classifier, images):
    with pytest.raises(ValueError, match=r"targeted=True.*needs the targets as labels"):
        attack(classifier, images)


@each(ALL)
def test_labels_of_another_integer_type_do(attack, classifier, images, labels):
    assert torch.equal(attack(classifier, images, labels.int()), attack(classifier, images, labels))


@each(ALL)
def test_loss_of_every_image_goes_the_way_the_goal_says(attack, linear, images, labels):
    def loss(batch):
        with torch.no_grad():
            return functional.cross_entropy(linear(batch), labels, reduction="none")

    gain = loss(attack(linear, images, labels)) - loss(images)
    assert ((gain < 0) if attack.targeted else (gain > 0)).all()


@each(ALL)
def test_empty_batch_gives_an_empty_batch(attack, classifier):
    adversarial = attack(classifier, torch.empty(0, 1, 12, 12), torch.empty(0, dtype=torch.long))
    assert adversarial.shape == (0, 1, 12, 12)


@each(APART)
def test_images_in_channels_last_give_the_same(attack, images, labels):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 10 * 10, CLASSES)).double()
    images = images.double().repeat(1, 3, 1, 1)
    result = attack(model, images.to(memory_format=torch.channels_last), labels)
    torch.testing.assert_close(result, attack(model, images, labels), rtol=0, atol=1e-6)


@pytest.mark.gpu
@each(APART)
def test_gpu_gives_what_the_cpu_gives(attack, classifier, images, labels):
    expected = attack(classifier.double(), images.double(), labels)
    adversarial = attack(classifier.cuda(), images.double().cuda(), labels)  # labels stay on the CPU
    assert adversarial.device.type == "cuda"
    assert ((adversarial.cpu() - expected).abs() <= SLACK).float().mean() > 0.998


@pytest.mark.gpu
@each(ALL)
def test_global_random_state_of_the_gpu_is_not_changed(attack, classifier, images, labels):
    torch.cuda.manual_seed_all(5)
    before = torch.cuda.get_rng_state()
    attack(classifier, images, labels)
    attack(classifier.cuda(), images.cuda(), labels.cuda())
    assert torch.equal(torch.cuda.get_rng_state(), before)
