"""Disjoint splits of a data set."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Splits = Literal["disjoint", "paper"]

SHARES = {"classifier_train": 0.45, "detector_train": 0.40, "calibration": 0.15}
"""Shares of the training images where the data set comes with test images."""

TEST_SHARE = 0.2
"""Share of all images that becomes the test split where it does not."""

VALIDATION_SHARE = 0.1
"""Share of classifier_train and of detector_train that is held out for validation."""


def divide(positions: Tensor, shares: Mapping[str, float]) -> dict[str, Tensor]:
    """Return disjoint parts that together are the whole, in the given order.

    Args:
        positions: (M,), in random order.
        shares: Share of each part; they sum to 1.

    Returns:
        A tensor of positions per name; sizes are rounded so that nothing is lost.

    Raises:
        ValueError: If the shares do not sum to 1, or a part would be empty.
    """
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) <= 0:  # noqa: PLR2004 - rounding of the sum
        msg = f"the shares of the splits must be positive and sum to 1, got {dict(shares)}"
        raise ValueError(msg)
    edges = [0]
    total = 0.0
    for share in shares.values():
        total += share
        edges.append(round(total * len(positions)))
    parts = {name: positions[start:end] for name, start, end in zip(shares, edges, edges[1:], strict=False)}
    empty = [name for name, part in parts.items() if len(part) == 0]
    if empty:
        msg = f"{len(positions)} images are too few for the splits {', '.join(shares)}: {', '.join(empty)} is empty"
        raise ValueError(msg)
    return parts


def shuffled(count: int, seed: int) -> Tensor:
    """Return the positions 0 .. count - 1 in an order that depends on the seed alone."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def with_validation(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the parts with a tenth of both training splits taken out as `<split>_validation`."""
    result = dict(parts)
    for name in ("classifier_train", "detector_train"):
        divided = divide(parts[name], {"kept": 1 - VALIDATION_SHARE, "held out": VALIDATION_SHARE})
        result[name], result[f"{name}_validation"] = divided["kept"], divided["held out"]
    return result
