"""How much the maps of two classes differ: where they have values at all, and how large these are."""

from torch import Tensor


def similarity_ratio(first: Tensor, second: Tensor, *, signed: bool = True) -> Tensor:
    """Return the share of values (N,), in [0, 1], that are equal in two binarised maps (Sim-Ratio).

    It compares which inputs the two maps let through, whatever their values.

    Args:
        first: (N, C, H, W), attributions with sign.
        second: (N, C, H, W), of another class or image.
        signed: Whether a value counts as passed where it is above 0, as in the paper's filtering effect; else where it
            is not 0. Few gradients are exactly 0, so that the latter is near 1 for any two images.

    Raises:
        ValueError: If the shapes differ, or a map has no values.

    Reference:
        Gu & Tresp, "Saliency Methods for Explaining Adversarial Attacks", arXiv 1908.08413, section 2.1.
    """
    _check(first, second)
    passed = [maps > 0 if signed else maps != 0 for maps in (first, second)]
    return (passed[0] == passed[1]).flatten(1).double().mean(1)


def average_difference(first: Tensor, second: Tensor) -> Tensor:
    r"""Return :math:`|a_1 - a_2| / \max(a_1, a_2)`, (N,) in [0, 1], of the maps' averages (Avg-Diff).

    The averages are of absolute values, for attributions have signs; 0 for two maps without any values.

    Args:
        first: (N, C, H, W), attributions, not normalised.
        second: (N, C, H, W), of another class or image.

    Raises:
        ValueError: If the shapes differ, or a map has no values.

    Reference:
        Gu & Tresp, arXiv 1908.08413, section 2.1.
    """
    _check(first, second)
    one, two = (maps.double().abs().flatten(1).mean(1) for maps in (first, second))
    larger = one.maximum(two)
    return (one - two).abs() / larger.where(larger > 0, 1)


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim != 4 or first[:1].numel() == 0 < len(first):  # noqa: PLR2004 - N, C, H, W
        msg = f"maps must be two of one shape (N, C, H, W), got {tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(msg)
