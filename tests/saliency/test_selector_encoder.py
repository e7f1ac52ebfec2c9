import lightning
import pytest
import torch

from detectors import Classifier
from saliency import Encoder
from tests.saliency.helpers import loader, loss_of, quadrants, short_trainer

SHAPE = (1, 12, 12)


def _encoder(**given):
    return Encoder(SHAPE, 4, width=4, **given)


def _classifier(**given):
    return Classifier(SHAPE, 4, widths=(8,), **given)


BOTH = pytest.mark.parametrize("build", [_encoder, _classifier], ids=["Encoder", "Classifier"])


@BOTH
def test_fit_learns_separable_images(build, tmp_path, monkeypatch):
    images, labels = quadrants(64)
    module = build(learning_rate=0.01)
    loss = loss_of(module, (images, labels), monkeypatch)
    monkeypatch.undo()
    short_trainer(tmp_path, 10).fit(module, loader(images, labels, batch_size=16))
    assert loss_of(module, (images, labels), monkeypatch) < loss / 4
    with torch.no_grad():
        assert torch.equal(module.eval()(images).argmax(1), labels)


@BOTH
def test_training_loss_is_the_mean_cross_entropy(build, monkeypatch):
    images, labels = quadrants(8)
    module = build()
    loss = loss_of(module, (images, labels, torch.arange(8)), monkeypatch)
    logits = module.train()(images).double()
    probabilities = logits.softmax(1)[torch.arange(8), labels]
    assert loss == pytest.approx(-probabilities.log().mean().item(), rel=1e-5)


@BOTH
@pytest.mark.parametrize("run", ["validate", "test"])
def test_logged_accuracy_counts_every_image_once_in_uneven_batches(build, run, trainer):
    images, labels = quadrants(11)
    module = build().eval()
    stage = {"validate": "validation", "test": "test"}[run]
    logged = getattr(trainer, run)(module, loader(images, labels, batch_size=4), verbose=False)[0]
    with torch.no_grad():
        expected = (module.eval()(images).argmax(1) == labels).double().mean().item()
    assert logged[f"{stage}/accuracy"] == pytest.approx(expected)


@BOTH
def test_prediction_gives_labels_predictions_and_logits(build, tmp_path):
    images, labels = quadrants(8)
    module = build().eval()
    (result,) = short_trainer(tmp_path, 1).predict(module, loader(images, labels))
    with torch.no_grad():
        logits = module(images)
    assert torch.equal(result["labels"], labels)
    assert torch.allclose(result["logits"], logits, atol=1e-6)
    assert torch.equal(result["predictions"], result["logits"].argmax(1))


@BOTH
def test_same_seed_gives_the_same_weights_bit_for_bit(build, tmp_path):
    images, labels = quadrants(16)
    weights = []
    for _ in range(2):
        lightning.seed_everything(3, verbose=False)
        module = build()
        short_trainer(tmp_path, 2).fit(module, loader(images, labels))
        weights.append(torch.cat([value.detach().flatten() for value in module.parameters()]))
    assert torch.equal(*weights)
