"""Disjoint splits of a data set."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from attacks.errors import InputError

Splits = Literal["disjoint", "paper"]

SHARES = {"classifier_train": 0.45, "detector_train": 0.40, "calibration": 0.15}
"""Shares of the training images where the data set comes with test images."""

TEST_SHARE = 0.2
"""Share of all images that becomes the test split where it does not."""

VALIDATION_SHARE = 0.1
"""Share of classifier_train and of detector_train that is held out for validation."""


def divide(positions: Tensor, shares: Mapping[str, float], originals: Tensor | None = None) -> dict[str, Tensor]:
    """Return disjoint parts that together are the whole, in the given order.

    Args:
        positions: (M,), in random order; copies of an image stand side by side, see `with_copies_together`.
        shares: Share of each part; they sum to 1.
        originals: By position, the position of the image that it is a copy of, or its own; copies are never divided.
            None: there are no copies.

    Returns:
        A tensor of positions per name; sizes are rounded so that nothing is lost.

    Raises:
        ValueError: If the shares do not sum to 1, or a part would be empty.
    """
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) <= 0:  # noqa: PLR2004 - rounding of the sum
        msg = f"the shares of the splits must be positive and sum to 1, got {dict(shares)}"
        raise InputError(msg)
    edges = [0]
    total = 0.0
    for share in shares.values():
        total += share
        edges.append(round(total * len(positions)))
    if originals is not None:
        edges = [_past_copies(edge, originals[positions]) for edge in edges]
    parts = {name: positions[start:end] for name, start, end in zip(shares, edges, edges[1:], strict=False)}
    empty = [name for name, part in parts.items() if len(part) == 0]
    if empty:
        msg = (
            f"{len(positions)} images are too few for the splits {', '.join(shares)}: {', '.join(empty)} is empty; add "
            "images, of which copies do not count"
        )
        raise InputError(msg)
    return parts


def shuffled(count: int, seed: int) -> Tensor:
    """Return the positions 0 .. count - 1 in an order that depends on the seed alone."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def with_copies_together(order: Tensor, originals: Tensor) -> Tensor:
    """Return positions in the given order, but copies of an image right behind the one of them that comes first.

    Args:
        order: (M,) positions.
        originals: See `divide`.
    """
    first: dict[int, int] = {}
    places = [first.setdefault(original, place) for place, original in enumerate(originals[order].tolist())]
    return order[torch.tensor(places, dtype=torch.long).argsort(stable=True)]


def with_validation(parts: dict[str, Tensor], originals: Tensor | None = None) -> dict[str, Tensor]:
    """Return the parts with a tenth of both training splits taken out as `<split>_validation`; see `divide`."""
    result = dict(parts)
    for name in ("classifier_train", "detector_train"):
        divided = divide(parts[name], {"kept": 1 - VALIDATION_SHARE, "held out": VALIDATION_SHARE}, originals)
        result[name], result[f"{name}_validation"] = divided["kept"], divided["held out"]
    return result


def _past_copies(edge: int, originals: Tensor) -> int:
    """Return the next edge that does not lie between two copies of an image."""
    while 0 < edge < len(originals) and originals[edge] == originals[edge - 1]:
        edge += 1
    return edge
