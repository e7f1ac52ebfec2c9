"""What every attack promises, kept by those on two networks."""

import copy

import pytest
import torch
from torch import nn

from attacks import (
    BIM,
    Alternating,
    HingedPGD,
    HopSkipJump,
    Joint,
    JointLoss,
    OrthogonalPGD,
    SelectivePGD,
    Square,
    Transfer,
    norms,
    problem,
)
from attacks.minimal_norm import MinimalNorm
from attacks.white_box.walk import Kept
from tests.attacks.cases import each, goals
from tests.attacks.test_contract import CONTEXTS, SLACK, numpy_state
from tests.attacks.white_box.cases import (
    ALL,
    BALL,
    BEST,
    MOVING,
    PRICED,
    RANDOM,
    TARGETED,
    UNTARGETED,
    Casting,
    FailingDetector,
    Watcher,
    ball_of,
    without_budget,
)
from tests.fixtures import CLASSES


@pytest.fixture
def detector(classifier):
    """A detector that shares the classifier's pass, in eval mode."""
    return Watcher(classifier).eval()


@pytest.fixture
def labels(attack, classifier, images):
    """Labels for which every image has to move."""
    return goals(attack, classifier, images)


@pytest.fixture
def double(classifier, detector, images):
    """Classifier, images and detector in double precision."""
    return classifier.double(), images.double(), detector.double()


@each(MOVING)
def test_result_is_detached_in_the_range_and_in_the_ball(attack, classifier, detector, images, labels):
    copies = images.clone(), labels.clone()
    images.requires_grad_()
    adversarial = attack(classifier, images, labels, detector=detector)
    assert not adversarial.requires_grad
    assert images.grad is None
    assert torch.equal(images, copies[0])  # the clean batch is not overwritten
    assert torch.equal(labels, copies[1])
    assert adversarial.data_ptr() != images.data_ptr()
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    changed = (adversarial != images).flatten(1).any(1)
    assert changed.sum() >= 4
    if attack in BALL.values():
        norm, epsilon = ball_of(attack)
        assert attack.norm_family == norm
        assert (getattr(norms, norm)(adversarial - images) <= epsilon + SLACK).all()


@each({name: attack for name, attack in BALL.items() if not name.endswith("targeted")})
def test_without_a_budget_the_images_come_back_to_the_bit(attack, classifier, detector, images, labels):
    assert torch.equal(without_budget(attack)(classifier, images, labels, detector=detector), images)


@each(BEST)
def test_result_is_no_worse_than_the_image(attack, classifier, detector, images, labels):
    adversarial = attack(classifier, images, labels, detector=detector)
    kept = Kept(problem.Problem(classifier, images, labels), targeted=attack.targeted)
    with torch.no_grad():
        kept.offer(images, *detector.joint(images))
        before = kept.fooled.clone(), kept.value.clone()
        kept.offer(adversarial, *detector.joint(adversarial))
    assert (kept.fooled | ~before[0]).all()
    same = (adversarial == images).flatten(1).all(1)
    assert (same | (kept.fooled & ~before[0]) | (kept.value > before[1])).all()


@each({name: attack for name, attack in ALL.items() if isinstance(attack, MinimalNorm)})
def test_minimal_attack_passes_both_or_gives_the_image_back(attack, classifier, detector, images, labels):
    result = attack.report(classifier, images, labels, detector=detector)
    same = (result.images == images).flatten(1).all(1)
    assert ((result.success & (result.scores <= 0)) | same).all()
    assert not same.all()
    assert not (result.success & (result.scores <= 0) & same).any()  # the labels are such that no image did


@each(ALL)
def test_batch_gives_what_its_images_give_alone_and_in_any_order(attack, double, labels):
    model, images, detector = double
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    together = attack(model, images, labels, detector=detector)
    assert together.dtype == torch.float64
    for i in (0, 3, 6):
        alone = attack(model, images[i : i + 1], labels[i : i + 1], detector=detector)
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=1e-6)
    shuffled = attack(model, images[order], labels[order], detector=detector)
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=1e-6)


