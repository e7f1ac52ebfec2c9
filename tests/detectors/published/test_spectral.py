import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from detectors.published import Spectral
from detectors.published.features import features
from detectors.published.spectral import magnitudes


def test_magnitudes_are_those_of_numpy_in_half_of_the_plane(images):
    expected = np.abs(np.fft.fft2(images.double().numpy()))[..., :7]
    np.testing.assert_allclose(magnitudes(images).numpy(), expected.reshape(8, -1), rtol=1e-4, atol=1e-4)


def test_score_is_the_standardised_distance_of_scikit_learn(classifier, clean, whole, images):
    detector = Spectral(classifier)
    detector.fit(clean)
    fitted_to, seen = (
        np.abs(np.fft.rfft2(each.double().numpy())).reshape(len(each), -1) for each in (whole[0], images)
    )
    mean, spread = fitted_to.mean(0), fitted_to.std(0, ddof=1)
    covariance = LedoitWolf(assume_centered=True).fit((fitted_to - mean) / spread)
    clean_distances = covariance.mahalanobis((fitted_to - mean) / spread)
    expected = covariance.mahalanobis((seen - mean) / spread) - clean_distances.mean()
    expected /= clean_distances.std(ddof=1)
    np.testing.assert_allclose(detector(images).detach().numpy(), expected, rtol=1e-3, atol=1e-3)


def test_layers_are_seen_each_by_its_own_maps(classifier, clean, images):
    detector = Spectral(classifier, ["network.layers.0", "network.layers.2"])
    detector.fit(clean)
    maps = features(classifier, detector.layers, images, pool=None).layers
    for seen, output in zip(detector.seen(images).layers, maps, strict=True):
        torch.testing.assert_close(seen, torch.fft.rfft2(output).abs().flatten(1))
    assert detector.distances(detector.seen(images)).shape == (8, 2)


def test_a_high_frequency_that_clean_images_lack_stands_out(classifier, whole):
    smooth = torch.nn.functional.avg_pool2d(whole[0], 5, 1, 2)
    detector = Spectral(classifier)
    detector.fit([(smooth, whole[1])])
    board = (torch.arange(12)[:, None] + torch.arange(12)) % 2 - 0.5
    assert (detector(smooth + 0.02 * board) > detector(smooth)).all()


def test_a_layer_without_maps_is_refused(classifier, clean):
    with pytest.raises(ValueError, match=r"layer 'penultimate' gives outputs \(16, \d+\), not feature maps"):
        Spectral(classifier, ["penultimate"]).fit(clean)
