"""Auto-PGD: the walk of Algorithm 1, its losses and goals, and who leaves when."""

import copy
from math import ceil

import pytest
import torch
from torch.nn import functional

from attacks import APGD, PGD, HingedAPGD
from attacks.apgd import Climb
from attacks.norms import Ball
from attacks.problem import Problem
from tests.attacks.minimal import SHAPE, trained_net

EPSILON = {"linf": 0.08, "l2": 0.6}


def periods(steps):
    """The checkpoints of section 3.2, written in exact hundredths."""
    shares = [0, 22]
    while shares[-1] + max(shares[-1] - shares[-2] - 3, 6) <= 100:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 3, 6))
    return sorted({ceil(share * steps / 100) for share in shares})


def slowly(loss, image, epsilon, norm, steps):  # noqa: C901 - as printed
    """Algorithm 1 for one image (1, C, H, W), from the paper: yield all iterates."""

    def value(point):
        point = point.clone().requires_grad_()
        f = loss(point)
        (gradient,) = torch.autograd.grad(f, point)
        return f.item(), gradient

    def project(point):
        change = point - image
        if norm == "linf":
            change = change.clamp(-epsilon, epsilon)
        elif change.norm() > epsilon:
            change = change * (epsilon / change.norm())
        return (image + change).clamp(0, 1)

    def step(point, gradient, size):
        return project(point + size * (gradient.sign() if norm == "linf" else gradient / gradient.norm()))

    checkpoints, size = periods(steps), 2 * epsilon
    points, values = [image], []
    best, best_value, judged = image, -float("inf"), []
    for k in range(steps):
        f, gradient = value(points[-1])
        values.append(f)
        if f > best_value:
            best, best_value = points[-1], f
        if k == 0:
            judged.append((0, size, best_value))
        elif k in checkpoints:
            last, last_size, last_best = judged[-1]
            rises = sum(values[i + 1] > values[i] for i in range(last, k))
            judged.append((k, size, best_value))
            if rises < 0.75 * (k - last) or (last_size == size and last_best == best_value):
                size /= 2
                points[-1] = best
                values[-1], gradient = value(best)
        z = step(points[-1], gradient, size)
        if k > 0:
            z = project(points[-1] + 0.75 * (z - points[-1]) + 0.25 * (points[-1] - points[-2]))
        points.append(z)
        yield z


@pytest.fixture(scope="module")
def trained():
    """A net of six classes, 48 images, and its predictions."""
    net, images = trained_net(48)
    return net, images, net(images).argmax(1)


@pytest.fixture
def double(trained):
    net, images, labels = trained
    return copy.deepcopy(net).double(), images.double(), labels


@pytest.mark.parametrize("steps", [1, 7, 40, 100])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_iterates_are_those_of_algorithm_1(norm, steps, double):
    net, images, labels = (part[:6] if isinstance(part, torch.Tensor) else part for part in double)
    problem = Problem(net, images, labels)
    climb, met = Climb(images, Ball(EPSILON[norm], norm), steps), []
    for _ in range(steps):
        points = climb.points.detach().requires_grad_()
        loss = functional.cross_entropy(net(points), labels, reduction="none")
        climb.move(problem, loss.detach(), torch.autograd.grad(loss.sum(), points)[0])
        met.append(climb.points)
    sizes = set()
    for row in range(6):
        one, label = images[row : row + 1], labels[row : row + 1]
        expected = slowly(
            lambda point, y=label: functional.cross_entropy(net(point), y), one, EPSILON[norm], norm, steps
        )
        for found, point in zip(met, expected, strict=True):
            torch.testing.assert_close(found[row : row + 1], point, rtol=0, atol=1e-8)
        sizes.add(climb._size[row].item())
    if steps == 100:
        assert norm == "linf" or len(sizes) > 1  # images differ in when they halve their steps
        assert min(sizes) < 2 * EPSILON[norm] / 4


def test_checkpoints_are_those_of_the_paper():
    assert periods(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]
    for steps in (1, 9, 33, 100, 1000):
        assert Climb(torch.zeros(1, 1, 2, 2), Ball(0.1), steps)._checkpoints | {0} == set(periods(steps))


