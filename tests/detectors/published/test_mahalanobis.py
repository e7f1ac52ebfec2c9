import numpy as np
import torch
from sklearn.covariance import LedoitWolf

from detectors.published import Mahalanobis
from detectors.published.features import PENULTIMATE, features


def test_distances_are_those_of_scikit_learn(classifier, clean, whole, images):
    detector = Mahalanobis(classifier, ["network.layers.5", PENULTIMATE])
    detector.fit(clean)
    with torch.no_grad():
        fitted_to = features(classifier, detector.layers, whole[0]).layers
        seen = features(classifier, detector.layers, images)
        distances = detector.distances(seen)
    labels = whole[1].numpy()
    for place, layer in enumerate(fitted_to):
        values = layer.double().numpy()
        means = np.stack([values[labels == label].mean(0) for label in range(4)])
        covariance = LedoitWolf(assume_centered=True).fit(values - means[labels])
        apart = seen.layers[place].double().numpy()[:, None] - means
        expected = np.stack([covariance.mahalanobis(each) for each in apart]).min(1)
        np.testing.assert_allclose(distances[:, place].numpy(), expected, rtol=1e-3)


def test_score_is_the_mean_of_standardised_distances(classifier, clean, whole):
    detector = Mahalanobis(classifier)
    detector.fit(clean)
    with torch.no_grad():
        distances = detector.distances(features(classifier, detector.layers, whole[0]))
        expected = ((distances - distances.mean(0)) / distances.std(0)).mean(1)
        torch.testing.assert_close(detector(whole[0]), expected, rtol=1e-3, atol=1e-4)
    assert abs(detector(whole[0]).mean().item()) < 1e-3


def test_fewer_images_than_features_are_enough(classifier, whole):
    images, labels = whole
    detector = Mahalanobis(classifier, [PENULTIMATE])
    detector.fit([(images[:20], labels[:20])])
    assert detector.means_0.shape == (4, 128)
    assert detector(images[20:]).mean() > detector(images[:20]).mean()
