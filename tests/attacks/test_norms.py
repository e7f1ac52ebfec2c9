"""Norms and the projection, on inputs that hypothesis finds."""

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from attacks import norms

SLACK = 1e-12
NUMPY = {
    "linf": lambda flat: np.abs(flat).max(1),
    "l1": lambda flat: np.abs(flat).sum(1),
    "l2": lambda flat: np.linalg.norm(flat, axis=1),
    "rms": lambda flat: np.sqrt(np.mean(flat**2, axis=1)),
    "l0": lambda flat: np.count_nonzero(flat, axis=1),
}
SHAPES = arrays.array_shapes(min_dims=4, max_dims=4, max_side=4)
EPSILONS = strategies.floats(0, 2)

properties = hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)


def batches(shape, low, high):
    """Draw a float64 array; values at both ends and at 0 come up often."""
    return arrays.arrays(np.float64, shape, elements=strategies.floats(low, high, allow_subnormal=False))


@strategies.composite
def centres_and_points(draw, points):
    """Draw images in [0, 1] and so many batches of points around them, as tensors."""
    shape = draw(SHAPES)
    centres = draw(batches(shape, 0, 1))
    return [torch.from_numpy(centres)] + [torch.from_numpy(draw(batches(shape, -3, 3))) for _ in range(points)]


@properties
@hypothesis.given(centres_and_points(1), EPSILONS)
def test_projection_lies_in_the_ball_and_in_the_box(tensors, epsilon):
    centres, points = tensors
    projected = norms.project_linf(points, centres, epsilon)
    assert projected.min() >= 0
    assert projected.max() <= 1
    assert ((projected - centres).abs() <= epsilon + SLACK).all()


@properties
@hypothesis.given(centres_and_points(1), EPSILONS)
def test_projection_is_idempotent(tensors, epsilon):
    centres, points = tensors
    projected = norms.project_linf(points, centres, epsilon)
    assert torch.equal(norms.project_linf(projected, centres, epsilon), projected)


@properties
@hypothesis.given(centres_and_points(2), EPSILONS)
def test_projection_never_moves_points_apart(tensors, epsilon):
    centres, first, second = tensors
    distance = (norms.project_linf(first, centres, epsilon) - norms.project_linf(second, centres, epsilon)).abs()
    assert (distance <= (first - second).abs() + SLACK).all()


@properties
@hypothesis.given(centres_and_points(2), EPSILONS)
def test_projection_is_the_nearest_point_of_all_that_are_allowed(tensors, epsilon):
    centres, points, others = tensors
    allowed = norms.project_linf(others, centres, epsilon)
    projected = norms.project_linf(points, centres, epsilon)
    assert ((projected - points).abs() <= (allowed - points).abs() + SLACK).all()


@properties
@hypothesis.given(centres_and_points(0), EPSILONS)
def test_projection_leaves_allowed_points_as_they_are(tensors, epsilon):
    (centres,) = tensors
    assert torch.equal(norms.project_linf(centres, centres, epsilon), centres)


@properties
@hypothesis.given(centres_and_points(1), EPSILONS)
def test_l2_projection_lies_in_the_ball_and_in_the_box(tensors, epsilon):
    centres, points = tensors
    projected = norms.project_l2(points, centres, epsilon)
    assert projected.min() >= 0
    assert projected.max() <= 1
    assert (norms.l2(projected - centres) <= epsilon + SLACK).all()


@properties
@hypothesis.given(centres_and_points(1), EPSILONS)
def test_l2_projection_is_idempotent_but_for_rounding(tensors, epsilon):
    centres, points = tensors
    projected = norms.project_l2(points, centres, epsilon)
    torch.testing.assert_close(norms.project_l2(projected, centres, epsilon), projected, rtol=0, atol=SLACK)


@properties
@hypothesis.given(centres_and_points(1), EPSILONS)
def test_l2_projection_leaves_points_of_the_ball_that_are_in_the_box(tensors, epsilon):
    centres, points = tensors
    inside = points.clamp(0, 1)
    near = norms.l2(inside - centres) <= epsilon
    assert torch.equal(norms.project_l2(inside, centres, epsilon)[near], inside[near])


def test_l2_projection_keeps_the_direction_in_the_middle_of_the_box():
    centres = torch.full((1, 1, 1, 2), 0.5, dtype=torch.float64)
    points = centres + torch.tensor([3.0, 4.0], dtype=torch.float64)
    expected = centres + torch.tensor([0.06, 0.08], dtype=torch.float64)
    torch.testing.assert_close(norms.project_l2(points, centres, 0.1), expected)


@pytest.mark.parametrize("project", [norms.project_linf, norms.project_l2])
def test_projections_onto_a_ball_of_radius_0_give_the_centres(project):
    centres, points = torch.rand(2, 5, 3, 4, 4, dtype=torch.float64).unbind()
    torch.testing.assert_close(project(points, centres, 0.0), centres, rtol=0, atol=0)
    torch.testing.assert_close(project(centres, centres, 0.0), centres, rtol=0, atol=0)


@pytest.mark.parametrize("name", NUMPY)
@properties
@hypothesis.given(perturbation=SHAPES.flatmap(lambda shape: batches(shape, -2, 2)))
def test_norm_is_numpys_image_by_image(name, perturbation):
    expected = NUMPY[name](perturbation.reshape(len(perturbation), -1))
    measured = getattr(norms, name)(torch.from_numpy(perturbation))
    np.testing.assert_allclose(measured.numpy(), expected, rtol=1e-10, atol=1e-150)  # squares of less underflow


@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norm_keeps_the_dtype_and_has_one_number_per_image(name, dtype):
    assert getattr(norms, name)(torch.ones(3, 2, 4, 5, dtype=dtype)).dtype == dtype
    assert getattr(norms, name)(torch.ones(3, 2, 4, 5)).shape == (3,)


@pytest.mark.parametrize("name", NUMPY)
def test_norm_of_no_images_is_empty(name):
    assert getattr(norms, name)(torch.empty(0, 1, 4, 4)).shape == (0,)


def test_l1_projection_takes_one_number_off_all_changes():
    images = torch.full((3, 1, 1, 3), 0.5, dtype=torch.float64)
    moved = images + torch.tensor([[0.4, -0.2, 0.05], [0.1, 0.0, -0.1], [0.4, 0.3, 0.0]]).double().view(3, 1, 1, 3)
    radii = torch.tensor([0.3, 0.3, torch.inf], dtype=torch.float64)
    change = norms.project_l1(moved, images, norms.column(radii)) - images
    expected = torch.tensor([[0.25, -0.05, 0.0], [0.1, 0.0, -0.1], [0.4, 0.3, 0.0]]).double()
    torch.testing.assert_close(change.flatten(1), expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(norms.l1(change)[:2], torch.tensor([0.3, 0.2], dtype=torch.float64), rtol=0, atol=1e-7)


def test_l0_projection_keeps_the_largest_changes_and_of_equal_ones_the_first():
    images = torch.full((2, 1, 1, 4), 0.5)
    moved = images + torch.tensor([[0.1, -0.3, 0.2, 0.0], [0.2, 0.2, 0.2, 0.2]]).view(2, 1, 1, 4)
    kept = norms.project_l0(moved, images, norms.column(torch.tensor([2.0, 3.0])))
    changed = kept != images
    assert changed.flatten(1).tolist() == [[False, True, True, False], [True, True, True, False]]
    assert torch.equal(kept[changed], moved[changed])
