import pytest
import torch

from detectors import load
from detectors.metrics import auroc
from detectors.networks import ConvNet
from detectors.published import ExtraClass
from saliency.checkpoints import save
from tests.detectors.helpers import bright_and_dark
from tests.fixtures import CLASSES
from tests.saliency.helpers import loader, short_trainer


def test_score_is_the_log_odds_of_the_extra_class(classifier, images):
    detector = ExtraClass(classifier, widths=(4,)).eval()
    probabilities = ConvNet.forward(detector.network, images).double().softmax(1)
    assert probabilities.shape == (8, CLASSES + 1)
    expected = (probabilities[:, -1] / (1 - probabilities[:, -1])).log()
    torch.testing.assert_close(detector(images).double(), expected, rtol=1e-4, atol=1e-5)


def test_loss_is_the_cross_entropy_of_the_class_or_of_the_extra_one(classifier, images, labels):
    detector = ExtraClass(classifier, widths=(4,)).eval()
    is_adversarial = torch.arange(8) >= 5
    scores, told, loss = detector._judged((images, is_adversarial, labels))
    logs = ConvNet.forward(detector.network, images).log_softmax(1)
    of_each = [logs[row, CLASSES if row >= 5 else int(labels[row])].item() for row in range(8)]
    assert loss.item() == pytest.approx(-sum(of_each) / 8, rel=1e-4)
    assert torch.equal(scores, detector(images))
    assert torch.equal(told, is_adversarial)


def test_it_learns_to_tell_adversarial_images_and_is_kept(classifier, tmp_path):
    images, is_adversarial = bright_and_dark(100)
    labels = torch.arange(100) // 2 % CLASSES
    detector = ExtraClass(classifier, learning_rate=0.01)
    pairs = loader(images[:60], is_adversarial[:60], labels[:60], batch_size=20)
    short_trainer(tmp_path, 10).fit(detector, pairs)
    with torch.no_grad():
        scores = detector.eval()(images[60:])
    assert auroc(scores[~is_adversarial[60:]], scores[is_adversarial[60:]]) == pytest.approx(1, abs=1e-6)
    save(detector, tmp_path / "model.ckpt")
    assert torch.equal(load(tmp_path / "model.ckpt", ExtraClass)(images[60:]), scores)


def test_logits_and_scores_are_those_of_classifier_and_network(classifier, images):
    detector = ExtraClass(classifier, widths=(4,)).eval()
    logits, scores = detector.joint(images)
    torch.testing.assert_close(logits, classifier(images))
    torch.testing.assert_close(scores, detector(images))
