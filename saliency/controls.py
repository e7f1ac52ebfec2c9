"""Masks that know nothing of the image: what a saliency map must beat."""

import torch
from torch import Tensor


def central_disc(masks: Tensor) -> Tensor:
    """Return, for each mask, a disc in the middle of the image of the same area.

    Args:
        masks: (N, 1, H, W) in [0, 1]; the area is the sum of the values.

    Returns:
        (N, 1, H, W) of 0 and 1: the pixels nearest to the centre, as many as the area rounded.
    """
    count, _, height, width = masks.shape
    rows = torch.arange(height, device=masks.device) - (height - 1) / 2
    columns = torch.arange(width, device=masks.device) - (width - 1) / 2
    distance = rows.square()[:, None] + columns.square()[None, :]
    rank = torch.empty(height * width, device=masks.device, dtype=torch.long)
    rank[distance.flatten().argsort(stable=True)] = torch.arange(height * width, device=masks.device)
    wanted = masks.sum((1, 2, 3)).round()
    return (rank.expand(count, -1) < wanted[:, None]).to(masks.dtype).view(count, 1, height, width)
