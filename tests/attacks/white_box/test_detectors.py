"""The four detectors under attack: nothing is detached, what they name is what they have, and what a step costs."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from attacks import Alternating, Joint, JointDDN, JointLoss, OrthogonalPGD, Quantised, SelectivePGD, Square
from detectors import ID, JSD, Classifier, Thresholded
from saliency.jacobian import jacobian, softplus_copy
from tests.detectors.helpers import TRAINED, build, world

STEPS = 3
WALK = {"epsilon": 0.1, "step_size": 0.03, "steps": STEPS}
STEP = 0.03


@pytest.fixture
def grey():
    torch.manual_seed(0)
    return world(1, 4)


@pytest.fixture
def detector(name, grey):
    torch.manual_seed(1)
    return build(name, grey)


each_detector = pytest.mark.parametrize("name", TRAINED)
each_map = pytest.mark.parametrize("name", ["SMD", "SPD"])


def gradient(function, images):
    seen = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(seen).sum(), seen, allow_unused=True)
    return torch.zeros_like(images) if found is None else found


def with_detached_map(detector):
    return lambda images: detector.score(images, detector.explanation(images).detach())


@each_map
def test_score_has_a_gradient_through_the_map_for_every_image(name, detector, grey):
    whole = gradient(detector, grey.images)
    direct = gradient(with_detached_map(detector), grey.images)
    through = (whole - direct).flatten(1).norm(dim=1)
    assert (through > 1e-3 * whole.flatten(1).norm(dim=1)).all()
    if name == "SMD":
        assert not direct.any()


@each_detector
def test_gradient_of_the_score_is_that_of_finite_differences(detector, grey):
    detector, images = detector.double(), grey.images[:4].double()
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    slope = (gradient(detector, images) * direction).sum((1, 2, 3))
    with torch.no_grad():
        measured = (detector(images + 1e-7 * direction) - detector(images - 1e-7 * direction)) / 2e-7
    torch.testing.assert_close(slope, measured, rtol=1e-3, atol=1e-6)


def test_second_derivative_through_the_jacobian_is_zero_for_relu_and_not_for_softplus(grey):
    network = grey.classifier.network
    weights = torch.randn(grey.images.shape, generator=torch.Generator().manual_seed(2))
    smooth = softplus_copy(network)
    assert not gradient(lambda images: jacobian(network, images) * weights, grey.images).any()
    through = gradient(lambda images: jacobian(smooth, images) * weights, grey.images)
    assert through.flatten(1).any(1).all()


def test_softplus_copy_shares_the_weights_and_tends_to_the_network(grey):
    network = grey.classifier.network
    twin = softplus_copy(network)
    assert [id(each) for each in twin.parameters()] == [id(each) for each in network.parameters()]
    assert [id(each) for each in twin.buffers()] == [id(each) for each in network.buffers()]
    assert not any(isinstance(part, nn.ReLU) for part in twin.modules())
    assert any(isinstance(part, nn.ReLU) for part in network.modules())  # the network keeps its own
    with torch.no_grad():
        logits = network(grey.images)
        errors = [(softplus_copy(network, beta)(grey.images) - logits).abs().max() for beta in (1e1, 1e2, 1e3, 1e4)]
    assert all(after < before / 2 for before, after in pairwise(errors))
    assert errors[-1] < 1e-2 * logits.abs().max()
    assert softplus_copy(nn.Linear(2, 2)) is None


@pytest.mark.parametrize("aimed", [False, True])
@each_detector
def test_joint_and_surrogates_give_what_forward_gives(name, aimed, detector, grey):
    asked = Thresholded(detector, 0.25) if aimed else detector
    for images in (grey.images, grey.images.clone().requires_grad_()):
        logits, scores = grey.classifier(images), asked(images)
        torch.testing.assert_close(asked.joint(images), (logits, scores))
        *found, parts = asked.surrogates(images)
        torch.testing.assert_close(tuple(found), (logits, scores))
        named = {"JSD": {"softplus"}, "SMD": {"disagreement", "area"}, "SPD": {"disagreement", "area"}}
        assert set(parts) == named.get(name, set())
        assert all(part.shape == scores.shape for part in parts.values())


@each_detector
def test_every_part_has_a_gradient(name, detector, grey):
    images = grey.images.clone().requires_grad_()
    *_, parts = detector.surrogates(images)
    for part in parts.values():
        (found,) = torch.autograd.grad(part.sum(), images, retain_graph=True)
        assert found.flatten(1).any(1).all(), name


@each_detector
def test_attack_with_parts_is_no_weaker_than_without(name, detector, grey):  # noqa: ARG001
    plain = SelectivePGD(**WALK).report(grey.classifier, grey.images, detector=detector)
    aware = SelectivePGD(**WALK, part_weights=(0.0, 1.0)).report(grey.classifier, grey.images, detector=detector)
    assert (aware.success | ~plain.success).all()
    both = plain.success & aware.success
    assert both.any()
    assert (aware.scores <= plain.scores + 1e-5)[both].all()


class Counter:
    """Counts the images that go through networks."""

    def __init__(self, **networks):
        self.counts = dict.fromkeys(networks, 0)
        for name, network in networks.items():
            network.register_forward_hook(lambda _module, inputs, _outputs, name=name: self._add(name, inputs[0]))

    def _add(self, name, images):
        self.counts[name] += len(images)


def counter(detector):
    networks = {"classifier": detector.classifier.network, "detector": detector.network}
    if hasattr(detector, "saliency"):
        # its four scales are asked for by a method: the first stage of the encoder stands for it
        networks["encoder"] = next(
            part for part in detector.saliency.selector.encoder.modules() if isinstance(part, nn.Conv2d)
        )
    return Counter(**networks)


@pytest.mark.parametrize("aimed", [False, True])
@each_detector
def test_selective_step_costs_one_pass_through_each_network(name, aimed, detector, grey):
    count = counter(detector)
    asked = Thresholded(detector, 0.1) if aimed else detector
    SelectivePGD(**WALK)(grey.classifier, grey.images, grey.labels, detector=asked)
    passes = {part: seen / len(grey.images) for part, seen in count.counts.items()}
    expected = dict.fromkeys(passes, STEPS + 1)  # the last point is asked about
    if name == "JSD":  # without a gradient to record, its Jacobian takes a pass of its own
        expected["classifier"] += 1
    assert passes == expected
    result = SelectivePGD(**WALK).report(grey.classifier, grey.images, grey.labels, detector=asked)
    assert result.forward_passes.tolist() == [STEPS + 1] * 16
    backward = 2 * STEPS if name == "JSD" else STEPS  # its Jacobian is one
    assert result.backward_passes.tolist() == [backward] * 16


@each_detector
def test_orthogonal_and_joint_steps_cost_two_gradients(name, detector, grey):
    for attack in (OrthogonalPGD(**WALK), Joint(**WALK)):
        result = attack.report(grey.classifier, grey.images, grey.labels, detector=detector)
        assert result.forward_passes.tolist() == [STEPS + 1] * 16
        assert result.backward_passes.tolist() == [(3 if name == "JSD" else 2) * STEPS] * 16


@each_detector
def test_square_asks_for_no_gradient(name, detector, grey):  # noqa: ARG001
    result = Square(epsilon=0.1, queries=7).report(grey.classifier, grey.images, grey.labels, detector=detector)
    assert result.forward_passes.tolist() == [7] * 16
    assert not result.backward_passes.any()


@each_detector
def test_minimal_attack_counts_its_steps(name, detector, grey):
    result = JointDDN(steps=STEPS).report(grey.classifier, grey.images, grey.labels, detector=detector)
    won = (result.l2 == 0) & result.success & (result.scores <= 0)
    assert torch.equal(result.forward_passes, torch.where(won, 1.0, STEPS + 1.0))  # an image that wins takes no step
    assert (result.backward_passes <= (2 if name == "JSD" else 1) * STEPS).all()


@pytest.mark.parametrize("name", [name for name in TRAINED if name != "FeatureHead"])  # whose pixels are not known
def test_step_of_the_representation_is_the_authors(name, detector, grey):
    labels = (grey.classifier(grey.images).argmax(1) + 1) % 4  # fooled already: only the detector's step is left
    images = 0.2 + 0.6 * grey.images
    asked = Thresholded(detector, -1e3)  # rejects whatever comes
    attack = Alternating(step_size=STEP, steps=1, through_saliency=False)
    result = attack.report(grey.classifier, images, labels, detector=asked)
    seen = detector.represent(images).detach().requires_grad_()
    (slope,) = torch.autograd.grad(detector.network(seen).sum(), seen)
    moved = seen.detach() - STEP * slope.sign()
    change = (moved - seen.detach())[:, :1]  # u' - u; JSD's first channel is the image
    hit = grey.classifier(images).argmax(1) != labels
    torch.testing.assert_close(result.images[hit], (images + change).clamp(0, 1)[hit])
    assert hit.sum() > 8
    honest = Alternating(step_size=STEP, steps=1)(grey.classifier, images, labels, detector=asked)
    assert torch.equal(honest[hit], result.images[hit]) == (
        name in {"ID", "JSD"}
    )  # JSD: its Jacobian passes no gradient
    # the classifier's pass with its gradient, the score, the step of the representation
    assert result.forward_passes.tolist() == [3] * 16


@each_detector
def test_alternation_moves_every_image_that_does_not_pass(name, detector, grey):  # noqa: ARG001
    asked = Thresholded(detector, -1e3)
    result = Alternating(step_size=STEP)(grey.classifier, grey.images, detector=asked)
    assert (result != grey.images).flatten(1).any(1).all()


class Reversed(ID):
    """It has its own way to the scores."""

    def forward(self, images):
        return -super().forward(images)


class Forgetful(ID):
    """Its representation takes no logits."""

    def represent(self, images):
        return 1 - images


@pytest.mark.parametrize("kind", [Reversed, Forgetful])
def test_subclass_is_attacked_on_the_scores_that_it_gives(kind, grey):
    detector = kind(grey.classifier).eval()
    logits, scores = detector.joint(grey.images)
    torch.testing.assert_close(scores, detector(grey.images))
    torch.testing.assert_close(logits, grey.classifier(grey.images))
    aimed = Thresholded(detector, -1e6)  # rejects everything: the attack goes on
    found = SelectivePGD(epsilon=0.2, steps=10).report(grey.classifier, grey.images, detector=aimed)
    with torch.no_grad():
        lower = detector(found.images) < detector(grey.images)
    assert lower[found.success].float().mean() > 0.9


def test_subclass_with_its_own_forward_has_no_step_of_the_representation(grey):
    detector = Reversed(grey.classifier).eval()
    with pytest.raises(ValueError, match="needs a detector with representation_step, and Reversed has none"):
        Alternating(through_saliency=False)(grey.classifier, grey.images, detector=detector)


def test_softplus_copy_replaces_an_activation_that_is_used_twice():
    shared = nn.ReLU()
    twin = softplus_copy(nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared))
    assert [type(layer) for layer in twin] == [nn.Linear, nn.Softplus] * 2


class Attention(nn.Module):
    """A block of a vision transformer, whose attention is a function or a module."""

    def __init__(self, *, module):
        super().__init__()
        self.patches, self.values, self.last = nn.Conv2d(1, 8, 4, 4), nn.Linear(8, 24), nn.Linear(8, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True) if module else None

    def forward(self, images):
        """Return logits."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        if self.attention is not None:
            seen, _ = self.attention(patches, patches, patches, need_weights=False)
        else:
            parts = [part.unflatten(2, (2, 4)).transpose(1, 2) for part in self.values(patches).chunk(3, 2)]
            seen = functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        return self.last(functional.gelu(4 * (patches + seen)).mean(1))


