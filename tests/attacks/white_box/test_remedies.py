"""Remedies: what they change of a network's answers, what they cost, and that everything is put back."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from attacks import BIM, Estimation, Expectation, Matching, SelectivePGD, StraightThrough, Transfer
from attacks.problem import Problem
from attacks.white_box.randomness import seeded
from attacks.white_box.remedy import classifier_of
from tests.attacks.minimal import trained_net
from tests.attacks.white_box.cases import FailingDetector
from tests.attacks.white_box.museum import BROKEN

WALK = SelectivePGD(epsilon=0.3, steps=5)


def sums(weights):
    """A linear function (N,) of images."""
    return lambda images: (images * weights).sum((1, 2, 3))


class Slope(nn.Module):
    """A linear detector with a part that rounds."""

    def __init__(self):
        super().__init__()
        self.weights = torch.linspace(-1, 1, 64).view(1, 8, 8)
        self.greys = Greys()

    def forward(self, images):
        """Return scores (N,)."""
        return sums(self.weights)(self.greys(images))


class Greys(nn.Module):
    """Rounds to nine greys, in numpy."""

    def forward(self, images):
        """Return the images, rounded."""
        return torch.from_numpy((8 * images).numpy().round() / 8)


class Shaking(nn.Module):
    """A detector whose scores are drawn in four ways."""

    def __init__(self):
        super().__init__()
        self.torch = torch.Generator().manual_seed(1)
        self.numpy = np.random.default_rng(1)
        self.old = np.random.RandomState(1)
        self.python = random.Random(1)  # noqa: S311

    def drawn(self):
        """One number of each generator, those of torch, numpy and Python included."""
        own = torch.rand((), generator=self.torch).item(), self.numpy.random(), self.old.rand(), self.python.random()
        return *own, torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002, S311

    def forward(self, images):
        """Return scores (N,)."""
        return images.mean((1, 2, 3)) + sum(self.drawn())


def test_generators_draw_the_same_each_time_and_are_as_before_afterwards():
    network, cpu = nn.Sequential(Shaking()), torch.device("cpu")
    before = network[0].drawn()
    with seeded(3, cpu, network):
        first = network[0].drawn()
    after = network[0].drawn()
    with seeded(3, cpu, network):
        again = network[0].drawn()
    with seeded(4, cpu, network):
        other = network[0].drawn()
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))
    fresh = Shaking()
    assert (fresh.drawn()[:4], fresh.drawn()[:4], fresh.drawn()[:4]) == (before[:4], after[:4], network[0].drawn()[:4])


def test_expectation_is_repeatable_on_a_random_detector_and_counts_every_pass(trained):
    detector = Shaking()
    attack = Expectation(attack=WALK, samples=3)
    first, again = (attack.report(*trained, detector=detector) for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert (first.forward_passes == 3 * 6).all()
    assert (first.backward_passes == 3 * 5).all()


def test_expectation_shows_the_attack_the_mean_of_all_passes(trained):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, images):
            self.calls += 1
            return self.calls * images.sum((1, 2, 3))

    class Look(SelectivePGD):
        def perturb(self, problem):
            points = problem.images.clone().requires_grad_()
            seen.extend(problem.joint(points))
            seen.append(torch.autograd.grad(seen[1].sum(), points)[0])
            return problem.images

    seen = []
    net, images, labels = trained
    Expectation(attack=Look(), samples=4)(net, images, labels, detector=Counting())
    torch.testing.assert_close(seen[0], net(images))
    torch.testing.assert_close(seen[1], 2.5 * images.sum((1, 2, 3)))
    torch.testing.assert_close(seen[2], torch.full_like(images, 2.5))


class Gradient(SelectivePGD):
    """No attack: it shows the score and its gradient at the images."""

    def perturb(self, problem):
        """Return the gradient, as an image."""
        points = problem.images.clone().requires_grad_()
        _, scores = problem.joint(points)
        (gradient,) = torch.autograd.grad(scores.sum(), points)
        return gradient.sigmoid().detach()


def gradient_of(remedy, trained, detector, **how):
    """The gradient (48, 1, 8, 8) that an attack sees of a score under a remedy."""
    return remedy(attack=Gradient(), **how)(*trained, detector=detector).logit()


def test_gradient_passes_a_rounding_part_unchanged_and_values_stay_to_the_bit(trained):
    detector = Slope()
    images = trained[1]
    scores = detector(images)
    found = gradient_of(StraightThrough, trained, detector, parts=("greys",))
    torch.testing.assert_close(found, detector.weights.expand_as(images), rtol=1e-3, atol=1e-4)
    result = StraightThrough(attack=WALK, parts=["greys"]).report(*trained, detector=detector)
    assert torch.equal(result.scores, detector(result.images))
    assert (result.scores[result.success] < scores[result.success]).all()


@pytest.mark.parametrize("own", [False, True])
def test_parts_are_put_back_also_after_an_error(own, trained):
    net, images, labels = trained
    detector = FailingDetector(BROKEN["Stairs"](images))
    if own:
        detector.detector.steps = torch.ceil
    before = dict(vars(detector.detector))
    with pytest.raises(RuntimeError, match="out of memory"):
        StraightThrough(attack=WALK, parts=("steps",))(net, images, labels, detector=detector)
    assert vars(detector.detector) == before


def test_part_that_does_not_exist_or_changes_the_shape_is_refused(trained):
    detector = Slope()
    with pytest.raises(ValueError, match=r"Slope or Sequential has no such part .*'grays'. Did you mean 'greys'"):
        StraightThrough(attack=WALK, parts=("grays",))(*trained, detector=detector)
    with pytest.raises(ValueError, match=r"'forward' returns \(48,\) for \(48, 1, 8, 8\): only .* attacks.Estimation"):
        StraightThrough(attack=WALK, parts=("forward",))(*trained, detector=detector)
    with pytest.raises(TypeError, match=r"parts must be a tuple of names, got the text 'greys': write \('greys',\)"):
        StraightThrough(attack=WALK, parts="greys")


def test_detector_that_declares_nothing_is_told(trained):
    with pytest.warns(UserWarning, match="finds no part to replace, so it is the plain attack"):
        StraightThrough(attack=WALK)(*trained, detector=BROKEN["Linear"](trained[1]))


def test_estimate_nears_the_gradient_of_the_smoothed_score_and_every_query_counts(trained):
    net, images, labels = trained
    grey = images.clamp(0.3, 0.7)  # no noise is cut there
    detector = Slope()
    found = gradient_of(Estimation, (net, grey, labels), detector, samples=500, sigma=0.05)
    expected = detector.weights.expand_as(found)
    assert torch.cosine_similarity(found.flatten(1), expected.flatten(1)).min() > 0.9
    assert (found * expected).sum() == pytest.approx(expected.square().sum().item(), rel=0.05)
    wrong = (labels + 1) % 6  # the model is fooled from the start: each step goes against the score
    steps = Estimation(attack=SelectivePGD(epsilon=0.01, steps=2), samples=3)
    result = steps.report(net, grey[:4], wrong[:4], detector=detector)
    assert (result.forward_passes == 2 * (2 + 2 * 3) + 1).all()


class Corner(nn.Module):
    """Asks whether the first pixel is brighter than a fifth: -1 or 1, a plateau around every grey image."""

    def forward(self, images):
        """Return scores (N,)."""
        return (images[:, 0, 0, 0] > 0.2).float() * 2 - 1


def test_sigma_doubles_where_no_pair_differs(trained):
    net, images, _ = trained
    grey, wrong = images.clamp(0.45, 0.55), (net(images.clamp(0.45, 0.55)).argmax(1) + 1) % 6
    walk = SelectivePGD(epsilon=0.5, steps=20, step_size=0.05, schedule="constant")
    plain, estimated = (
        attack.report(net, grey, wrong, detector=Corner()).scores
        for attack in (walk, Estimation(attack=walk, samples=8, sigma=1e-3))
    )
    assert (plain > 0).all()
    assert (estimated < 0).float().mean() > 0.9


def test_remedy_is_for_attacks_on_these_networks():
    with pytest.raises(TypeError, match="Expectation needs an attack, got 3"):
        Expectation(attack=3)
    with pytest.raises(TypeError, match="Transfer asks other networks: put Expectation inside"):
        Expectation(attack=Transfer(attack=BIM(), model=nn.Identity()))
    with pytest.raises(ValueError, match="BIM attacks no detector"):
        Estimation(attack=BIM())
    with pytest.raises(ValueError, match="set both alike"):
        StraightThrough(attack=BIM(), targeted=True)
    taken = Expectation(attack=WALK)
    assert (taken.epsilon, taken.norm, taken.steps, taken.norm_family) == (0.3, "linf", 5, "linf")
    assert not Expectation(attack=BIM()).needs_detector


def test_classifier_alone_is_attacked_through_its_mean(trained):
    result = Expectation(attack=BIM(epsilon=0.2, step_size=0.05), samples=2).report(*trained)
    assert torch.equal(result.success, BIM(epsilon=0.2, step_size=0.05).report(*trained).success)


class Known(nn.Module):
    """Accepts images whose logits are nearly those of one of some guides."""

    def __init__(self, net, guides):
        super().__init__()
        self.net = net
        self.known = net(guides)

    def forward(self, images):
        """Return scores (N,), the distance above a tenth of what guides have between them."""
        return torch.cdist(self.net(images), self.known).amin(1) - torch.cdist(self.known, self.known).mean() / 10


@pytest.mark.parametrize("layer", [None, "4"])
def test_matching_leads_to_the_outputs_of_a_guide(layer, trained):
    net, images, labels = trained
    detector = Known(net, trained_net(96)[1][48:])
    assert (detector(images) > 0).sum() > 40
    attack = Matching(epsilon=0.5, steps=60, guides=trained_net(96)[1][48:], layer=layer)
    result = attack.report(net, images, labels, detector=detector)
    assert (result.success & (result.scores <= 0)).float().mean() >= 0.9


def test_guides_and_layers_that_do_not_fit_are_refused(trained):
    detector = BROKEN["Constant"](trained[1])
    with pytest.raises(ValueError, match=r"guides are of shape \(1, 4, 4\), the images of \(1, 8, 8\)"):
        Matching(guides=torch.zeros(2, 1, 4, 4))(*trained, detector=detector)
    with pytest.raises(ValueError, match="images must be finite and in"):
        Matching(guides=torch.full((1, 1, 8, 8), 2.0))
    with pytest.raises(ValueError, match="guides must be at least 1, got 0"):
        Matching(guides=torch.zeros(0, 1, 8, 8))
    with pytest.raises(ValueError, match="unknown layer '55'"):
        Matching(guides=trained[1], layer="55")(*trained, detector=detector)


def test_images_without_a_guide_come_back(trained):
    net, images, labels = trained
    own = Matching(guides=images[labels == labels[0]])
    assert torch.equal(own(net, images[:1], labels[:1], detector=BROKEN["Constant"](images)), images[:1])


def test_classifier_is_found_beneath_what_guards_it():
    network = nn.Identity()
    assert classifier_of(Problem(network, torch.zeros(1, 1, 2, 2))) is network
