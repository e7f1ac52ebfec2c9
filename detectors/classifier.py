"""The image classifier that is attacked."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from attacks.errors import InputError
from detectors.logits import logits_of
from detectors.networks import ConvNet
from saliency.augmentation import Augmentation
from saliency.checkpoints import Portable
from saliency.training import ImageClassifier, Schedule


class Classifier(ImageClassifier):
    """The attacked classifier: the paper's network, or another one.

    Args:
        shape: (C, H, W) of the images.
        classes: Number of classes.
        widths: Channels of the blocks of the paper's network; see `ConvNet`.
        mean: What the paper's network subtracts from the images first: one number, or one per channel.
        std: What it divides by, after that.
        network: Another network, logits (N, K) of images (N, C, H, W) in [0, 1]; normalisation is its first layer. See
            `TorchvisionNetwork` and `WrappedNetwork`. A dict, tuple or `ModelOutput` with the logits will do.
        learning_rate: Step size of Adam, above 0; 1e-3 in the paper.
        schedule: constant (the paper's) or one-cycle.
        augmentation: How training images are changed at random: none (the paper's), shift (each is moved by up to an
            eighth of its sides), or shift-flip (half of them are mirrored left to right too).

    Raises:
        ValueError: If the network does not give finite logits (1, K) of an image (1, C, H, W) of zeros, in eval mode.

    Reference:
        Schut & Gal (2020), section 3.1 and appendix A.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        widths: Sequence[int] = (32, 64),
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        network: Portable | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
        augmentation: Augmentation = "none",
    ) -> None:
        super().__init__(shape, classes, learning_rate, schedule, augmentation)
        self.widths = widths
        self.mean = mean
        self.std = std
        self.network = ConvNet(shape, classes, widths, mean, std) if network is None else network
        self._writes = _check(self.network, shape, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W) in [0, 1]; a network that writes on these gets a copy."""
        return logits_of(self.network(images.clone() if self._writes else images))


def _check(network: nn.Module, shape: Sequence[int], classes: int) -> bool:
    """Refuse a network that does not give logits of such images; return whether it writes on the images."""
    name, images = type(network).__name__, f"images {tuple(shape)}"
    try:
        logits, writes = _probe(network, shape)
    except Exception as error:
        hint = "; if they are too small, set its option size" if getattr(network, "size", 0) is None else ""
        msg = f"{name} does not take {images} ({_first_line(error)}): use a network made for them{hint}"
        raise InputError(msg) from error
    given = f"shape {tuple(logits.shape)}"
    if given != f"shape {(1, classes)}":
        msg = (
            f"{name} gives an output of {given} for one of the {images}, but {classes} classes need logits of shape "
            f"{(1, classes)}: use a network with {classes} outputs"
        )
        raise InputError(msg)
    if not logits.isfinite().all():
        msg = f"{name} gives logits that are not finite for an image of zeros: check its weights and normalisation"
        raise InputError(msg)
    return writes


@torch.no_grad()
def _probe(network: nn.Module, shape: Sequence[int]) -> tuple[Tensor, bool]:
    """Return the output of one image of zeros in eval mode, and whether the image was written on; restore the mode."""
    like = next(chain(network.parameters(), network.buffers()), torch.empty(0))
    before = {module: module.training for module in network.modules()}
    with torch.inference_mode(mode=False):
        image = like.new_zeros(1, *shape)
        version = image._version  # noqa: SLF001 - torch's count of writes
    try:
        logits = logits_of(network.eval()(image))
    finally:
        for module, training in before.items():
            module.training = training
    return logits, image._version > version  # noqa: SLF001


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
