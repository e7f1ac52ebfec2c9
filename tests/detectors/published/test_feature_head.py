import pytest
import torch

from detectors.published import FeatureHead
from tests.fixtures import SHAPE


def test_it_sees_each_value_of_a_layer_as_a_rectangle(classifier, images):
    detector = FeatureHead(classifier, widths=(4,))
    assert detector.layer == "network.layers.5"
    with torch.no_grad():
        maps = classifier.network.layers[:6](images)
        seen = detector.represent(images)
    rows = torch.arange(12) * maps.shape[2] // 12
    assert seen.shape == (8, 4, *SHAPE[1:])
    torch.testing.assert_close(seen, maps[:, :, rows][..., rows], rtol=0, atol=0)


def test_the_values_of_the_penultimate_layer_fill_the_image(classifier, images):
    detector = FeatureHead(classifier, layer="penultimate", widths=(4,))
    seen = detector.represent(images)
    assert seen.shape == (8, 128, *SHAPE[1:])
    torch.testing.assert_close(seen.amax((2, 3)), classifier.network.layers[:8](images))


def test_logits_and_scores_come_from_one_pass(classifier, images):
    detector = FeatureHead(classifier, widths=(4,)).eval()
    passes = []
    hook = classifier.network.register_forward_hook(lambda *_: passes.append(1))
    logits, scores = detector.joint(images)
    hook.remove()
    assert len(passes) == 1
    torch.testing.assert_close(logits, classifier(images))
    torch.testing.assert_close(scores, detector(images))


def test_a_layer_that_does_not_exist_is_refused(classifier):
    with pytest.raises(ValueError, match=r"unknown layer 'conv'. Accepted: penultimate, network"):
        FeatureHead(classifier, layer="conv")