@each(UNTARGETED)
def test_micro_batches_give_what_one_batch_gives(attack, double, labels, monkeypatch):
    model, images, detector = double
    sizes = []
    handle = detector.norm.register_forward_hook(lambda _norm, _inputs, features: sizes.append(len(features)))
    expected = attack(model, images, labels, detector=detector)
    several = isinstance(attack, HopSkipJump)  # it asks about several points of an image at once
    assert max(sizes, default=0) == (8 if attack.needs_detector else 0) or several
    sizes.clear()
    monkeypatch.setattr(problem, "_PIXELS_PER_THREAD", 1)
    adversarial = attack(model, images, labels, detector=detector)
    handle.remove()
    assert max(sizes, default=0) == (4 if attack.needs_detector else 0)
    torch.testing.assert_close(adversarial, expected, rtol=0, atol=1e-6)


@each(UNTARGETED)
def test_generators_with_the_same_seed_give_the_same_images(attack, classifier, detector, images, labels):
    first, again = (
        attack(classifier, images, labels, detector=detector, generator=torch.Generator().manual_seed(7))
        for _ in torch.rand(2)  # whatever the caller draws in between
    )
    assert torch.equal(first, again)


@each(RANDOM)
def test_generators_with_other_seeds_give_other_images(attack, classifier, detector, images, labels):
    first, other = (
        attack(classifier, images, labels, detector=detector, generator=torch.Generator().manual_seed(seed))
        for seed in (7, 8)
    )
    assert (first != other).flatten(1).any(1).sum() > len(images) / 2  # two walks may end at one point


@pytest.mark.slow
@each(UNTARGETED)
def test_other_forms_of_the_same_call_give_the_same_images(attack, classifier, detector, images, labels):
    expected = attack(classifier, images, labels, detector=detector)
    everywhere = torch.ones(8, 1, 12, 12)
    found = {
        "everywhere": attack(classifier, images, labels, detector=detector, region=everywhere),
        "no labels": attack(classifier, images, detector=detector),  # the model's own predictions, as the labels are
    }
    for name, context in CONTEXTS.items():
        with context():
            found[name] = attack(classifier, images.clone(), labels, detector=detector)
    assert [name for name, adversarial in found.items() if not torch.equal(adversarial, expected)] == []
    assert [name for name, adversarial in found.items() if adversarial.is_inference()] == []  # one can train on them


@pytest.mark.parametrize("fails", [False, True])
@each(UNTARGETED)
def test_networks_and_random_state_are_left_as_they_were(attack, fails, mixed, images, labels):
    detector = Watcher(mixed)
    networks = {"model": mixed, "detector": detector}
    if isinstance(attack, Transfer):  # what it holds as well
        networks |= {"other model": attack.model} | ({"other": attack.detector} if attack.detector else {})
    modules = nn.ModuleDict(networks)
    before = copy.deepcopy(modules.state_dict())
    flags = [part.training for part in modules.modules()]
    learning = [parameter.requires_grad for parameter in modules.parameters()]
    storage = [parameter.data_ptr() for parameter in modules.parameters()]
    states = torch.get_rng_state(), numpy_state()
    if fails and attack.needs_detector:
        with pytest.raises(RuntimeError, match="out of memory"):
            attack(mixed, images, labels, detector=FailingDetector(detector))
    else:
        attack(mixed, images, labels, detector=detector)
    assert set(flags) == set(learning) == {True, False}
    assert [part.training for part in modules.modules()] == flags
    assert [parameter.requires_grad for parameter in modules.parameters()] == learning
    assert [parameter.data_ptr() for parameter in modules.parameters()] == storage
    assert all(parameter.grad is None for parameter in modules.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in modules.state_dict().items())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert numpy_state() == states[1]


@each(UNTARGETED)
def test_training_networks_are_attacked_in_eval_mode(attack, mixed, images, labels):
    detector = Watcher(mixed)
    adversarial = attack(mixed, images, labels, detector=detector)
    assert torch.equal(adversarial, attack(mixed.eval(), images, labels, detector=detector.eval()))


@each(MOVING)
def test_outside_the_region_images_are_equal_to_the_bit(attack, classifier, detector, images, labels):
    region = torch.rand(8, 1, 12, 12) < 0.5
    adversarial = attack(classifier, images, labels, detector=detector, region=region)
    changed = adversarial != images
    assert not changed[~region].any()
    assert changed.any()


@each(UNTARGETED)
def test_an_empty_region_gives_the_images(attack, classifier, detector, images, labels):
    nowhere = torch.zeros(8, 1, 12, 12)
    assert torch.equal(attack(classifier, images, labels, detector=detector, region=nowhere), images)


@each(TARGETED)
def test_targeted_without_targets_is_refused(attack, classifier, detector, images):
    with pytest.raises(ValueError, match=r"targeted=True.*needs the targets as labels"):
        attack(classifier, images, detector=detector)