def jsd_of(network):
    classifier = Classifier((1, 12, 12), 4, network=network.eval(), widths=(4,)).eval()
    return classifier, JSD(classifier).eval()


@pytest.mark.parametrize("module", [False, True])
def test_jacobian_of_attention_is_differentiated(module, grey):
    classifier, detector = jsd_of(Attention(module=module))
    assert SelectivePGD(**WALK).report(classifier, grey.images, detector=detector).images.isfinite().all()
    detector, images = detector.double(), grey.images[:4].double()
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ends = [detector(images + side * 1e-6 * direction) for side in (1, -1)]
    for scores in (detector, lambda batch: detector.joint(batch)[1]):
        slope = (gradient(scores, images) * direction).sum((1, 2, 3))
        torch.testing.assert_close(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-7)
    through = gradient(detector, images) - gradient(with_detached_map(detector), images)
    assert through.flatten(1).any(1).all()


BY_GRADIENT = {
    "SelectivePGD": SelectivePGD(**WALK),
    "OrthogonalPGD": OrthogonalPGD(**WALK),
    "Joint": Joint(**WALK),
    "JointLoss": JointLoss(**WALK),
    "Alternating": Alternating(),
    "JointDDN": JointDDN(steps=3),
    "Quantised": Quantised(attack=SelectivePGD(**WALK)),
}


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_a_jacobian_that_cannot_be_differentiated_is_told(name, grey):
    layers = nn.Conv2d(1, 3, 3), nn.Hardsigmoid(), nn.Flatten(), nn.Linear(300, 4)
    classifier, detector = jsd_of(nn.Sequential(*layers))
    rejecting = Thresholded(detector, -10.0)
    wrong = (classifier(grey.images).argmax(1) + 1) % 4  # so that attacks go on against the detector
    with pytest.raises(ValueError, match=r"cannot be differentiated again \(derivative for .*hardsigmoid.* Square"):
        BY_GRADIENT[name](classifier, grey.images, wrong, detector=rejecting)


def test_what_needs_no_second_derivative_works_with_such_a_jacobian(grey):
    classifier, detector = jsd_of(nn.Sequential(nn.Conv2d(1, 3, 3), nn.Hardsigmoid(), nn.Flatten(), nn.Linear(300, 4)))
    result = Square(epsilon=0.1, queries=5).report(classifier, grey.images, detector=detector)
    assert result.scores.isfinite().all()
    detector.represent(grey.images).sum()
    detector.train()(grey.images).sum().backward()
    assert detector.network.layers[1].weight.grad.any()
