"""Scores of detectors over many images."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from data import Images


@torch.no_grad()
def scores(detector: nn.Module, images: Tensor, device: torch.device, batch_size: int = 64) -> Tensor:
    """Return the scores (M,) of images (M, C, H, W), on the CPU.

    Args:
        detector: Any module that gives scores (N,) of images; in eval mode afterwards.
        images: In [0, 1], on any device.
        device: Where to compute; the detector is there.
        batch_size: Images at a time.

    Raises:
        ValueError: If the detector gives something else than one finite score per image.
    """
    detector.eval()
    parts = [detector(batch.to(device)).cpu() for batch in images.split(batch_size)]  # type: ignore[no-untyped-call]
    result = torch.cat(parts) if parts else torch.empty(0)
    if result.shape != images.shape[:1] or not result.isfinite().all():
        msg = (
            f"{type(detector).__name__} must give one finite score per image, shape ({len(images)},); it gave shape "
            f"{tuple(result.shape)}" + ("" if result.isfinite().all() else " with values that are not finite")
        )
        raise ValueError(msg)
    return result


def clean_scores(detector: nn.Module, loader: Iterable[Images], device: torch.device) -> Tensor:
    """Return the scores of all images of a loader, on the CPU."""
    return torch.cat([scores(detector, batch.images, device) for batch in loader])
