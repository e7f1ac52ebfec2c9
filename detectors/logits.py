"""Reads the logits in a classifier's output: a tensor, a dict, a tuple, or an object that has `.logits`."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from attacks.errors import InputTypeError


def logits_of(output: Any) -> Tensor:
    """Return the logits (N, K) in a classifier's output.

    Args:
        output: The logits; an object with them as `logits`, as Hugging Face's `ModelOutput`; a dict with them under
            `logits`, or as its only value; or a tuple or list that begins with them, as those of torchvision.

    Raises:
        TypeError: If there are none; says what was returned.
    """
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if isinstance(output, Mapping):
        values = list(output.values())
        logits = output.get("logits", values[0] if len(values) == 1 else None)
    elif logits is None and isinstance(output, Sequence) and output:
        logits = output[0]
    if isinstance(logits, Tensor):
        return logits
    keys = f" with the keys {', '.join(map(str, output)) or 'none'}" if isinstance(output, Mapping) else ""
    msg = (
        f"the classifier gives a {type(output).__name__}{keys}: it must give logits (N, K), a tuple that begins with "
        "them, a dict with the key logits, or an object with the attribute logits"
    )
    raise InputTypeError(msg)


class LogitsOf(nn.Module):
    """A classifier whose output is read by `logits_of`.

    Args:
        model: Takes images (N, C, H, W).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K)."""
        return logits_of(self.model(images))
