import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from detectors.published import DeepNearestNeighbours
from detectors.published.features import PENULTIMATE, features
from detectors.published.fitted import fixed_order

LAYERS = ["network.layers.5", PENULTIMATE]


def by_scikit_learn(fitted_to, labels, queries, neighbours):
    """Nonconformity (N, K) of queries, of each label."""
    count = 0
    for points, values in zip(fitted_to, queries, strict=True):
        centre = points.mean(0)
        search = NearestNeighbors(n_neighbors=neighbours, metric="cosine", algorithm="brute").fit(points - centre)
        found = labels[search.kneighbors(values - centre, return_distance=False)]
        count = count + (found[:, :, None] != np.arange(4)).sum(1)
    return count


@pytest.fixture
def expected(classifier, whole, images):
    """Nonconformities of the images and of 12 of 60 clean images held out, and the logits, by scikit-learn."""
    order = fixed_order(60)
    held, others = order[:12], order[12:]
    with torch.no_grad():
        layers = [layer.double().numpy() for layer in features(classifier, LAYERS, whole[0]).layers]
        logits, seen = features(classifier, LAYERS, images)
    points, labels = [layer[others] for layer in layers], whole[1].numpy()
    held_ones = by_scikit_learn(points, labels[others], [layer[held] for layer in layers], 5)
    calibrated = held_ones[np.arange(12), labels[held]]
    return by_scikit_learn(points, labels[others], [layer.double().numpy() for layer in seen], 5), calibrated, logits


@pytest.mark.parametrize("label", ["classifier", "neighbours"])
def test_credibility_is_the_p_value_of_neighbours_of_scikit_learn(label, expected, classifier, clean, images):
    detector = DeepNearestNeighbours(classifier, LAYERS, neighbours=5, label=label)
    detector.fit(clean)
    nonconformity, calibrated, logits = expected
    p_values = (calibrated >= nonconformity[..., None]).mean(-1)
    of_classifier = p_values[np.arange(8), logits.argmax(1).numpy()]
    found = detector(images).numpy()
    np.testing.assert_allclose(found, -(p_values.max(1) if label == "neighbours" else of_classifier), atol=1e-6)
    assert len(set(found.tolist())) > 1


def test_soft_votes_become_the_nonconformity(expected, classifier, clean, images):
    detector = DeepNearestNeighbours(classifier, LAYERS, neighbours=5, softness=1e-6)
    detector.fit(clean)
    nonconformity, _, logits = expected
    hard = torch.as_tensor(nonconformity).gather(1, logits.argmax(1)[:, None]).squeeze(1)
    *_, parts = detector.surrogates(images)
    torch.testing.assert_close(parts["soft_votes"], hard.float(), atol=0.05, rtol=0)


def test_soft_votes_have_a_gradient_that_lowers_the_score(classifier, clean, images):
    detector = DeepNearestNeighbours(classifier, LAYERS, neighbours=5)
    detector.fit(clean)
    seen = images.clone().requires_grad_()
    logits, scores, parts = detector.surrogates(seen)
    torch.testing.assert_close(scores, detector(images))
    torch.testing.assert_close(logits, classifier(images))
    (gradient,) = torch.autograd.grad(parts["soft_votes"].sum(), seen)
    *_, after = detector.surrogates((images - 1e-3 * gradient / gradient.abs().amax()).clamp(0, 1))
    assert (after["soft_votes"] < parts["soft_votes"]).float().mean() > 0.8


def test_images_held_out_are_no_neighbours_and_points_are_limited(classifier, clean):
    detector = DeepNearestNeighbours(classifier, neighbours=5, held_out=0.3, points=30)
    detector.fit(clean)
    assert len(detector.calibrated) == 18
    assert detector.labels.shape == (30, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 48}, "48 clean images are too few for neighbours=48"),
        ({"held_out": 0.001}, r"held_out=0\.001 of 60 clean images are none"),
    ],
)
def test_too_few_images_are_refused(options, message, classifier, clean):
    with pytest.raises(ValueError, match=message):
        DeepNearestNeighbours(classifier, **options).fit(clean)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 0}, "neighbours must be at least 1"),
        ({"points": 20}, "points must be at least 21"),
        ({"held_out": 1.0}, "held_out must be below 1"),
        ({"label": "true"}, "unknown label 'true'. Accepted: classifier, neighbours"),
    ],
)
def test_wrong_options_are_refused(options, message, classifier):
    with pytest.raises(ValueError, match=message):
        DeepNearestNeighbours(classifier, **options)
