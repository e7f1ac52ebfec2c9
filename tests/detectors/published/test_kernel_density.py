import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity as Oracle

from detectors.published import KernelDensity
from detectors.published.features import PENULTIMATE, features


def test_score_is_minus_the_log_density_of_scikit_learn(classifier, clean, whole, images):
    detector = KernelDensity(classifier, bandwidth=0.7)
    detector.fit(clean)
    with torch.no_grad():
        (fitted_to,) = features(classifier, [PENULTIMATE], whole[0]).layers
        logits, (seen,) = features(classifier, [PENULTIMATE], images)
        scores = detector(images)
    for row, label in enumerate(logits.argmax(1)):
        oracle = Oracle(bandwidth=0.7).fit(fitted_to[whole[1] == label].double().numpy())
        assert scores[row].item() == pytest.approx(
            -oracle.score_samples(seen[row : row + 1].double().numpy())[0], rel=1e-4
        )


def test_bandwidth_is_that_of_the_highest_leave_one_out_likelihood(classifier, clean, whole):
    detector = KernelDensity(classifier)
    detector.fit(clean)
    with torch.no_grad():
        (values,) = features(classifier, [PENULTIMATE], whole[0]).layers
    groups = [values[whole[1] == label].double().numpy() for label in range(4)]

    def likelihood(width):
        left_out = [
            Oracle(bandwidth=width).fit(np.delete(group, row, 0)).score_samples(group[row : row + 1])[0]
            for group in groups
            for row in range(len(group))
        ]
        return sum(left_out)

    width = detector.width.item()
    assert likelihood(width) > likelihood(width * 2**0.25)
    assert likelihood(width) > likelihood(width / 2**0.25)


def test_only_so_many_points_of_a_class_are_kept(classifier, clean):
    detector = KernelDensity(classifier, points=5)
    detector.fit(clean)
    assert detector.counts.tolist() == [5] * 4
    assert len(detector.points_of_classes) == 20


def test_far_images_have_finite_scores(classifier, clean):
    detector = KernelDensity(classifier, bandwidth=1e-3)
    detector.fit(clean)
    assert detector(torch.ones(2, 1, 12, 12)).isfinite().all()