@each({name: attack for name, attack in UNTARGETED.items() if attack.needs_detector})
def test_missing_detector_is_refused(attack, classifier, images, labels):
    with pytest.raises(ValueError, match=rf"{type(attack).__name__} attacks a detector as well: pass detector="):
        attack(classifier, images, labels)


@each(UNTARGETED)
def test_empty_batch_gives_an_empty_batch(attack, classifier, detector):
    empty = torch.empty(0, 1, 12, 12), torch.empty(0, dtype=torch.long)
    assert attack(classifier, *empty, detector=detector).shape == (0, 1, 12, 12)
    result = attack.report(classifier, *empty, detector=detector)
    assert (None if result.scores is None else result.scores.shape) == ((0,) if attack.needs_detector else None)


@each(ALL)
def test_report_measures_the_images_of_the_plain_call(attack, classifier, detector, images, labels):
    result = attack.report(classifier, images, labels, detector=detector)
    torch.rand(3)  # whatever the caller draws in between
    assert torch.equal(result.images, attack(classifier, images, labels, detector=detector))
    torch.testing.assert_close(result.linf, (result.images - images).abs().amax((1, 2, 3)))
    with torch.no_grad():
        assert torch.equal(result.success, (classifier(result.images).argmax(1) == labels) == attack.targeted)
        if attack.needs_detector:
            torch.testing.assert_close(result.scores, detector(result.images))
        else:
            assert result.scores is None


@pytest.mark.parametrize("scale", [0.0, 1e6])
@each(ALL)
def test_constant_and_saturated_networks_give_finite_images(attack, scale, linear, images):
    labels = goals(attack, linear, images)
    detector = Watcher(linear)
    with torch.no_grad():
        for weight in (linear[1].weight, linear[1].bias, detector.head.weight):
            weight.mul_(scale)
    adversarial = attack(linear, images, labels, detector=detector)
    assert adversarial.isfinite().all()
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1


@each({name: attack for name, attack in UNTARGETED.items() if attack.needs_detector})
def test_network_or_detector_that_writes_on_its_input_is_refused(attack, twins, images):
    class Writing(Casting):
        def forward(self, batch):
            return super().forward(batch.sub_(0.5))

    images, before = images.double(), images.double()
    labels = goals(attack, twins[1], images)
    pairs = [(twins[0].network, Casting(1, seed=3)), (twins[1], Writing(1, seed=3))]
    for model, detector in pairs:
        names = f"{type(model).__name__} or {type(detector).__name__}"
        with pytest.raises(ValueError, match=f"{names} writes on the images that it is given: set inplace=False"):
            attack(model, images, labels, detector=detector)
    assert torch.equal(images, before)


def test_attacks_are_checked_when_they_are_made():
    with pytest.raises(ValueError, match="needs the detector to make the images on"):
        Transfer(attack=SelectivePGD(), model=nn.Identity())
    with pytest.raises(ValueError, match="set both alike"):
        Transfer(attack=BIM(), model=nn.Identity(), targeted=True)


@each(PRICED)
def test_no_image_costs_more_than_the_attack_says_beforehand(attack, classifier, detector, images, labels):
    result = attack.report(classifier, images, labels, detector=detector)
    most = attack.most_passes(CLASSES)
    assert result.forward_passes.max() <= most.forward
    assert result.backward_passes.max() <= most.backward


@pytest.mark.slow
def test_what_an_attack_costs_at_most_is_what_an_image_costs_that_withstands(classifier, images):
    walk = {"epsilon": 1e-4, "steps": 3, "restarts": 2, "goals": 2}
    attacks = [
        HingedPGD(**walk, part_weights=(0.0, 1.0)),
        JointLoss(**walk, search_steps=2),
        Joint(**walk, weights=(0.1, 0.9)),
        OrthogonalPGD(**walk),
        Square(epsilon=1e-4, queries=9),
        Square(epsilon=1e-4, queries=9, norm="l2"),
        Alternating(step_size=1e-4, steps=3),
    ]
    labels = classifier(images).argmax(1)
    for attack in attacks:
        result = attack.report(classifier, images, labels, detector=Watcher(classifier).eval())
        assert not result.success.any()
        most = attack.most_passes(CLASSES)
        assert (result.forward_passes == most.forward).all(), attack
        if not isinstance(attack, Alternating):  # whose second step is taken only where the detector rejects
            assert (result.backward_passes == most.backward).all(), attack
