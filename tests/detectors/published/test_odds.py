import numpy as np
import pytest
import torch
from torch import nn

from detectors.published import Odds
from saliency.checkpoints import Portable
from tests.fixtures import CLASSES


def by_loops(classifier, noise, image, magnitude):
    """g (K,) of one image: mean change of each logit less that of the predicted class."""
    logits = classifier(image[None])[0]
    predicted = int(logits.argmax())
    found = torch.zeros(CLASSES, dtype=torch.double)
    for each in noise:
        noisy = classifier((image + magnitude * each).clamp(0, 1)[None])[0]
        for other in range(CLASSES):
            found[other] += (noisy[other] - noisy[predicted]).double() - (logits[other] - logits[predicted]).double()
    return found / len(noise), predicted


def test_score_is_that_of_loops_over_images_noises_and_classes(classifier, clean, whole, images):
    detector = Odds(classifier, magnitudes=[0.1, 0.3], samples=3)
    detector.fit(clean)
    expected = []
    with torch.no_grad():
        for magnitude in detector.magnitudes:
            fitted_to = [by_loops(classifier, detector.noise, image, magnitude) for image in whole[0]]
            for image in images:
                found, predicted = by_loops(classifier, detector.noise, image, magnitude)
                same = torch.stack([g for g, label in fitted_to if label == predicted])
                expected.append((found - same.mean(0)) / same.std(0))
        scores = detector(images)
        predictions = classifier(images).argmax(1)
    per_image = torch.stack(expected).view(2, 8, CLASSES).mean(0).numpy()
    others = [np.delete(each, label).max() for each, label in zip(per_image, predictions.tolist(), strict=True)]
    np.testing.assert_allclose(scores.numpy(), others, rtol=1e-3, atol=1e-3)


class Linear(Portable):
    """Logits linear in the image: noise changes them by the same in every image, where nothing is clipped."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(9, CLASSES)

    def forward(self, images):
        """Return logits."""
        return self.layer(images.flatten(1))


def test_noise_changes_a_linear_classifier_alike_for_all_images():
    detector = Odds(Linear(), magnitudes=[0.01], samples=5)
    images = 0.3 + 0.4 * torch.rand(6, 1, 3, 3)
    (change,) = detector.seen(images).layers
    weights = detector.classifier.layer.weight
    expected = 0.01 * detector.noise.mean(0).flatten() @ weights.T
    torch.testing.assert_close(change, expected.expand(6, -1), rtol=1e-3, atol=1e-5)


def test_a_class_that_is_predicted_once_or_never_is_refused(classifier, whole):
    images, predicted = whole[0], classifier(whole[0]).argmax(1)
    with pytest.raises(ValueError, match="no clean images of class 2"):
        Odds(classifier, samples=1).fit([(images[predicted != 2], predicted[predicted != 2])])
    keep = predicted != 2
    keep[(predicted == 2).nonzero()[0]] = True
    with pytest.raises(ValueError, match="one clean image only is predicted to be of class 2"):
        Odds(classifier, samples=1).fit([(images[keep], predicted[keep])])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"magnitudes": []}, "magnitudes is empty"),
        ({"magnitudes": [0.1, 0.0]}, r"magnitudes\[1\] must be finite and above 0"),
        ({"samples": 0}, "samples must be at least 1"),
    ],
)
def test_wrong_options_are_refused(options, message, classifier):
    with pytest.raises(ValueError, match=message):
        Odds(classifier, **options)
