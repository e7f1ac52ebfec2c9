"""What every attack promises, whatever it does inside."""

import copy

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies
from torch import nn
from torch.nn import functional

from attacks import JSMA, PGD, HopSkipJump, LocalizedBIM, Square, problem
from tests.attacks.cases import (
    ALL,
    APART,
    BUDGET,
    COMPOSED,
    FORMS,
    MINIMAL,
    OURS,
    TARGETED,
    UNTARGETED,
    Failing,
    each,
    goals,
    linear_model,
    measure,
)
from tests.fixtures import CLASSES

BALLS = {name: attack for name, attack in ALL.items() if name not in MINIMAL | COMPOSED}
STILL = {
    name: attack
    for name, attack in APART.items()
    if name not in {*COMPOSED, "HopSkipJump"} and not (isinstance(attack, PGD) and attack.random_start)
}
RANDOM = {  # every image moves by chance
    name: attack for name, attack in OURS.items() if name not in STILL or isinstance(attack, Square)
}

CONTEXTS = {
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}
SLACK = 1e-6


def numpy_state():
    _, words, *rest = np.random.get_state()  # noqa: NPY002 - the state that must not change
    return words.tolist(), rest


@pytest.fixture
def labels(attack, classifier, images):
    """Labels for which every image has to move."""
    return goals(attack, classifier, images)


def reached(attack, model, images, labels):
    """Return for each image whether the goal is reached."""
    with torch.no_grad():
        return (model(images).argmax(1) == labels) == attack.targeted


def assert_failures_are_originals(attack, model, images, labels, adversarial):
    """Whatever was changed has reached its goal; return what did not change."""
    same = (adversarial == images).flatten(1).all(1)
    assert (reached(attack, model, adversarial, labels) | same).all()
    return same


@each(BALLS)
def test_result_lies_in_the_range_and_in_each_images_ball(attack, classifier, images, labels):
    adversarial = attack(classifier, images, labels)
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    norm, epsilon = measure(attack)
    assert attack.norm_family == norm.__name__
    distances = norm(adversarial - images)
    assert (distances <= epsilon + SLACK).all()
    assert (distances > epsilon / 2).all()  # the attack did move every image


MADE_SMALL = {"LocalizedBIM": "linf", "JSMA": "l0", "GreedyL0": "l0"}


@each(MINIMAL)
def test_attack_without_a_budget_names_the_norm_that_it_makes_small(attack):
    assert attack.norm_family == getattr(attack, "norm", MADE_SMALL.get(type(attack).__name__, "l2"))


@each(MINIMAL)
def test_result_lies_in_the_range_and_reaches_the_goal_or_is_the_image(attack, classifier, images, labels):
    assert not reached(attack, classifier, images, labels).any()
    adversarial = attack(classifier, images, labels)
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    same = assert_failures_are_originals(attack, classifier, images, labels, adversarial)
    assert same.sum() <= 2


@pytest.mark.parametrize(
    ("shape", "classes", "dtype"),
    [((1, 12, 12), 2, torch.float32), ((1, 5, 8), 10, torch.float64), ((3, 7, 4), 3, torch.float32)],
)
@each(ALL)
def test_shape_dtype_and_device_are_kept(attack, shape, classes, dtype):
    model, images = linear_model(shape, classes, dtype), torch.rand(3, *shape, dtype=dtype)
    adversarial = attack(model, images, goals(attack, model, images))
    assert (adversarial.shape, adversarial.dtype, adversarial.device) == (images.shape, dtype, images.device)
    assert not torch.equal(adversarial, images) or isinstance(attack, JSMA | LocalizedBIM)


@each(ALL)
def test_two_classes_and_one_channel_do(attack):
    model = linear_model((1, 6, 6), 2, torch.float64)
    images = torch.rand(8, 1, 6, 6, dtype=torch.float64)
    labels = goals(attack, model, images)
    adversarial = attack(model, images, labels)
    if attack in MINIMAL.values():
        same = assert_failures_are_originals(attack, model, images, labels, adversarial)
        assert not same.all()
    else:
        loss = [functional.cross_entropy(model(batch), labels, reduction="none") for batch in (adversarial, images)]
        assert ((loss[0] < loss[1]) == attack.targeted).all()


