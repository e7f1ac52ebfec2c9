import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from detectors.published import LocalIntrinsicDimensionality
from detectors.published.features import PENULTIMATE, Features, features

LAYERS = ["network.layers.5", PENULTIMATE]


def by_numpy(points, queries, neighbours, *, left_out=False):
    """LID of queries by distances of scikit-learn; those that are reference images are left out of their own."""
    search = NearestNeighbors(n_neighbors=neighbours + left_out).fit(points)
    distances = search.kneighbors(queries)[0][:, int(left_out) :]
    return -1 / np.log(distances / distances[:, -1:]).mean(1)


@pytest.mark.parametrize("pool", [False, True])
def test_dimensions_are_those_by_distances_of_scikit_learn(pool, classifier, clean, whole, images):
    detector = LocalIntrinsicDimensionality(classifier, LAYERS, neighbours=7, pool=pool)
    detector.fit(clean)
    with torch.no_grad():
        fitted_to = features(classifier, LAYERS, whole[0], pool=pool).layers
        seen = features(classifier, LAYERS, images, pool=pool)
        dimensions, scores = detector.dimensions(seen), detector(images)
    expected = []
    for place, layer in enumerate(fitted_to):
        points = layer.double().numpy()
        found = by_numpy(points, seen.layers[place].double().numpy(), 7)
        np.testing.assert_allclose(dimensions[:, place].numpy(), found, rtol=1e-3)
        clean_ones = by_numpy(points, points, 7, left_out=True)
        expected.append((found - clean_ones.mean()) / clean_ones.std(ddof=1))
    np.testing.assert_allclose(scores.numpy(), np.mean(expected, 0), rtol=1e-3, atol=1e-3)


def test_points_of_a_cube_have_about_its_dimension(classifier):
    detector = LocalIntrinsicDimensionality(classifier, [PENULTIMATE], neighbours=100, reference=4000)
    generator = torch.Generator().manual_seed(0)
    for dimension in (1, 2, 4):
        points = torch.rand(4000, dimension, generator=generator)
        inside = torch.rand(200, dimension, generator=generator) * 0.5 + 0.25
        detector.keep(points_0=points, scale_0=torch.tensor([0.0, 1.0]))
        found = detector.score(Features(torch.zeros(200, 4), [inside])).mean().item()
        assert found == pytest.approx(dimension, rel=0.1)


def test_a_reference_image_and_equal_images_have_finite_scores_and_gradients(classifier, whole):
    detector = LocalIntrinsicDimensionality(classifier, neighbours=5)
    detector.fit([(torch.cat([whole[0][:20]] * 10), torch.cat([whole[1][:20]] * 10))])
    seen = whole[0].clone().requires_grad_()
    scores = detector(seen)
    assert scores.isfinite().all()
    assert torch.autograd.grad(scores.sum(), seen)[0].isfinite().all()


def test_so_many_reference_images_are_kept_of_all_classes(classifier, whole):
    order = whole[1].argsort()
    detector = LocalIntrinsicDimensionality(classifier, neighbours=5, reference=24)
    detector.fit([(whole[0][order], whole[1][order])])
    assert len(detector.points_0) == 24
    with torch.no_grad():
        (values,) = features(classifier, ["network.layers.5"], whole[0], pool=False).layers
    owners = whole[1][torch.cdist(detector.points_0, values).argmin(1)]
    assert owners.unique().tolist() == [0, 1, 2, 3]


def test_too_few_images_are_refused(classifier, clean):
    detector = LocalIntrinsicDimensionality(classifier, neighbours=60)
    with pytest.raises(ValueError, match="60 clean images are too few for neighbours=60"):
        detector.fit(clean)
    with pytest.raises(ValueError, match="reference must be at least 21"):
        LocalIntrinsicDimensionality(classifier, reference=20)