def ratio(z, y, t=None):
    """Equations 6 and 7, of one image's logits (K,)."""
    s = z.sort(descending=True).values
    if t is None:
        return -(z[y] - torch.cat([z[:y], z[y + 1 :]]).max()) / (s[0] - s[2])
    return -(z[y] - z[t]) / (s[0] - (s[2] + s[3]) / 2)


@pytest.mark.parametrize("goal", [None, 4])
def test_losses_are_those_of_the_paper(goal, double):
    net, images, labels = double
    logits = net(images)
    targets = None if goal is None else (labels + 1) % 6
    for name in ("ce", "dlr"):
        found = APGD(loss=name)._ask(Problem(net, images, labels), images, targets).loss
        for row in range(len(images)):
            y, t = labels[row].item(), None if goal is None else targets[row].item()
            if name == "dlr":
                expected = ratio(logits[row], y, t)
            else:
                p = logits[row].log_softmax(0)
                expected = -p[y] if t is None else p[t]
            torch.testing.assert_close(found[row], expected)


def test_no_rescaling_of_the_logits_changes_the_ratio(double):
    net, images, labels = double
    attack = APGD(epsilon=EPSILON["l2"], norm="l2", steps=20, loss="dlr", targets=3)  # the sign of 0 is anybody's

    class Scaled(torch.nn.Module):
        def forward(self, batch):
            return 2**13 * net(batch)

    torch.testing.assert_close(attack(Scaled(), images, labels), attack(net, images, labels), rtol=0, atol=1e-8)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("epsilon", [0.5, 0.8])
def test_it_fools_at_least_what_pgd_of_foolbox_and_ours_fool(norm, epsilon, trained):
    foolbox = pytest.importorskip("foolbox")
    net, images, labels = trained
    budget = epsilon * EPSILON[norm]
    theirs = foolbox.attacks.LinfPGD if norm == "linf" else foolbox.attacks.L2PGD
    wrapped = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        criterion = foolbox.criteria.Misclassification(labels)
        points = theirs(steps=50, rel_stepsize=0.1, random_start=False).run(wrapped, images, criterion, epsilon=budget)
    fooled = (net(points).argmax(1) != labels).sum()
    ours = PGD(epsilon=budget, step_size=budget / 10, steps=50, norm=norm).report(net, images, labels).success.sum()
    for loss, targets in (("ce", 0), ("ce", 5), ("dlr", 5)):
        attack = APGD(epsilon=budget, steps=50, norm=norm, loss=loss, targets=targets)
        found = attack.report(net, images, labels).success.sum()
        assert found >= max(fooled, ours) - int(targets == 0), (loss, targets)
    assert 0 < fooled < len(images)


def test_images_leave_as_soon_as_they_are_won_and_walks_are_counted(trained):
    net, images, labels = trained
    result = APGD(epsilon=0.04, steps=10, loss="dlr", targets=2, restarts=2).report(net, images, labels)
    assert 0 < result.success.sum() < len(images)
    whole = 1 + 2 * 2 * 11  # the logits of the goals, then each walk with its last point
    assert (result.forward_passes[~result.success] == whole).all()
    assert (result.backward_passes[~result.success] == 40).all()
    assert (result.forward_passes[result.success] < whole).all()


def test_targets_are_the_nearest_classes_and_few_classes_do(trained):
    net, images, labels = trained
    attack = APGD(targets=2)
    logits = net(images).scatter(1, labels[:, None], -torch.inf)
    first, second = attack._goals(Problem(net, images, labels))
    assert torch.equal(first, logits.argmax(1))
    assert torch.equal(second, logits.scatter(1, first[:, None], -torch.inf).argmax(1))
    assert len(APGD(targets=50)._goals(Problem(net, images, labels))) == 5
    assert APGD(targets=2, targeted=True)._goals(Problem(net, images, labels)) == [None]
    two = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(torch.Size(SHAPE).numel(), 2))
    for targets in (0, 1):
        assert APGD(loss="dlr", epsilon=1.0, targets=targets).report(two, images).success.all()


BAD = [{"loss": "dlrs"}, {"targets": -1}, {"targets": 1.5}, {"steps": 0}, {"norm": "l1"}]


@pytest.mark.parametrize("arguments", BAD)
def test_bad_arguments_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        APGD(**arguments)
    if name in {"steps", "norm"}:
        with pytest.raises(ValueError, match=name):
            HingedAPGD(**arguments)
