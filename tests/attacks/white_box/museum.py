"""Broken detectors with a known answer: an attack that knows what it does passes each of them."""

import torch
from torch import nn

TINY = 1e-2


class Exhibit(nn.Module):
    """Rejects images that are too bright on the bright squares of a pattern; a subclass hides that somehow.

    Args:
        images: Clean images, four of five of which it rejects.
    """

    def __init__(self, images):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        signs = torch.randn([size // 2 for size in images.shape[2:]], generator=generator).sign()
        self.register_buffer("signs", signs.repeat_interleave(2, 0).repeat_interleave(2, 1))
        self.limit = self.brightness(images).quantile(0.2).item()

    def brightness(self, images):
        """Return what it judges by, (N,)."""
        return (self.signs * images).mean((1, 2, 3))

    def forward(self, images):
        """Return scores (N,), above 0 = rejected."""
        return self.brightness(images) - self.limit


class Constant(Exhibit):
    """Accepts everything."""

    def forward(self, images):
        """Return -1 for each."""
        return torch.full_like(images[:, 0, 0, 0], -1)


class Rejecting(Exhibit):
    """Rejects everything: the control that nobody breaks."""

    def forward(self, images):
        """Return 1 for each."""
        return torch.ones_like(images[:, 0, 0, 0])


class Linear(Exhibit):
    """Hides nothing."""


class Quantised(Exhibit):
    """Rounds the image to nine greys first, so that there is no gradient."""

    straight_through = ("rounded",)

    def rounded(self, images):
        """Return the images in nine greys."""
        return (8 * images).round() / 8

    def brightness(self, images):
        """Return the brightness of the rounded images."""
        return super().brightness(self.rounded(images))


class InNumpy(Exhibit):
    """Computes in numpy, which no gradient passes."""

    def forward(self, images):
        """Return scores from numpy."""
        return super().forward(torch.from_numpy(images.cpu().numpy().copy()).to(images))


class DetachedMap(Exhibit):
    """Looks through a map of the image that passes no gradient, which makes up for all that is seen directly."""

    def brightness(self, images):
        """Return the brightness under the map: most of the gradient is the map's, and missing."""
        return super().brightness(images.detach().square() * (0.5 + 0.5 * images))


class Saturated(Exhibit):
    """Is so sure that its gradient is exactly 0 in single precision."""

    straight_through = ("sure",)

    def sure(self, scores):
        """Return -1 and 1."""
        return torch.tanh(300 * scores)

    def forward(self, images):
        """Return scores of -1 and 1."""
        return self.sure(super().forward(images))


class Noisy(Exhibit):
    """Adds noise of its own to each score."""

    def __init__(self, images):
        super().__init__(images)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, images):
        """Return scores with noise of a thirtieth of what an attack can move them by."""
        return super().forward(images) + TINY * (torch.rand(len(images), generator=self.generator) - 0.5)


class Stairs(Exhibit):
    """Knows few scores, piecewise constant."""

    straight_through = ("steps",)

    def steps(self, scores):
        """Return whole numbers."""
        return scores.ceil()

    def forward(self, images):
        """Return scores in steps, 0 being the highest accepted one."""
        return self.steps(super().forward(images) / TINY)


class Random(Exhibit):
    """Adds ripples of random signs: they hardly move the score, but their gradient, forty times its own, drowns it."""

    ripple = 0.2
    frequency = 200

    def __init__(self, images):
        super().__init__(images)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, images):
        """Return scores with ripples, drawn anew for each call."""
        signs = torch.randn(images.shape, generator=self.generator).sign()
        return super().forward(images) + (signs * self.ripple * (self.frequency * images).sin()).mean((1, 2, 3))


BROKEN = {
    kind.__name__: kind
    for kind in (Constant, Linear, Quantised, InNumpy, DetachedMap, Saturated, Noisy, Stairs, Random)
}


class Pattern(nn.Module):
    """A detector of consistency: rejects logits unlike those that clean images of the predicted class have.

    Args:
        images: Clean images, of which it rejects the share whose logits are farther from their class's mean.
        classifier: Gives logits.
        rejects: The share.
    """

    def __init__(self, images, classifier, rejects=0.5):
        super().__init__()
        self.classifier = classifier
        logits = classifier(images)
        classes = logits.argmax(1)
        self.usual = torch.stack([logits[classes == label].mean(0) for label in range(logits.shape[1])])
        self.limit = self.distance(logits).quantile(1 - rejects).item()

    def distance(self, logits):
        """Return how far logits (N, K) are from those usual for their class (N,)."""
        return torch.linalg.vector_norm(logits - self.usual[logits.argmax(1)], dim=1)

    def forward(self, images):
        """Return scores (N,), above 0 = rejected."""
        return self.distance(self.classifier(images)) - self.limit
