import pytest
import torch
from torch import nn
from torch.nn import functional

from detectors.published import DropoutUncertainty
from detectors.published.features import PENULTIMATE
from saliency.checkpoints import Portable
from tests.fixtures import CLASSES


def by_passes(detector, images):
    """U by the network's layers one after the other, each pass alone, by Feinman's formula."""
    keep = 1 - detector.rate
    generators = {name: torch.Generator().manual_seed(place) for place, name in enumerate(detector.layers)}
    masks = {}
    with torch.no_grad():
        probabilities = []
        for number in range(detector.passes):
            values = images
            for place, layer in enumerate(detector.classifier.network.layers):
                values = layer(values)
                name = {5: "network.layers.5", 7: PENULTIMATE}.get(place)
                if name is not None:
                    drawn = torch.rand(detector.passes, *values.shape[1:], generator=generators[name])
                    mask = masks.setdefault(name, drawn >= detector.rate)
                    values = values * mask[number] / keep
            probabilities.append(values.double().softmax(1))
    squares = sum(each.square().sum(1) for each in probabilities) / detector.passes
    return squares - (sum(probabilities) / detector.passes).square().sum(1)


def test_score_is_the_log_of_the_variance_over_single_passes(classifier, images):
    detector = DropoutUncertainty(classifier, passes=7, rate=0.4)
    assert detector.layers == ["network.layers.5", PENULTIMATE]
    torch.testing.assert_close(detector(images).double(), by_passes(detector, images).log(), rtol=1e-3, atol=1e-3)


class Plain(Portable):
    """One linear layer, whose input is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(144, CLASSES)

    def forward(self, images):
        """Return logits."""
        return self.layer(images.flatten(1))


def test_the_mean_of_many_passes_is_the_pass_without_dropout(images):
    detector = DropoutUncertainty(Plain(), passes=4000, rate=0.2)
    with torch.no_grad():
        dropped, logits = detector.dropped_logits(images), detector.classifier(images)
    assert dropped.shape == (4000, 8, CLASSES)
    torch.testing.assert_close(dropped.mean(0), logits, atol=0.03, rtol=0)
    weights = detector.classifier.layer.weight
    expected = functional.linear(images.flatten(1).square(), weights.square()) * 0.2 / 0.8
    torch.testing.assert_close(dropped.var(0), expected, rtol=0.15, atol=0)


def test_a_classifier_that_is_certain_has_finite_scores(images):
    detector = DropoutUncertainty(Plain())
    with torch.no_grad():
        detector.classifier.layer.bias[0] = 1e4
    assert detector(images).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.0}, "rate must be finite and above 0"),
        ({"rate": 1.0}, "rate must be below 1"),
        ({"passes": 1}, "passes must be at least 2"),
    ],
)
def test_wrong_options_are_refused(options, message, classifier):
    with pytest.raises(ValueError, match=message):
        DropoutUncertainty(classifier, **options)
