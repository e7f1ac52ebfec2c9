"""Checks of a network's first outputs: that they are logits, and that a gradient leads from them to the images."""

import warnings
from functools import partial

import torch
from torch import Tensor, nn

from attacks.errors import InputError

_SUM_OF_PROBABILITIES = 1e-3
"""The largest accepted difference between 1 and the sum of rounded probabilities."""


class FirstOutputs:
    """Checks the first logits and scores of a call, and warns once if they could be mistaken for robustness.

    Logits are refused if they are NaN for every image, or if an attack or a map needs a gradient and none leads from
    them to the images. Other NaN, probabilities in place of logits, scores without a gradient (a detector may hide it
    on purpose, so that the attack goes on), and gradients that are exactly 0 for every image (as rounding makes them)
    give a warning.
    """

    def __init__(self, model: nn.Module, detector: nn.Module | None) -> None:
        self._names = {"logits": named(model), "scores": named(detector)}
        self._checked: set[str] = set()
        self._traced: dict[str, tuple[Tensor, Tensor]] = {}  # whether a gradient was asked for, and came: 0-dim. bool

    def look(self, images: Tensor, logits: Tensor, scores: Tensor | None) -> None:
        """Check the outputs (N, ...) of a pass; only the first outputs of each kind are examined.

        Raises:
            ValueError: If the logits cannot be used.
        """
        for kind, values in (("logits", logits), ("scores", scores)):
            if values is None or len(values) == 0:
                continue
            if kind not in self._checked:
                self._checked.add(kind)
                self._check(kind, values.detach().view(len(values), -1))
            if kind not in self._traced and images.requires_grad and torch.is_grad_enabled():
                self._traced[kind] = self._trace(kind, values, images)

    def conclude(self) -> None:
        """Warn about gradients that were 0; the host waits for the device here."""
        for kind, (asked, came) in self._traced.items():
            if asked & ~came:
                msg = (
                    f"the gradient of the {kind} of {self._names[kind]} is exactly 0 for every image (does it round "
                    "its input?): a failure of gradient-based attacks is no sign of robustness"
                )
                warnings.warn(msg, stacklevel=2)

    def _check(self, kind: str, rows: Tensor) -> None:
        sums = (rows.sum(1) - 1).abs() < _SUM_OF_PROBABILITIES
        likely = ((rows >= 0).all() & sums.all()).to(torch.long)
        broken, probabilities = torch.stack([rows.isnan().any(1).sum(), likely]).tolist()
        name = self._names[kind]
        if broken == len(rows) and kind == "logits":
            msg = f"the logits of {name} are NaN for every image: check its weights and its normalisation"
            raise InputError(msg)
        if broken:
            counted = "not fooled" if kind == "logits" else "rejected"
            msg = f"the {kind} of {name} are NaN for {broken} of {len(rows)} images: these count as {counted}"
            warnings.warn(msg, stacklevel=2)
        if probabilities and kind == "logits":
            msg = f"{name} gives probabilities, rows that sum to 1, in place of logits: leave out its softmax"
            warnings.warn(msg, stacklevel=2)

    def _trace(self, kind: str, values: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the record of whether a gradient was asked for, and whether it arrived."""
        asked, came = (torch.zeros((), dtype=torch.bool, device=images.device) for _ in range(2))
        gap = f"no gradient leads from the {kind} of {self._names[kind]} to the images (no_grad, detach, bytes in it?)"
        if _leads(values, images):
            values.register_hook(partial(_note, asked))  # type: ignore[no-untyped-call]
            images.register_hook(partial(_note, came))  # type: ignore[no-untyped-call]
        elif kind == "logits":
            msg = f"{gap}: let it pass one, or use a method that needs none, as Square and LIME"
            raise InputError(msg)
        else:
            warnings.warn(
                f"{gap}: gradients only work against the model; Square needs none, attacks.Estimation estimates one",
                stacklevel=2,
            )
        return asked, came


def named(network: nn.Module | None) -> str:
    """Return the class of a network; of one that says which one it wraps for an attack (`wrapped`), the inner class."""
    while isinstance(inner := getattr(network, "wrapped", None), nn.Module):
        network = inner
    return type(network).__name__


def _note(noted: Tensor, gradient: Tensor) -> None:
    noted.logical_or_(gradient.detach().any())


def _leads(output: Tensor, images: Tensor) -> bool:
    """Return whether the images are in the graph of an output."""
    goal = torch.autograd.graph.get_gradient_edge(images).node
    left, known = [output.grad_fn], set()
    while left:
        node = left.pop()
        if node is goal:
            return True
        if node is not None and node not in known:
            known.add(node)
            left.extend(following for following, _ in node.next_functions)
    return False
