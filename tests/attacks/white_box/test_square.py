"""Square: the squares, their schedule, the walk over plateaus, and the windows of L2."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from attacks import Square, problem
from attacks.white_box import windows
from tests.attacks.cases import linear_model

SHAPE = (3, 10, 10)
EPSILON = 0.1


class Seen(nn.Module):
    """A linear detector that remembers what it was asked."""

    def __init__(self, steps=None):
        super().__init__()
        drawn = torch.randn(300, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
        self.weight, self.steps, self.seen = drawn, steps, []

    def forward(self, images):
        """Return scores (N,), in steps if asked to."""
        self.seen.append(images.clone())
        scores = images.flatten(1) @ self.weight
        return scores if self.steps is None else (scores / self.steps).floor()


@pytest.fixture
def model():
    return linear_model(SHAPE, 3, torch.float64)


@pytest.fixture
def grey():
    return 0.3 + 0.4 * torch.rand(4, *SHAPE, dtype=torch.float64)


def squares(queries, share=0.8, images=2):
    """Which pixels (images, 1, H, W) a query sets, and to which mean sign in each channel, from the third query on."""
    attack = Square(epsilon=0.1, queries=queries, share=share)
    made = problem.Problem(nn.Identity(), 0.3 + 0.4 * torch.rand(images, *SHAPE))
    numbers = attack._numbers(made, made.generators())
    points = [attack._next(made, made.images, query, numbers[:, query - 2]) for query in range(2, queries)]
    signs = [(each - made.images).sign() for each in points]
    chosen = [each.abs().amax(1, keepdim=True) > 0 for each in signs]
    return [
        (pixels, each.sum((2, 3), keepdim=True) / pixels.sum((2, 3), keepdim=True))
        for pixels, each in zip(chosen, signs, strict=True)
    ]


def test_it_begins_with_stripes_at_the_ends_of_the_ball(model, grey):
    detector = Seen()
    Square(epsilon=EPSILON, queries=2)(model, grey, detector=detector)
    image, stripes = detector.seen
    change = stripes - image
    assert torch.equal(image, grey)
    torch.testing.assert_close(change.abs(), torch.full_like(change, EPSILON))
    assert torch.equal(change.sign(), change[:, :, :1].sign().expand_as(change))
    assert change.sign().float().mean((2, 3)).abs().max() < 1  # not one sign in each


def test_squares_have_one_sign_per_channel_and_lie_inside():
    places = set()
    for chosen, signs in squares(200):
        assert signs.shape == (2, 3, 1, 1)
        assert set(signs.flatten().tolist()) <= {-1.0, 1.0}
        for mask in chosen[:, 0]:
            rows, columns = mask.any(1), mask.any(0)
            assert rows.sum() == columns.sum()
            assert mask.sum() == rows.sum() ** 2  # a square, whole
            places.add((rows.nonzero().min().item(), rows.nonzero().max().item(), columns.nonzero().min().item()))
    ends = {(first, last) for first, last, _ in places}
    assert min(first for first, _ in ends) == 0
    assert max(last for _, last in ends) == 9  # both borders are reached
    assert len(places) > 40


@pytest.mark.slow
def test_sides_follow_the_schedule():
    sides = [int(chosen[0].sum()) ** 0.5 for chosen, _ in squares(1001)]  # queries 2 to 1000
    # (.8 * 100 / 2 ** halvings) ** .5, rounded; query 2 is past the first thousandth
    assert sides[0] == round(40**0.5)
    assert [sides[query - 2] for query in (5, 6, 21, 51, 101, 201)] == [6, 4, 3, 2, 2, 1]
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] == 1
    assert [int(chosen[0].sum()) for chosen, _ in squares(4, share=1e-6)] == [1, 1]
    assert [int(chosen[0].sum()) for chosen, _ in squares(4000, share=1.0, images=1)[:2]] == [100, 100]


def test_a_point_is_only_left_for_one_that_is_no_worse(model, grey):
    detector = Seen()
    labels = (model(grey).argmax(1) + 1) % 3  # misclassified from the start, nearly always
    result = Square(epsilon=EPSILON, queries=200).report(model, grey, labels, detector=detector)
    weight = detector.weight
    lowest = torch.stack([points.flatten(1) @ weight for points in detector.seen[:-1]]).amin(0)
    hit = model(result.images).argmax(1) != labels
    torch.testing.assert_close(result.scores[hit], lowest[hit])
    change = (result.images - grey).abs()
    assert ((change - EPSILON).abs() < 1e-9).float().mean() > 0.99  # at corners, but for the box


@pytest.mark.parametrize("steps", [None, 2.0])
def test_score_of_few_values_is_crossed(steps, model, grey):
    labels = (model(grey).argmax(1) + 1) % 3
    detector = Seen(steps)
    before = detector(grey)
    result = Square(epsilon=0.3, queries=300).report(model, grey, labels, detector=detector)
    assert (result.scores <= before - (4 if steps else 8)).all()


def test_ties_are_taken(model, grey):
    detector = nn.Sequential(nn.Flatten(), nn.Linear(300, 1), nn.Flatten(0)).double()
    nn.init.zeros_(detector[1].weight)
    labels = (model(grey).argmax(1) + 1) % 3
    seen = []
    detector[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].clone()))
    Square(epsilon=1e-6, queries=40)(model, grey, labels, detector=detector)
    changed = torch.stack([(after != before).flatten(1).any(1) for before, after in pairwise(seen)])
    apart = (seen[-1] != seen[1]).flatten(1).float().mean(1)
    assert changed.any(0).all()
    assert (apart > 0.1).all()  # squares accumulate, though nothing gets better


def test_only_squares_inside_the_region_change(model, grey):
    region = torch.zeros(1, 1, 10, 10)
    region[..., 2:5, 3:9] = 1
    result = Square(epsilon=EPSILON, queries=30)(model, grey, detector=Seen(), region=region)
    changed = (result != grey).any(1, keepdim=True)
    assert changed.any()
    assert not (changed & (region == 0)).any()


def test_more_queries_are_not_worse_and_targets_are_reached(model, grey):
    targets = (model(grey).argmax(1) + 1) % 3
    scores = []
    for queries in (50, 400):
        result = Square(epsilon=0.5, queries=queries, targeted=True).report(model, grey, targets, detector=Seen())
        assert result.success.all() or queries == 50
        scores.append(result.scores.mean())
    assert scores[1] < scores[0]


@pytest.mark.parametrize("arguments", [{"queries": 1}, {"share": 0.0}, {"share": 1.5}, {"epsilon": -1.0}])
def test_bad_arguments_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"{name} must be"):
        Square(**arguments)


def eta(height, width):
    """Equation 2 of the paper, entry by entry."""
    far = max(height, width) // 2
    made = torch.zeros(height, width, dtype=torch.float64)
    for r in range(1, height + 1):
        for s in range(1, width + 1):
            last = far - max(abs(r - height // 2 - 1), abs(s - width // 2 - 1))
            made[r - 1, s - 1] = sum(1 / (far + 1 - k) ** 2 for k in range(last + 1))
    return made / made.norm()


@pytest.mark.parametrize("side", [3, 5, 6, 11])
def test_the_pattern_is_that_of_the_paper(side):
    made, upper = windows.pattern(side), side // 2
    torch.testing.assert_close(made * 2**0.5, torch.cat([eta(upper, side), -eta(side - upper, side)]))


def of_length(problem_, epsilon):
    """A change of random values, of a length."""
    change = torch.randn(problem_.images.shape, dtype=torch.float64)
    return epsilon * change / change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def test_a_window_takes_over_the_length_of_another_and_its_share_of_what_is_left(grey):
    made, side = problem.Problem(nn.Identity(), grey), 3
    change, numbers = of_length(made, 0.6), torch.full((4, 8), 0.0, dtype=torch.float64)
    numbers[:, 2:4] = 0.999  # the first window in one corner, the second in the other
    after = windows.moved(made, change, 1.0, side, numbers)
    assert (after[..., 7:, 7:] == 0).all()
    torch.testing.assert_close(after.flatten(1).norm(dim=1), torch.ones(4, dtype=torch.float64))
    moved = torch.zeros_like(change, dtype=torch.bool)
    moved[..., :3, :3] = moved[..., 7:, 7:] = True
    assert torch.equal(after[~moved], change[~moved])
    for image in range(4):
        for channel in range(3):
            first, second = change[image, channel, :3, :3], change[image, channel, 7:, 7:]
            wanted = -windows.pattern(3).T + first / first.norm()
            length = (first.square().sum() + second.square().sum() + (1 - 0.36) / 3) ** 0.5
            torch.testing.assert_close(after[image, channel, :3, :3], wanted / wanted.norm() * length)


def test_a_window_outside_the_region_stays(grey):
    region = torch.zeros(4, 1, 10, 10, dtype=torch.bool)
    region[..., 5:, 5:] = True
    made = problem.Problem(nn.Identity(), grey, region=region)
    change = of_length(made, 0.5) * region
    numbers = torch.zeros(4, 8, dtype=torch.float64)
    numbers[:, 2:4] = 0.999
    assert torch.equal(windows.moved(made, change, 1.0, 3, numbers), change)


@pytest.mark.slow
def test_in_l2_every_point_asked_for_stays_in_ball_region_and_box(model, grey):
    region = torch.zeros(1, 1, 10, 10)
    region[..., 1:9, 3:9] = 1
    for epsilon, images in ((0.7, grey), (3.0, grey.round())):
        detector = Seen()
        Square(epsilon=epsilon, queries=300, norm="l2")(model, images, detector=detector, region=region)
        asked = torch.stack(detector.seen)
        change = asked - images
        lengths = change.flatten(2).norm(dim=2)
        assert (lengths <= epsilon + 1e-9).all()
        assert lengths[1:].min() > 0
        assert not change[:, :, :, region[0, 0] == 0].any()
        assert asked.min() >= 0
        assert asked.max() <= 1


@pytest.mark.slow
def test_in_l2_a_linear_score_falls_by_most_of_what_the_budget_allows(model, grey):
    labels = (model(grey).argmax(1) + 1) % 3
    detector = Seen()
    result = Square(epsilon=0.5, queries=2000, norm="l2").report(model, grey, labels, detector=detector)
    fallen = (detector(grey) - result.scores) / (0.5 * detector.weight.norm())
    assert (fallen > 0.5).all()  # of random signs of the same length: 0 +- .06


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_the_classifier_alone_images_leave_as_soon_as_they_are_misclassified(norm, model, grey):
    labels = model(grey).argmax(1)
    labels[0] = (labels[0] + 1) % 3
    attack = Square(epsilon=0.3 if norm == "linf" else 5.0, queries=200, norm=norm, on_system=False)
    result = attack.report(model, grey, labels)
    assert result.scores is None
    assert result.success.all()
    assert result.forward_passes[0] == 1
    assert torch.equal(result.images[0], grey[0])
    assert (result.forward_passes < 200).all()
    assert result.forward_passes.max() > 2
