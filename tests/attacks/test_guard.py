"""Bad input is refused with a sentence that helps; what an attack's own code may rely on, and may not do."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from attacks import BIM, FGSM, JSMA, Advertorch, Attack, DeepFool
from attacks.guard import guarded
from tests.attacks.cases import ALL, UNTARGETED, each
from tests.attacks.white_box import cases as white_box

ATTACK = FGSM(epsilon=0.1)


@dataclass(frozen=True, kw_only=True)
class Scripted(Attack):
    """Returns what it is told to, and remembers what it was given."""

    answer: Any = None
    seen: list = field(default_factory=list)

    def perturb(self, problem):
        self.seen.append(problem)
        return problem.images if self.answer is None else self.answer(problem.images)


@dataclass(frozen=True, kw_only=True)
class WhiteBox(Scripted):
    needs_detector: ClassVar[bool] = True


def filled(value):
    def change(images):
        images[3, 0, 5, 5] = value
        return images

    return change


BAD_IMAGES = {
    "above 1": (filled(1.001), r"in \[0, 1\], got values from 0 to 1\.001"),
    "below 0": (filled(-0.5), r"in \[0, 1\], got values from -0\.5 to 1"),
    "NaN": (filled(float("nan")), r"finite .* got values from nan"),
    "infinite": (filled(float("inf")), r"finite .* to inf"),
    "bytes in a float": (lambda images: images * 255, r"scale them"),
    "three dimensions": (lambda images: images[0], r"\(N, C, H, W\), got torch.float32 of shape \(1, 12, 12\)"),
    "flat": (lambda images: images.flatten(1), r"\(N, C, H, W\), got .* \(8, 144\)"),
    "five dimensions": (lambda images: images[None], r"\(N, C, H, W\), got .* \(1, 8, 1, 12, 12\)"),
    "bytes": (lambda images: (images * 255).byte(), r"float32 .*got torch.uint8"),
    "integers": (torch.Tensor.long, r"float32 .*got torch.int64"),
}
BAD_LABELS = {
    "too few": (torch.arange(4), r"shape \(8,\), got torch.int64 of shape \(4,\)"),
    "one for all": (torch.tensor(1), r"shape \(8,\), got .* \(\)"),
    "column": (torch.zeros(8, 1, dtype=torch.long), r"shape \(8,\), got .* \(8, 1\)"),
    "one-hot": (torch.eye(8, 4, dtype=torch.long), r"shape \(8,\), got .* \(8, 4\)"),
    "float": (torch.zeros(8), r"integers .* got torch.float32"),
    "bool": (torch.zeros(8, dtype=torch.bool), r"integers .* got torch.bool"),
    "negative": (torch.arange(8) % 4 - 1, r"-1"),
    "cross entropy's ignored index": (torch.full((8,), -100), r"-100"),
    "a class that the model lacks": (torch.arange(8) % 5, r"4"),
}
BAD_REGIONS = {
    "no channel dimension": (torch.ones(8, 12, 12), r"\(8, 1, 12, 12\), got \(8, 12, 12\)"),
    "one per channel": (torch.ones(8, 3, 12, 12), r"\(8, 1, 12, 12\), got \(8, 3, 12, 12\)"),
    "other size": (torch.ones(8, 1, 11, 12), r"\(8, 1, 12, 12\), got \(8, 1, 11, 12\)"),
    "other batch": (torch.ones(4, 1, 12, 12), r"\(8, 1, 12, 12\), got \(4, 1, 12, 12\)"),
    "soft": (torch.full((8, 1, 12, 12), 0.5), r"only 0 and 1"),
    "NaN": (torch.full((8, 1, 12, 12), float("nan")), r"only 0 and 1"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_are_refused(name, classifier, images, labels):
    spoil, message = BAD_IMAGES[name]
    with pytest.raises(ValueError, match=message):
        ATTACK(classifier, spoil(images.clone()), labels)


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels_are_refused(name, classifier, images):
    wrong, message = BAD_LABELS[name]
    with pytest.raises(ValueError, match=message):
        ATTACK(classifier, images, wrong)


@pytest.mark.parametrize("name", BAD_REGIONS)
def test_bad_regions_are_refused(name, classifier, images, labels):
    wrong, message = BAD_REGIONS[name]
    with pytest.raises(ValueError, match=message):
        ATTACK(classifier, images, labels, region=wrong)


@each(ALL)
def test_every_attack_checks_its_input_in_call_and_report(attack, classifier, images, labels):
    for call in (attack, attack.report):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            call(classifier, images + 1, labels)
        with pytest.raises(ValueError, match="labels must be integers"):
            call(classifier, images, labels.float())


def test_missing_detector_is_refused(classifier, images):
    with pytest.raises(ValueError, match=r"WhiteBox attacks a detector as well: pass detector="):
        WhiteBox()(classifier, images)


def test_detector_is_given_to_those_attacks_alone_that_need_it(classifier, images):
    detector = nn.Sequential(nn.Flatten(), nn.Dropout()).train()
    white_box, unaware = WhiteBox(), Scripted()
    for attack in (white_box, unaware):
        attack(classifier, images, detector=detector)
    assert white_box.seen[0].detector is detector
    assert unaware.seen[0].detector is None
    assert detector.training


def test_detector_is_in_eval_mode_while_attacked(classifier, images):
    detector = nn.Sequential(nn.Flatten(), nn.Dropout()).train()
    modes = []
    WhiteBox(answer=lambda batch: (modes.append(detector[1].training), batch)[1])(classifier, images, detector=detector)
    assert modes == [False]


def test_attacks_code_gets_copies_a_seed_and_a_mask_of_full_shape(classifier, images, labels):
    attack, generator = Scripted(), torch.Generator().manual_seed(3)
    attack(classifier, images, labels, region=torch.ones(1, 1, 12, 12), generator=generator)
    (problem,) = attack.seen
    assert torch.equal(problem.images, images)
    assert problem.images.data_ptr() != images.data_ptr()
    assert problem.labels.data_ptr() != labels.data_ptr()
    assert (problem.region.shape, problem.region.dtype) == ((8, 1, 12, 12), torch.bool)
    expected = torch.Generator().manual_seed(3)
    assert problem.seed == int(torch.randint(2**31, (), generator=expected))
    assert torch.equal(generator.get_state(), expected.get_state())  # one number was drawn, no more


def test_seed_without_a_generator_is_0_and_calls_with_one_get_different_seeds(classifier, images, labels):
    attack, generator = Scripted(), torch.Generator().manual_seed(3)
    for given in (None, generator, generator):
        attack(classifier, images, labels, generator=given)
    seeds = [problem.seed for problem in attack.seen]
    assert seeds[0] == 0
    assert len(set(seeds)) == 3


def convolutions():
    """Two convolutions and another that shares the first's weight."""
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)]
    layers[2].weight = layers[0].weight
    return nn.Sequential(*layers)


