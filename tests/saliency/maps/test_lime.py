import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from saliency import LIME
from saliency.maps.lime import mean_colours


def test_a_superpixel_shows_its_mean_colour():
    image = torch.full((1, 12, 12), 0.2)
    image[:, ::2] = 0.9
    where = torch.zeros(12, 12, dtype=torch.long)
    where[:6, 6:], where[6:] = 1, 2
    image[:, 6:] = 0.3
    found = mean_colours(image, where)
    assert torch.allclose(found[:, :6], torch.full((1, 6, 12), 0.55))
    assert torch.allclose(found[:, 6:], torch.full((1, 6, 12), 0.3))


def test_the_part_that_counts_is_found(monkeypatch):
    images = torch.zeros(1, 1, 12, 12)
    images[:, :, :3, :6] = 1
    where = torch.zeros(12, 12, dtype=torch.long)
    where[3:6, :6], where[:, 6:], where[6:, :6] = 1, 2, 3
    monkeypatch.setattr(LIME, "superpixels", lambda _, batch: where.expand(len(batch), -1, -1))

    class Contrast(nn.Module):
        def forward(self, batch):
            seen = batch[:, 0, :3, :6].mean((1, 2)) - batch[:, 0, 3:6, :6].mean((1, 2))
            return torch.stack([6 * seen, torch.zeros_like(seen)], 1)

    monkeypatch.setattr("saliency.maps.lime.mean_colours", lambda image, _: torch.full_like(image, 0.5))
    weights = LIME(samples=400).attributions(Contrast(), images, torch.tensor([0]))[0, 0]
    assert weights[0, 0] > 10 * weights[0, 8].abs()
    assert weights[4, 0] > 10 * weights[8, 0].abs()


def test_weights_are_those_of_a_weighted_ridge(monkeypatch, images):
    """All copies, written down as they go through the model, and scikit-learn's own regression on them."""
    where = torch.arange(12)[:, None] // 4 * 3 + torch.arange(12)[None] // 4
    monkeypatch.setattr(LIME, "superpixels", lambda _, batch: where.expand(len(batch), -1, -1))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    image = images[:1]
    hidden = mean_colours(image[0], where)
    copies = []
    handle = model[0].register_forward_pre_hook(lambda _, given: copies.append(given[0].detach().clone()))
    found = LIME(samples=60, alpha=0.7, kernel_width=0.5).attributions(model, image, torch.tensor([1]))[0, 0]
    handle.remove()
    batch = max(copies, key=len)
    shown = [[bool((copy[0] == image[0, 0])[where == part].all()) for part in range(9)] for copy in batch]
    seen = np.array(shown, dtype=float)
    assert torch.allclose(batch[0], torch.where(torch.tensor(shown[0])[where], image[0], hidden))
    with torch.no_grad():
        values = model(batch).softmax(1)[:, 1].numpy()
    distance = 1 - seen.sum(1) / (np.sqrt(seen.sum(1)).clip(1e-12) * 3)
    weights = np.exp(-(distance**2) / (2 * 0.5**2))
    expected = Ridge(alpha=0.7).fit(seen, values, weights).coef_
    assert np.allclose([found[where == part][0] for part in range(9)], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"kernel_width": 0.0}, "kernel_width must be finite and above 0, got 0.0"),
        ({"alpha": -1.0}, "alpha must be finite and at least 0"),
        ({"segmenter": "watershed"}, "unknown segmenter 'watershed'. Accepted: auto, quickshift, slic"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, told):
    with pytest.raises(ValueError, match=told):
        LIME(**arguments)
