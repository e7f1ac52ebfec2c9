import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import nn

from detectors.published import MagNet
from detectors.published.magnet import divergence


@pytest.fixture
def detector(classifier, clean):
    made = MagNet(classifier, epochs=40)
    made.fit(clean)
    return made


def test_divergence_is_that_of_scipy():
    first, second = torch.randn(2, 6, 5, dtype=torch.float64) * 3
    expected = jensenshannon(first.softmax(1), second.softmax(1), axis=1) ** 2
    np.testing.assert_allclose(divergence(first, second).numpy(), expected, rtol=1e-9)


def test_reconstruction_is_that_of_the_network_whose_weights_are_kept(detector, images):
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding="same"),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding="same"),
        nn.ReLU(),
        nn.Conv2d(8, 1, 3, padding="same"),
        nn.Sigmoid(),
    )
    for place, layer in enumerate(network[::2]):
        layer.weight.data = getattr(detector, f"weight_{place}")
        layer.bias.data = getattr(detector, f"bias_{place}")
    torch.testing.assert_close(detector.reconstructed(images), network(images))


def test_training_makes_the_reconstruction_better_than_the_mean_image(detector, whole):
    images = whole[0]
    error = (detector.reconstructed(images) - images).square().mean()
    assert error < 0.5 * (images - images.mean(0)).square().mean()


@pytest.mark.parametrize("norm", [1, 2])
def test_score_is_the_larger_of_the_two_standardised_parts(norm, classifier, clean, whole, images):
    detector = MagNet(classifier, norm=norm, temperature=2.0, epochs=1)
    detector.fit(clean)

    def parts(of):
        again = detector.reconstructed(of)
        apart = torch.linalg.vector_norm((of - again).flatten(1), norm, dim=1) ** norm / of[0].numel()
        probabilities = [(classifier(each) / 2).softmax(1).double() for each in (of, again)]
        return torch.stack([apart, torch.from_numpy(jensenshannon(*probabilities, axis=1) ** 2).float()], 1)

    with torch.no_grad():
        on_clean, on_images = parts(whole[0]), parts(images)
        expected = ((on_images - on_clean.mean(0)) / on_clean.std(0)).amax(1)
        torch.testing.assert_close(detector(images), expected, rtol=1e-2, atol=1e-2)


def test_fitting_leaves_the_random_state_alone(classifier, whole):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    MagNet(classifier, epochs=1).fit([whole])
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": 3}, "norm must be at most 2"),
        ({"temperature": 0.0}, "temperature must be finite and above 0"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"noise": -1.0}, "noise must be finite and at least 0"),
    ],
)
def test_bad_options_are_refused(options, message, classifier):
    with pytest.raises(ValueError, match=message):
        MagNet(classifier, **options)
