"""Square: the squares, their schedule, the walk over plateaus."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from attacks import Square, problem
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
    made = problem.Problem(nn.Identity(), torch.rand(images, *SHAPE), torch.zeros(images, dtype=torch.long))
    return list(Square(queries=queries, share=share)._squares(made))


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
    for chosen, signs in squares(200)[1:]:
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


def test_sides_follow_the_schedule():
    sides = [int(chosen[0].sum()) ** 0.5 for chosen, _ in squares(1001)[1:]]  # queries 2 to 1000
    # (.8 * 100 / 2 ** halvings) ** .5, rounded; query 2 is past the first thousandth
    assert sides[0] == round(40**0.5)
    assert [sides[query - 2] for query in (5, 6, 21, 51, 101, 201)] == [6, 4, 3, 2, 2, 1]
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] == 1
    assert [int(chosen[0].sum()) for chosen, _ in squares(4, share=1e-6)[1:]] == [1, 1]
    assert [int(chosen[0].sum()) for chosen, _ in squares(4000, share=1.0, images=1)[1:3]] == [100, 100]


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
