"""What the tests of attacks of minimal norm share: linear models with known distances, and a small trained net."""

import torch
from torch import nn
from torch.nn import functional

from tests.attacks.cases import linear_model

SHAPE = (1, 8, 8)


def plain(classes, dtype=torch.float64):
    """A linear model without parameters to train."""
    return linear_model(SHAPE, classes, dtype).requires_grad_(requires_grad=False)


def nearest(model, images, labels):
    """The distance of each image to the nearest boundary of its label, of a linear model."""
    logits, weight = model(images), model[1].weight
    gaps = logits.gather(1, labels[:, None]) - logits
    distances = gaps / torch.linalg.vector_norm(weight[labels][:, None] - weight, dim=2)
    return distances.scatter(1, labels[:, None], torch.inf).amin(1)


def at_distance(model, count, distance):
    """Images of class 0 of a two-class linear model, each `distance` away from the boundary."""
    images = 0.4 + 0.2 * torch.rand(count, *SHAPE, dtype=torch.float64)
    weight = model[1].weight[0] - model[1].weight[1]
    logits = model(images)
    lead = logits[:, 0] - logits[:, 1]
    shift = (distance - lead / weight.norm()) * (1 / weight.norm())
    return (images.flatten(1) + shift[:, None] * weight).view_as(images)


def trained_net(count):
    """A convolutional net that tells six noisy patterns apart, and `count` images of theirs, a fifth of it 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 24), nn.ReLU()
        net = nn.Sequential(*layers, nn.Linear(24, 6))
    patterns = torch.rand(6, *SHAPE, generator=generator)

    def drawn(labels):
        return (patterns[labels] + 0.3 * torch.randn(len(labels), *SHAPE, generator=generator)).clamp(0, 1)

    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60):
        labels = torch.randint(6, (48,), generator=generator)
        optimiser.zero_grad()
        functional.cross_entropy(net(drawn(labels)), labels).backward()
        optimiser.step()
    return net.eval().requires_grad_(requires_grad=False), drawn(torch.arange(count) % 6)
