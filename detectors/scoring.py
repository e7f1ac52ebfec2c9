"""Scores of detectors over many images."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from attacks.errors import InputError
from detectors.explanations import Explanation, UsesExplanation


@torch.no_grad()
def scores(
    detector: nn.Module,
    images: Tensor,
    device: torch.device,
    batch_size: int = 64,
    explanation: Tensor | None = None,
) -> Tensor:
    """Return the scores (M,) of images (M, C, H, W), on the CPU.

    Args:
        detector: Returns scores (N,) of images; on the device, in eval mode afterwards.
        images: (M, C, H, W) in [0, 1], on any device.
        device: Where to compute.
        batch_size: Images at a time.
        explanation: (M, c, H, W) of the images, if the detector takes one and it is known.

    Raises:
        ValueError: If the detector does not return one finite score per image.
    """
    detector.eval()
    if explanation is None or not isinstance(detector, UsesExplanation):
        result = _in_batches(detector, images, device=device, size=batch_size)
    else:
        result = _in_batches(detector.score, images, explanation, device=device, size=batch_size)
    if result.dtype == torch.bool:
        msg = (
            f"{type(detector).__name__} must give real scores, higher = more adversarial, not decisions (torch.bool): "
            "return its score before it decides, or decisions.float()"
        )
        raise InputError(msg)
    if result.shape != images.shape[:1] or not result.isfinite().all():
        msg = (
            f"{type(detector).__name__} must give one finite score per image, shape ({len(images)},); it gave shape "
            f"{tuple(result.shape)}" + ("" if result.isfinite().all() else " with values that are not finite")
        )
        raise InputError(msg)
    return result


@torch.no_grad()
def explain(explanation: Explanation, images: Tensor, device: torch.device, batch_size: int = 64) -> Tensor:
    """Return the explanation (M, c, H, W) of images (M, C, H, W) in [0, 1], on the CPU."""
    explanation.to(device).eval()
    return _in_batches(explanation, images, device=device, size=batch_size)


def _in_batches(function: Callable[..., Tensor], *tensors: Tensor, device: torch.device, size: int) -> Tensor:
    """Return a function's outputs for corresponding rows of tensors, joined, on the CPU; empty for no rows."""
    batches = zip(*(torch.split(tensor, size) for tensor in tensors), strict=True) if len(tensors[0]) else ()
    parts = [function(*(tensor.to(device) for tensor in batch)).cpu() for batch in batches]
    return torch.cat(parts) if parts else torch.empty(0)


def clean_scores(detector: nn.Module, loader: Iterable[Any], device: torch.device) -> Tensor:
    """Return the scores of the `images` of all batches of a loader, on the CPU."""
    return torch.cat([scores(detector, batch.images, device) for batch in loader])