@pytest.mark.parametrize("scale", [0.0, 1e6])
@each(ALL)
def test_constant_and_saturated_classifiers_give_finite_images(attack, scale, linear, images):
    labels = goals(attack, linear, images)
    with torch.no_grad():
        linear[1].weight.mul_(scale)
        linear[1].bias.mul_(scale)
    adversarial = attack(linear, images, labels)
    assert adversarial.isfinite().all()
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    if attack in (MINIMAL | COMPOSED).values():
        assert_failures_are_originals(attack, linear, images, labels, adversarial)
    else:
        norm, epsilon = measure(attack)
        assert (norm(adversarial - images) <= epsilon + SLACK).all()


@each(STILL)
def test_constant_classifier_leaves_images_as_they_are(attack, linear, images):
    nn.init.zeros_(linear[1].weight)
    assert torch.equal(attack(linear, images, goals(attack, linear, images)), images)


@each(MINIMAL)
def test_failures_are_the_images_to_the_bit(attack, linear, images):
    with torch.no_grad():
        linear[1].weight.mul_(1e-4)
        linear[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))  # no image in [0, 1] gets another class
    assert torch.equal(attack(linear, images, goals(attack, linear, images)), images)


@each(MINIMAL)
def test_failures_in_a_small_region_are_the_images_to_the_bit(attack):
    model, images, region = linear_model((1, 4, 4), 3), torch.rand(100, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    region[..., [3, 1, 2], [3, 2, 1]] = 1  # an odd number, for attacks that take values in pairs
    labels = goals(attack, model, images)
    adversarial = attack(model, images, labels, region=region)
    same = assert_failures_are_originals(attack, model, images, labels, adversarial)
    assert 5 < same.sum() <= 100


@each({name: attack for name, attack in MINIMAL.items() if not attack.targeted and not isinstance(attack, JSMA)})
def test_images_that_are_wrong_already_are_returned_as_they_are(attack, linear, images):
    with torch.no_grad():
        linear[1].weight.mul_(1000)  # for LocalizedBIM: the wrong class is sure
    right = linear(images).argmax(1)
    labels = torch.where(torch.arange(8) < 4, right, (right + 1) % CLASSES)
    adversarial = attack(linear, images, labels)
    assert torch.equal(adversarial[4:], images[4:])


@each({name: attack for name, attack in MINIMAL.items() if attack.targeted})
def test_images_that_have_their_target_already_are_returned_as_they_are(attack, linear, images):
    with torch.no_grad():
        linear[1].weight.mul_(1000)
    right = linear(images).argmax(1)
    labels = torch.where(torch.arange(8) < 4, (right + 1) % CLASSES, right)
    assert torch.equal(attack(linear, images, labels)[4:], images[4:])


@pytest.mark.parametrize("fails", [False, True])
@each(FORMS)
def test_nothing_of_the_callers_is_changed(attack, fails, mixed, images, labels, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)  # torch.manual_seed calls it, CUDA or not
    given = images.requires_grad_(), labels, torch.ones(8, 1, 12, 12)
    parameters = list(mixed.parameters())
    for parameter in parameters[::2]:
        parameter.grad = torch.full_like(parameter, 7.0)

    def state():
        return {
            "images, labels, region": [tensor.tolist() for tensor in given],
            "gradients": [None if each.grad is None else each.grad.tolist() for each in (images, *parameters)],
            "what requires gradients": [tensor.requires_grad for tensor in (images, *parameters)],
            "weights and statistics": {name: tensor.tolist() for name, tensor in mixed.state_dict().items()},
            "storage": [parameter.data_ptr() for parameter in parameters],
            "modes": [part.training for part in mixed.modules()],
            "random state": (torch.get_rng_state().tolist(), numpy_state()),
            "seeded devices": list(seeded),
            "modes of torch": (torch.is_inference_mode_enabled(), torch.is_grad_enabled()),
        }

    before = state()
    if fails:
        with pytest.raises(RuntimeError, match="out of memory"):
            attack(Failing(mixed, working_calls=0), images, labels, region=given[2])
    else:
        adversarial = attack(mixed, images, labels, region=given[2])
        assert not adversarial.requires_grad
        assert adversarial.data_ptr() != images.data_ptr()
    assert [name for name, value in state().items() if value != before[name]] == []
    assert set(before["modes"]) == set(before["what requires gradients"]) == {True, False}


@each(UNTARGETED)
def test_gradient_mode_is_put_back_after_an_exception(attack, classifier, images, labels):
    with torch.inference_mode():
        with pytest.raises(RuntimeError, match="out of memory"):
            attack(Failing(classifier, working_calls=0), images.clone(), labels)
        assert torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()


@pytest.mark.slow
@each(FORMS)
def test_other_forms_of_the_same_call_give_the_same_images(attack, mixed, images, labels):
    expected = attack(mixed, images, labels)
    with torch.inference_mode():
        inside = images.clone(), labels.clone()
    everywhere, seed = torch.ones(1, 1, 12, 12), torch.Generator().manual_seed
    forms = {
        "again": lambda: attack(mixed, images, labels),
        "in eval mode": lambda: attack(mixed.eval(), images, labels),
        "labels of another type": lambda: attack(mixed, images, labels.int()),
        "everywhere": lambda: attack(mixed, images, labels, region=everywhere),
        "everywhere, by image": lambda: attack(mixed, images, labels, region=everywhere.expand(8, 1, 12, 12)),
        "tensors of inference mode": lambda: attack(mixed, *inside, region=everywhere),
    }
    found = {}
    for name, form in forms.items():
        torch.rand(3)  # whatever the caller draws in between
        found[name] = form()
    for name, context in CONTEXTS.items():
        with context():
            found[name] = attack(mixed, images.clone(), labels.clone())
    assert [name for name, adversarial in found.items() if not torch.equal(adversarial, expected)] == []
    assert [name for name, adversarial in found.items() if adversarial.is_inference()] == []  # one can train on them
    drawn = [attack(mixed, images, labels, generator=seed(7)) for _ in range(2)]
    assert torch.equal(*drawn)


@each(FORMS)
def test_one_region_serves_all_images(attack, classifier, images, labels):
    region = torch.zeros(1, 1, 12, 12)
    region[..., :6] = 1
    adversarial = attack(classifier, images, labels, region=region)
    assert torch.equal(adversarial, attack(classifier, images, labels, region=region.expand(8, 1, 12, 12)))
    assert torch.equal(adversarial[..., 6:], images[..., 6:])


@each(APART)
def test_batch_gives_what_its_images_give_alone_and_in_any_order(attack, classifier, images, labels):
    model, images = classifier.double(), images.double()
    together = attack(model, images, labels)
    for i in (0, 3, 6):
        alone = attack(model, images[i : i + 1], labels[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=1e-6)
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    torch.testing.assert_close(attack(model, images[order], labels[order]), together[order], rtol=0, atol=1e-6)


@each(OURS)
def test_micro_batches_give_what_one_batch_gives(attack, classifier, images, labels, monkeypatch):
    model, images = classifier.double(), images.double()
    sizes = []
    handle = model.register_forward_hook(lambda _model, _inputs, logits: sizes.append(len(logits)))
    expected = attack(model, images, labels)
    assert max(sizes) == 8 or isinstance(attack, HopSkipJump)  # it asks about several points of an image at once
    sizes.clear()
    monkeypatch.setattr(problem, "_PIXELS_PER_THREAD", 1)
    adversarial = attack(model, images, labels)
    handle.remove()
    assert max(sizes) == 4
    torch.testing.assert_close(adversarial, expected, rtol=0, atol=1e-6)


@each(RANDOM)
def test_generators_with_other_seeds_give_other_images(attack, classifier, images, labels):
    first, other = (
        attack(classifier, images, labels, generator=torch.Generator().manual_seed(seed)) for seed in (7, 8)
    )
    assert (first != other).flatten(1).any(1).all()


@each({name: attack for name, attack in APART.items() if name not in RANDOM | COMPOSED and not name.startswith("JSMA")})
def test_attacks_without_chance_do_not_mind_the_generator(attack, classifier, images, labels):
    first = attack(classifier, images, labels)
    assert torch.equal(attack(classifier, images, labels, generator=torch.Generator().manual_seed(8)), first)


@each(UNTARGETED)
def test_own_predictions_under_autocast_are_those_of_full_precision(attack, classifier, images):
    outside = attack(classifier, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert classifier(images).dtype == torch.bfloat16  # outside the attack autocast is on
        inside = attack(classifier, images)
    assert torch.equal(inside, outside)


@each(ALL)
def test_outside_the_region_images_are_equal_to_the_bit(attack, classifier, images, labels):
    region = torch.rand(8, 1, 12, 12) < 0.5
    adversarial = attack(classifier, images, labels, region=region)
    changed = adversarial != images
    assert not changed[~region].any()
    if attack in MINIMAL.values():
        same = assert_failures_are_originals(attack, classifier, images, labels, adversarial)
        assert not same.all()
    else:
        assert changed[region].float().mean() > 0.5


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@each({name: ALL[name] for name in ("BIM", "DeepFool", "GreedyL0", "CarliniWagnerL2-targeted")})
def test_region_of_any_type_does(attack, dtype, classifier, images, labels):
    region = torch.rand(8, 1, 12, 12) < 0.5
    expected = attack(classifier, images, labels, region=region)
    assert torch.equal(attack(classifier, images, labels, region=region.to(dtype)), expected)


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
def test_loss_of_every_changed_image_goes_the_way_the_goal_says(attack, linear, images):
    labels = goals(attack, linear, images)

    def loss(batch):
        with torch.no_grad():
            return functional.cross_entropy(linear(batch), labels, reduction="none")

    adversarial = attack(linear, images, labels)
    changed = (adversarial != images).flatten(1).any(1)
    gain = loss(adversarial)[changed] - loss(images)[changed]
    assert ((gain < 0) if attack.targeted else (gain > 0)).all()
    assert changed.sum() >= 6


@each(ALL)
def test_empty_batch_gives_an_empty_batch(attack, classifier):
    adversarial = attack(classifier, torch.empty(0, 1, 12, 12), torch.empty(0, dtype=torch.long))
    assert adversarial.shape == (0, 1, 12, 12)


@each(APART)
def test_images_in_channels_last_give_the_same(attack, images):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 10 * 10, CLASSES)).double()
    images = images.double().repeat(1, 3, 1, 1)
    labels = goals(attack, model, images)
    result = attack(model, images.to(memory_format=torch.channels_last), labels)
    torch.testing.assert_close(result, attack(model, images, labels), rtol=0, atol=1e-6)


@each(FORMS)
def test_classifier_whose_network_writes_on_its_input_and_flattens_by_view_is_attacked_as_any_other(
    attack, twins, images
):
    awkward, plain = twins
    images = images.double()
    labels, before = goals(attack, plain, images), images.clone()
    result, expected = (attack.report(model, images, labels) for model in (awkward, plain))
    assert torch.equal(images, before)
    torch.testing.assert_close(result.images, expected.images, rtol=0, atol=1e-6)
    assert torch.equal(result.success, expected.success)
    assert torch.equal(result.forward_passes, expected.forward_passes)
    assert torch.equal(result.backward_passes, expected.backward_passes)


@each(FORMS)
def test_network_that_writes_on_its_input_is_refused(attack, twins, images):
    images, before = images.double(), images.double()
    for labels in (goals(attack, twins[1], images), None)[: 1 + (not attack.targeted)]:
        with pytest.raises(ValueError, match="Awkward writes on the images that it is given: set inplace=False"):
            attack.report(twins[0].network, images, labels)
    assert torch.equal(images, before)


SIDES = strategies.integers(1, 4)
VALUES = strategies.sampled_from([0.0, 1e-3, 0.3, 0.5, 0.999, 1.0])


@strategies.composite
def calls(draw):
    """Draw a linear model from constant to saturated, three images, labels and a region."""
    shape = (draw(strategies.sampled_from([1, 3])), draw(SIDES), draw(SIDES))
    values = torch.Size(shape).numel()
    model = linear_model(shape, draw(strategies.sampled_from([2, 4])), torch.float64)
    with torch.no_grad():
        torch.manual_seed(draw(strategies.integers(0, 99)))
        model[1].weight.normal_().mul_(draw(strategies.sampled_from([0.0, 1e-8, 1.0, 1e8])))
    images = draw(strategies.lists(VALUES, min_size=3 * values, max_size=3 * values))
    mask = draw(
        strategies.lists(strategies.booleans(), min_size=3 * values // shape[0], max_size=3 * values // shape[0])
    )
    labels = torch.tensor(draw(strategies.lists(strategies.integers(0, 1), min_size=3, max_size=3)))
    images = torch.tensor(images, dtype=torch.float64).view(3, *shape)
    return model, images, labels, torch.tensor(mask).view(3, 1, *shape[1:])


@each(OURS)
@hypothesis.settings(max_examples=10, phases=[hypothesis.Phase.generate])  # shrinking takes long
@hypothesis.given(call=calls())
def test_range_ball_and_region_are_respected_whatever_the_call(attack, call):
    model, images, labels, region = call
    adversarial = attack(model, images, labels, region=region)
    assert adversarial.isfinite().all()
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    assert not ((adversarial != images) & ~region).any()
    if attack in BUDGET.values():
        norm, epsilon = measure(attack)
        assert (norm(adversarial - images) <= epsilon + 1e-9).all()
    else:
        assert_failures_are_originals(attack, model, images, labels, adversarial)


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