def layout(model):
    return [(weight.data_ptr(), weight.stride(), weight.dtype, id(weight)) for weight in model.parameters()]


@pytest.mark.parametrize("fails", [False, True])
def test_layout_of_weights_is_changed_inside_and_the_very_same_storage_put_back(fails):
    model = convolutions()
    before, values = layout(model), [weight.detach().clone() for weight in model.parameters()]
    with pytest.raises(RuntimeError, match="out of memory") if fails else nullcontext(), guarded(model):
        for weight, value in zip(model.parameters(), values, strict=True):
            assert torch.equal(weight, value)
            assert weight.ndim < 4 or weight.is_contiguous(memory_format=torch.channels_last)
        assert not model[0].weight.is_contiguous()
        assert model[2].weight is model[0].weight
        if fails:
            raise RuntimeError("out of memory")  # noqa: EM101, TRY003
    assert layout(model) == before
    assert all(torch.equal(weight, value) for weight, value in zip(model.parameters(), values, strict=True))


class Viewing(nn.Module):
    """A model whose code needs contiguous activations, as many do."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 3)
        self.head = nn.Linear(300, 4)

    def forward(self, images):
        """Return logits."""
        return self.head(self.convolution(images).view(len(images), -1))


@pytest.mark.parametrize("attack", [BIM(), DeepFool(), JSMA()], ids=repr)
def test_model_that_needs_its_own_layout_is_attacked_in_it(attack, images):
    model = Viewing()
    before, seen = layout(model), []
    model.register_forward_hook(lambda *_: seen.append(layout(model)))
    result = attack.report(model, images)
    assert not torch.equal(result.images, images)
    assert set(map(str, seen)) == {str(before)}
    assert layout(model) == before


def test_scripted_model_is_attacked_as_the_plain_one(classifier, images, labels):
    network = classifier.network
    scripted = torch.jit.trace(network, images)
    torch.testing.assert_close(BIM()(scripted, images, labels), BIM()(network, images, labels))
    assert BIM()(torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(144, 4))), images).shape == images.shape


class Answering(nn.Module):
    """A model that does something to the answers of another one."""

    def __init__(self, model, change):
        super().__init__()
        self.model = model
        self.change = change

    def forward(self, images):
        """Return the answers, changed."""
        return self.change(self.model(images))


OURS_AND_MIXED = {name: attack for name, attack in UNTARGETED.items() if not name.startswith("Advertorch")}


@each(OURS_AND_MIXED)
def test_logits_of_another_type_are_cast_to_the_images(attack, linear, images):
    labels = linear(images).argmax(1)
    assert torch.equal(attack(Answering(linear, torch.Tensor.double), images, labels), attack(linear, images, labels))


@each(white_box.UNTARGETED)
def test_scores_of_another_type_are_cast_to_the_images(attack, classifier, images):
    detector, labels = white_box.Casting(1, seed=3), classifier(images).argmax(1)
    double = Answering(detector, torch.Tensor.double)
    expected = attack(classifier, images, labels, detector=detector)
    assert torch.equal(attack(classifier, images, labels, detector=double), expected)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda logits: logits[:, :1], r"of 2 classes or more, got shape \(\d+, 1\) from Answering"),
        (lambda logits: logits[:, 0], r"got shape \(\d+,\) from Answering"),
        (lambda logits: (logits, logits), r"got a tuple from Answering"),
    ],
    ids=["one class", "no classes", "tuple"],
)
@each(ALL)
def test_model_without_logits_of_two_classes_is_refused(attack, change, told, linear, images):
    model = Answering(linear, change)
    with pytest.raises(ValueError, match=told):
        attack(model, images, torch.zeros(8, dtype=torch.long))
    if not attack.targeted:
        with pytest.raises(ValueError, match=told):
            attack.report(model, images)


@pytest.mark.parametrize("call", [ATTACK, ATTACK.report], ids=["call", "report"])
def test_what_is_no_tensor_is_refused_by_name(call, linear, images, labels):
    with pytest.raises(ValueError, match=r"^images must be a tensor, got a numpy array: use torch.from_numpy$"):
        call(linear, images.numpy(), labels)
    with pytest.raises(ValueError, match=r"^images must be a tensor, got a list: use torch.tensor$"):
        call(linear, images.tolist(), labels)
    with pytest.raises(ValueError, match=r"^labels must be a tensor, got a numpy array: use torch.from_numpy$"):
        call(linear, images, labels.numpy())
    with pytest.raises(ValueError, match=r"^region must be a tensor, got a list: use torch.tensor$"):
        call(linear, images, labels, region=[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype, linear, images):
    with pytest.raises(ValueError, match=f"float32 .or float64. tensor .*got {dtype}"):
        BIM()(linear.to(dtype), images.to(dtype))


def test_targeted_by_a_word_is_refused(linear, images, labels):
    with pytest.raises(TypeError, match="targeted must be True or False, got 'false'"):
        BIM(targeted="false")(linear, images, labels)


def test_weights_that_are_not_on_the_cpu_are_left_alone():
    model = nn.Conv2d(3, 4, 3, device="meta")
    with guarded(model):
        assert model.weight.is_contiguous()


@pytest.mark.gpu
def test_weights_on_the_gpu_are_left_alone():
    model = convolutions().cuda()
    before = layout(model)
    with guarded(model):
        assert layout(model) == before


@pytest.mark.parametrize("fails", [False, True])
def test_call_of_an_attack_puts_the_layout_back(fails, mixed, images, labels):
    inside = []

    def answer(batch):
        inside.append(layout(mixed))
        if fails:
            raise RuntimeError("out of memory")  # noqa: EM101, TRY003
        return batch

    mixed[0].weight.data = torch.randn(3, 3, 3, 3)
    mixed[0].in_channels = 3
    before = layout(mixed)
    with pytest.raises(RuntimeError, match="out of memory") if fails else nullcontext():
        Scripted(answer=answer)(mixed, images.repeat(1, 3, 1, 1), labels)
    assert layout(mixed) == before
    assert inside[0] != before


NEEDED = r"it must return a tensor of torch.float32 and of the images' shape \(8, 1, 12, 12\), with values in \[0, 1\]"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda batch: batch + 0.5, r"values from 0\.5 to 1\.5, not in \[0, 1\]: clamp them to \[0, 1\]$"),
        (lambda batch: batch * float("nan"), r"values from nan .*: look for a division by 0"),
        (lambda batch: batch[:4], rf"shape \(4, 1, 12, 12\): {NEEDED}"),
        (torch.Tensor.double, rf"returned torch.float64 .*: {NEEDED}"),
        (torch.Tensor.numpy, rf"Scripted.perturb returned a ndarray: {NEEDED}"),
        ([].extend, rf"Scripted.perturb returned None: {NEEDED}"),
    ],
    ids=["out of range", "NaN", "shape", "dtype", "numpy", "None"],
)
def test_bad_result_of_an_attack_is_refused(answer, message, classifier, images):
    with pytest.raises(RuntimeError, match=message):
        Scripted(answer=answer)(classifier, images)


def test_what_an_attack_changes_outside_the_region_is_undone(classifier, images):
    region = torch.zeros(8, 1, 12, 12)
    region[..., 3:6, 2:4] = 1
    adversarial = Scripted(answer=lambda batch: 1 - batch)(classifier, images, region=region)
    assert torch.equal(adversarial, torch.where(region.bool(), 1 - images, images))


@pytest.mark.parametrize("attack", [FGSM(), Advertorch(attack="LinfPGDAttack")], ids=["FGSM", "Advertorch"])
def test_failure_in_the_middle_leaves_the_model_as_it_was(attack, mixed, images):
    flags = [(part.training, [parameter.requires_grad for parameter in part.parameters()]) for part in mixed.modules()]

    def fail(_gradient):
        msg = "out of memory"
        raise RuntimeError(msg)

    def fail_at_backward(_module, _inputs, output):
        if output.requires_grad:
            output.register_hook(fail)

    mixed[0].register_forward_hook(fail_at_backward)
    with pytest.raises(RuntimeError, match="out of memory"):
        attack(mixed, images)
    after = [(part.training, [parameter.requires_grad for parameter in part.parameters()]) for part in mixed.modules()]
    assert after == flags
