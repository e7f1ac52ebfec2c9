"""Feature squeezing: the classifier's change of mind when an image loses detail (Xu, Evans & Qi, 2017)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from attacks.checks import at_least, at_most
from attacks.errors import InputError, unknown
from saliency.checkpoints import Portable

GREY: Final = ("bits_1", "median_2")
"""The joint setting of the paper's authors for MNIST."""
COLOUR: Final = ("bits_5", "median_2", "non_local_13_3_2")
"""The joint setting of the paper's authors for CIFAR-10; that for ImageNet has `non_local_11_3_4`."""


class FeatureSqueezing(Portable):
    r"""Largest L1 distance between the classifier's softmax of an image and that of its squeezed versions.

    .. math:: \max_s \lVert \mathrm{softmax}(f(x)) - \mathrm{softmax}(f(s(x))) \rVert_1 \in [0, 2]

    Nothing is fitted. Rounding to fewer bits has no gradient; median and non-local means have their own. The attribute
    `straight_through` names the squeezers that round, for attacks that pass them backwards as the identity.

    Non-local means differ from the paper's, which are OpenCV's on CIELAB colours: here they compare patches of RGB
    values with Gaussian weights, as scikit-image does.

    Published attacks: He et al. (2017) evade it by adaptive attacks, Sharma & Chen (2018) by stronger ones.

    Args:
        classifier: The attacked classifier, logits (N, K) of images (N, C, H, W) in [0, 1]; frozen.
        squeezers: Names with their numbers: `bits_B` keeps B bits of each value; `median_S` is the median of S x S
            pixels; `non_local_W_P_H` averages pixels of a window W x W whose patches P x P are alike, H grey levels
            apart. None: the paper's joint setting, `GREY` for a classifier of one channel, `COLOUR` for any other.

    Raises:
        ValueError: If a squeezer is unknown, its numbers do not fit, or there is none.

    Reference:
        Xu, Evans & Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks", arXiv 1704.01155.
        Evaded in He et al., "Adversarial Example Defenses: Ensembles of Weak Defenses are not Strong", arXiv
        1706.04701, and in Sharma & Chen, "Bypassing Feature Squeezing by Increasing Adversary Strength", arXiv
        1803.09868.
    """

    def __init__(self, classifier: Portable, squeezers: Sequence[str] | None = None) -> None:
        super().__init__()
        self.classifier = classifier.requires_grad_(requires_grad=False)
        self.squeezers = list(_usual(classifier) if squeezers is None else squeezers)
        if not self.squeezers:
            msg = f"squeezers is empty: name at least one, for example [{', '.join(GREY)}]"
            raise InputError(msg)
        self.parts = nn.ModuleDict({name: _made(name) for name in self.squeezers})
        rounding = (name for name, part in self.parts.items() if isinstance(part, Bits))
        self.straight_through = tuple(f"parts.{name}" for name in rounding)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) in [0, 2], higher = more adversarial, of images (N, C, H, W) in [0, 1]."""
        return self.joint(images)[1]

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (N, K) of the images, and the scores (N,)."""
        logits: Tensor = self.classifier(images)
        expected = logits.softmax(1)
        distances = [(expected - self.classifier(part(images)).softmax(1)).abs().sum(1) for part in self.parts.values()]
        return logits, torch.stack(distances).amax(0)


