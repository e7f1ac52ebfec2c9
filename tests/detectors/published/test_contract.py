"""What every published detector keeps to."""

import copy
import inspect

import pytest
import torch
from torch import nn

from detectors import Classifier, load
from detectors.published import (
    DeepNearestNeighbours,
    DropoutUncertainty,
    FeatureSqueezing,
    Fitted,
    FittedDetector,
    KernelDensity,
    LocalIntrinsicDimensionality,
    MagNet,
    Mahalanobis,
    Odds,
    PredictionInconsistency,
    PrincipalComponents,
    SceneStatistics,
    Spectral,
)
from saliency.checkpoints import save
from tests.fixtures import CLASSES, SHAPE

DETECTORS = {
    "Mahalanobis": Mahalanobis,
    "KernelDensity": KernelDensity,
    "LocalIntrinsicDimensionality": LocalIntrinsicDimensionality,
    "DeepNearestNeighbours": DeepNearestNeighbours,
    "Odds": Odds,
    "DropoutUncertainty": DropoutUncertainty,
    "PredictionInconsistency": PredictionInconsistency,
    "FeatureSqueezing": FeatureSqueezing,
    "MagNet": MagNet,
    "PrincipalComponents": PrincipalComponents,
    "SceneStatistics": SceneStatistics,
    "Spectral": Spectral,
}
FITTED = [name for name, kind in DETECTORS.items() if issubclass(kind, Fitted)]
LAYERED = [name for name, kind in DETECTORS.items() if "layers" in inspect.signature(kind).parameters]
OF_CLASSES = ["Mahalanobis", "KernelDensity"]
"""Those that are fitted to each class of its own."""


def made(kind, classifier, clean):
    """Return a detector, fitted if it can be."""
    torch.manual_seed(0)
    second = Classifier(SHAPE, CLASSES, widths=(3,)).eval()
    detector = kind(classifier, second) if kind is PredictionInconsistency else kind(classifier)
    if isinstance(detector, Fitted):
        detector.fit(clean)
    return detector


@pytest.fixture(params=DETECTORS)
def detector(request, classifier, clean):
    return made(DETECTORS[request.param], classifier, clean)


def test_scores_are_finite_and_those_of_one_image_alone(detector, images):
    scores = detector(images)
    assert scores.shape == (8,)
    assert scores.isfinite().all()
    torch.testing.assert_close(torch.cat([detector(image[None]) for image in images]), scores, rtol=1e-3, atol=1e-4)


def test_score_has_a_gradient_in_the_image_or_a_surrogate_that_has(detector, images):
    seen = images.clone().requires_grad_()
    scores = sum(detector.surrogates(seen)[2].values()) if hasattr(detector, "surrogates") else detector(seen)
    (gradient,) = torch.autograd.grad(scores.sum(), seen)
    assert gradient.isfinite().all()
    assert (gradient != 0).flatten(1).any(1).all()


def test_logits_and_scores_come_from_one_pass(detector, classifier, images):
    logits, scores = detector.joint(images)
    torch.testing.assert_close(logits, classifier(images))
    torch.testing.assert_close(scores, detector(images))


def test_a_checkpoint_gives_the_same_scores(detector, images, tmp_path):
    save(detector, tmp_path / "model.ckpt")
    torch.testing.assert_close(load(tmp_path / "model.ckpt")(images), detector(images), rtol=0, atol=0)


def test_fitting_is_deterministic_and_leaves_the_classifier_alone(detector, classifier, clean, images):
    before = copy.deepcopy(classifier.state_dict())
    again = made(type(detector), classifier, clean)
    assert torch.equal(again(images), detector(images))
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in classifier.modules())


@pytest.mark.parametrize("name", FITTED)
def test_what_was_not_fitted_is_refused(name, classifier, images):
    with pytest.raises(ValueError, match=f"{name} was not fitted: call fit with batches of clean images"):
        DETECTORS[name](classifier)(images)


@pytest.mark.parametrize("name", LAYERED)
def test_a_layer_that_does_not_exist_is_refused(name, classifier):
    with pytest.raises(ValueError, match=r"unknown layer 'network\.layers\.99'. Did you mean 'network\.layers\.8'"):
        DETECTORS[name](classifier, layers=["network.layers.99"])
    with pytest.raises(ValueError, match=r"unknown layer 'conv'. Accepted: penultimate, network, network\.layers"):
        DETECTORS[name](classifier, layers=["conv"])
    with pytest.raises(ValueError, match="layers is empty"):
        DETECTORS[name](classifier, layers=[])


@pytest.mark.parametrize("name", FITTED)
def test_no_images_are_refused(name, classifier):
    with pytest.raises(ValueError, match="got none"):
        DETECTORS[name](classifier).fit([])


@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_class_without_images_is_refused(name, classifier, whole):
    images, labels = whole
    with pytest.raises(ValueError, match="no clean images of class 3: fit to images of all 4 classes"):
        DETECTORS[name](classifier).fit([(images[labels < 3], labels[labels < 3])])


@pytest.mark.parametrize("name", FITTED)
def test_features_that_do_not_fit_in_memory_are_refused_before_they_are_computed(name, classifier, clean, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda key: {"SC_AVPHYS_PAGES": 1, "SC_PAGE_SIZE": 1024}[key])
    remedy = "name fewer layers" if issubclass(DETECTORS[name], FittedDetector) else "set --data.train_limit"
    with pytest.raises(ValueError, match=rf"the features of 60 images, \d+ values each, .* free: {remedy}"):
        DETECTORS[name](classifier).fit(clean)


def test_a_classifier_without_a_linear_layer_needs_layers(clean):
    network = nn.Sequential(nn.Conv2d(1, CLASSES, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = Classifier(SHAPE, CLASSES, widths=(4,))
    net.network = network
    with pytest.raises(ValueError, match="has no linear layer"):
        KernelDensity(net)
    detector = Mahalanobis(net.eval(), layers=["network.0"])
    detector.fit(clean)
    assert detector.fitted
