"""Enhanced guided backpropagation: what a class has more of than its rival."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from saliency import Enhanced, Gradient, GuidedBackprop
from saliency.maps.enhanced import enhance, runner_up
from saliency.similarity import average_difference, similarity_ratio

NORMALISATIONS = ("maximum", "energy", "channel_energy")


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_figure_2(normalisation):
    """Two curves over [0, C] with zeros up to A: one rises and is large, the other falls a little and is small."""
    places = torch.arange(100.0)
    a, support = 20, (places >= 20).float()
    steep = support * (1 + 0.5 * (places - a))  # s_k, larger than the other everywhere
    flat = support * (0.9 - 0.002 * (places - a))
    k, m = (curve.view(1, 1, 1, -1) for curve in (steep, flat))
    assert similarity_ratio(k, m).item() == 1
    assert average_difference(k, m).item() > 0.9
    assert (steep >= flat).all()  # what a plain difference would give to k alone
    of_k, of_m = enhance(k, m, normalisation).flatten(), enhance(m, k, normalisation).flatten()
    (b,) = (of_k > 0).nonzero()[:1].flatten().tolist()  # where the normalised curves cross
    assert a < b < 100
    assert (of_k[:b] == 0).all()
    assert (of_k[b + 1 :] > 0).all()
    assert (of_m[:a] == 0).all()
    assert (of_m[a : b - 1] > 0).all()
    assert (of_m[b + 1 :] == 0).all()


def test_the_normalisations_by_hand():
    k = torch.tensor([[[[4.0, -4.0]], [[2.0, 0.0]]]])  # energies 8 and 2, maximum 4
    m = torch.tensor([[[[1.0, 0.0]], [[1.0, 2.0]]]])  # energies 1 and 3, maximum 2
    expected = {
        "maximum": [4 / 4 - 1 / 2, 0, 2 / 4 - 1 / 2, 0],
        "energy": [4 / 10 - 1 / 4, 0, 0, 0],
        "channel_energy": [0, 0, 2 / 2 - 1 / 3, 0],  # 4 / 8 - 1 / 1 is below 0
    }
    for normalisation, values in expected.items():
        assert enhance(k, m, normalisation).flatten().tolist() == pytest.approx(values)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100), channels=st.integers(1, 3))
def test_properties(normalisation, seed, scale, channels):
    k, m = torch.randn(2, 3, channels, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    of_k, of_m = enhance(k, m, normalisation), enhance(m, k, normalisation)
    assert (of_k >= 0).all()
    assert not ((of_k > 0) & (of_m > 0)).any()
    assert torch.allclose(enhance(scale * k, m, normalisation), of_k)
    assert torch.equal(enhance(k, k, normalisation), torch.zeros_like(k))
    assert torch.equal(enhance(k[1:2], m[1:2], normalisation), of_k[1:2])


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_an_empty_map_stays_empty(normalisation):
    zero, one = torch.zeros(1, 2, 3, 3), torch.ones(1, 2, 3, 3)
    assert torch.equal(enhance(zero, one, normalisation), zero)
    assert torch.equal(enhance(zero, zero, normalisation), zero)
    assert (enhance(one, zero, normalisation) > 0).all()


def test_one_channel_knows_one_energy():
    k, m = torch.randn(2, 3, 1, 5, 4)
    assert torch.equal(enhance(k, m, "energy"), enhance(k, m, "channel_energy"))


def test_the_rival_is_the_best_of_the_others():
    logits = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0], [5.0, 3.0, -2.0]])
    assert runner_up(logits, torch.tensor([1, 2, 2])).tolist() == [2, 1, 0]
    with pytest.raises(ValueError, match="at least two classes"):
        runner_up(logits[:, :1], torch.zeros(3, dtype=torch.long))


@pytest.mark.parametrize("base", [GuidedBackprop(), Gradient()], ids=["guided", "gradient"])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_method_is_the_formula(base, normalisation, classifier, images, labels):
    rivals = runner_up(classifier(images).detach(), labels)
    explained, rival = (base.attributions(classifier, images, classes) for classes in (labels, rivals))
    found = Enhanced(base=base, normalisation=normalisation).attributions(classifier, images, labels)
    assert torch.allclose(found, enhance(explained, rival, normalisation), atol=1e-7)
    assert (found > 0).any()


def test_a_linear_network_by_hand(linear, images):
    """The gradient of a linear network is its weights, whatever the image; every other class is a rival of one."""
    weights = linear[1].weight.detach().view(4, 1, 12, 12)
    classes = torch.zeros(len(images), dtype=torch.long)
    rivals = linear(images).detach()[:, 1:].argmax(1) + 1
    found = Enhanced(base=Gradient(), normalisation="energy").attributions(linear, images, classes)
    scaled = weights / weights.abs().sum((1, 2, 3), keepdim=True)
    assert torch.allclose(found, (scaled[classes] - scaled[rivals]).clamp_min(0), atol=1e-7)


def test_bad_input():
    with pytest.raises(ValueError, match=r"unknown normalisation .* Accepted: maximum, energy, channel_energy"):
        Enhanced(normalisation="l2")
    one = nn.Sequential(nn.Flatten(), nn.Linear(144, 3), nn.ReLU(), nn.Linear(3, 1))
    with pytest.raises(ValueError, match="at least two classes"):
        Enhanced().attributions(one, torch.rand(2, 1, 12, 12))