class Bits(nn.Module):
    """Rounds values in [0, 1] to 2^bits levels; without a gradient.

    Args:
        bits: From 1 to 8.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        at_least(1, bits=bits)
        at_most(8, bits=bits)
        self.steps: int = 2**bits - 1

    def forward(self, images: Tensor) -> Tensor:
        """Return images (N, C, H, W) of these levels."""
        return (images * self.steps).round() / self.steps


class Median(nn.Module):
    """The median of the pixels around each, as `scipy.ndimage.median_filter` in mode reflect.

    A window of even side reaches one pixel farther up and to the left; its median is the larger of the two middle
    values. The gradient goes to the pixel that is the median.

    Args:
        side: Side of the window in pixels, at least 1.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        at_least(1, side=side)
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        """Return smoothed images (N, C, H, W)."""
        wide = _padded(images, self.side // 2, (self.side - 1) // 2, "symmetric")
        windows = wide.unfold(2, self.side, 1).unfold(3, self.side, 1).flatten(4)
        median: Tensor = windows.kthvalue(self.side**2 // 2 + 1).values
        return median


class NonLocalMeans(nn.Module):
    """The mean of the pixels around each, weighted by the likeness of the patches around the two.

    As `skimage.restoration.denoise_nl_means` with fast_mode=False, whose exponentials are approximate.

    Args:
        window: Side of the window whose pixels are averaged, odd.
        patch: Side of the patches that are compared, odd, at least 3.
        strength: Grey levels of 255 at which a patch counts 1/e.
    """

    kernel: Tensor

    def __init__(self, window: int, patch: int, strength: int) -> None:
        super().__init__()
        at_least(1, window=window, strength=strength)
        at_least(3, patch=patch)
        if not window % 2 or not patch % 2:
            msg = f"window and patch of non-local means must be odd, got {window} and {patch}"
            raise InputError(msg)
        self.window = window
        self.patch = patch
        places = torch.arange(patch) - patch // 2
        line = torch.exp(-(places**2) / (2 * ((patch - 1) / 4) ** 2))
        weights = torch.outer(line, line) / line.sum() ** 2
        self.register_buffer("kernel", weights[None, None] / (strength / 255) ** 2, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return smoothed images (N, C, H, W)."""
        reach, edge = self.window // 2, self.patch // 2
        wide = functional.pad(_padded(images, edge, edge, "reflect"), [reach] * 4)
        inside = functional.pad(torch.ones_like(images[:1, :1]), [reach] * 4)
        height, width = (side + 2 * edge for side in images.shape[2:])
        centre = wide[..., reach : reach + height, reach : reach + width]
        sums, weights = torch.zeros_like(images), torch.zeros_like(images[:, :1])
        for row, column in np.ndindex(self.window, self.window):
            other = wide[..., row : row + height, column : column + width]
            apart = functional.conv2d((centre - other).square().mean(1, keepdim=True), self.kernel.to(images.dtype))
            weight = torch.exp(-apart) * inside[..., row : row + images.shape[2], column : column + images.shape[3]]
            weights = weights + weight
            sums = sums + weight * other[..., edge : height - edge, edge : width - edge]
        return sums / weights


_KINDS: Final = {"bits": Bits, "median": Median, "non_local": NonLocalMeans}
_EXAMPLES: Final = (*GREY, COLOUR[-1])


def _usual(classifier: nn.Module) -> Sequence[str]:
    shape = getattr(classifier, "shape", None)
    return GREY if shape is not None and shape[0] == 1 else COLOUR


def _made(name: str) -> nn.Module:
    """Return the squeezer of a name such as `median_2`."""
    kind = next((kind for kind in _KINDS if name.startswith(f"{kind}_")), None)
    numbers = name[len(kind) + 1 :].split("_") if kind else []
    expected = _EXAMPLES[list(_KINDS).index(kind)].count("_") - kind.count("_") if kind else 0
    if not kind or len(numbers) != expected or not all(number.isdecimal() for number in numbers):
        raise InputError(unknown("squeezer", name, ()) + f": write it as one of {', '.join(_EXAMPLES)}")
    made: nn.Module = _KINDS[kind](*map(int, numbers))
    return made


def _padded(images: Tensor, before: int, after: int, mode: str) -> Tensor:
    """Return images continued over their borders by numpy's mode, as often as their size needs."""
    rows, columns = (torch.from_numpy(np.pad(np.arange(side), (before, after), mode)) for side in images.shape[2:])  # type: ignore[call-overload]
    return images[:, :, rows.to(images.device)][..., columns.to(images.device)]
