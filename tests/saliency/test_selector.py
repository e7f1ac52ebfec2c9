import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency import Encoder, Selector
from saliency.checkpoints import save
from saliency.selector import with_fakes
from saliency.training import seeded
from tests.saliency.helpers import loader, loss_of, quadrants, same, short_trainer, snapshot


@given(classes=st.integers(2, 12), probability=st.floats(0, 1), seed=st.integers(0, 1000))
def test_fakes_are_never_the_own_label_and_always_a_class(classes, probability, seed):
    labels = torch.arange(50) % classes
    chosen, fake = with_fakes(labels, classes, probability, seeded(seed))
    assert torch.equal(chosen != labels, fake)
    assert chosen.min() >= 0
    assert chosen.max() < classes


def test_with_two_classes_a_fake_is_the_other_one():
    labels = torch.tensor([0, 1, 1, 0])
    chosen, fake = with_fakes(labels, 2, 1.0, seeded(0))
    assert chosen.tolist() == [1, 0, 0, 1]
    assert fake.all()


def test_probability_0_makes_no_fake():
    labels = torch.arange(100) % 5
    chosen, fake = with_fakes(labels, 5, 0.0, seeded(0))
    assert torch.equal(chosen, labels)
    assert not fake.any()


def test_fakes_come_at_their_probability_and_take_every_other_class_alike():
    labels = torch.zeros(6000, dtype=torch.long)
    chosen, fake = with_fakes(labels, 4, 0.3, seeded(0))
    assert fake.float().mean().item() == pytest.approx(0.3, abs=0.02)
    shares = chosen.bincount(minlength=4)[1:] / fake.sum()
    assert torch.allclose(shares, torch.tensor(1 / 3), atol=0.05)


@pytest.fixture
def selector():
    return Selector(Encoder((1, 12, 12), 4, width=4)).eval()


def test_forward_is_the_mean_match_of_the_deepest_scale(selector, images, labels):
    deepest = selector.encoder.network.scales(images)[-1]
    embeddings = selector.selector.embedding.weight[labels]
    expected = (deepest * embeddings[:, :, None, None]).sum(1).mean((1, 2))
    assert torch.allclose(selector(images, labels), expected, atol=1e-6)


def test_gate_changes_the_deepest_scale_alone(selector, images, labels):
    scales = selector.encoder.network.scales(images)
    gated, _ = selector.gate(scales, labels)
    assert all(after is before for after, before in zip(gated[:-1], scales[:-1], strict=True))
    assert not torch.equal(gated[-1], scales[-1])


def test_prediction_asks_for_every_class(selector, images, labels):
    exists = selector.predict_step((images, labels), 0)["exists"]
    assert exists.shape == (8, 4)
    for number in range(4):
        assert torch.allclose(exists[:, number], selector(images, torch.full((8,), number)), atol=1e-6)


def test_path_of_the_encoder_s_checkpoint_is_accepted(selector, tmp_path, images):
    save(selector.encoder, tmp_path / "encoder.ckpt")
    loaded = Selector(str(tmp_path / "encoder.ckpt"))
    assert torch.equal(loaded.encoder(images), selector.encoder(images))


def test_fit_learns_existence_and_leaves_the_encoder_alone(tmp_path, monkeypatch):
    images, labels = quadrants(64)
    encoder = Encoder((1, 12, 12), 4, width=4)
    short_trainer(tmp_path, 12).fit(encoder, loader(images, labels, batch_size=16))
    selector = Selector(encoder, learning_rate=0.03)
    before = snapshot(encoder)
    embedding = selector.selector.embedding.weight.detach().clone()
    loss = loss_of(selector, (images, labels), monkeypatch)
    short_trainer(tmp_path, 12).fit(selector, loader(images, labels, batch_size=16))
    assert same(encoder, before)
    assert not torch.equal(selector.selector.embedding.weight, embedding)
    assert loss_of(selector, (images, labels), monkeypatch) < 0.7 * loss
    exists = selector.eval().predict_step((images, labels), 0)["exists"]
    assert (exists.argmax(1) == labels).float().mean() > 0.95
