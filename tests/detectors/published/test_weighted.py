"""Layers weighted by a logistic regression on pairs."""

import pytest
import torch
from sklearn.linear_model import LogisticRegressionCV

from detectors import load
from detectors.metrics import auroc
from detectors.published import WeightedLocalIntrinsicDimensionality, WeightedMahalanobis
from saliency.checkpoints import save

KINDS = [WeightedMahalanobis, WeightedLocalIntrinsicDimensionality]


@pytest.fixture
def pairs(whole):
    images, _ = whole
    attacked = (images + 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(3)).sign()).clamp(0, 1)
    count = len(images)
    return [(torch.cat([images, attacked]), torch.arange(2 * count) >= count)]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_log_odds_of_scikit_learn(kind, classifier, clean, pairs):
    detector = kind(classifier)
    detector.fit(clean, pairs)
    parts, adversarial = detector._parts_of(pairs)
    model = LogisticRegressionCV(cv=5, class_weight="balanced", max_iter=1000).fit(parts.numpy(), adversarial.numpy())
    expected = torch.as_tensor(model.decision_function(parts.numpy()))[: len(pairs[0][0]) // 2]
    with torch.no_grad():
        scores = detector(pairs[0][0])
    torch.testing.assert_close(scores[: len(expected)].double(), expected, rtol=1e-3, atol=1e-3)
    assert auroc(scores[: len(expected)], scores[len(expected) :]) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_gives_the_same_scores(kind, classifier, clean, pairs, images, tmp_path):
    detector = kind(classifier)
    detector.fit(clean, pairs)
    save(detector, tmp_path / "model.ckpt")
    torch.testing.assert_close(load(tmp_path / "model.ckpt")(images), detector(images), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_asked_for(kind, classifier, clean):
    with pytest.raises(ValueError, match=r"is fitted to pairs as well: call fit\(clean, pairs\)"):
        kind(classifier).fit(clean)
    with pytest.raises(ValueError, match="is fitted to pairs, and got none"):
        kind(classifier).fit(clean, [])
