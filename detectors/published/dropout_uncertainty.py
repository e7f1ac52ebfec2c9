"""Variance of the classifier's probabilities under dropout (Feinman et al., 2017)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from attacks.checks import above_zero, at_least, below
from detectors.published.features import PENULTIMATE, check_layers, features, last_linear, pooled_layers
from saliency.checkpoints import Portable

_SMALLEST: Final = 1e-300
"""Lower bound of variances: probabilities that are equal in float64 have a variance of 0."""


class DropoutUncertainty(Portable):
    r"""Logarithm of the variance of the classifier's softmax over passes with dropout.

    .. math:: U(x) = \frac{1}{T} \sum_t \lVert p_t(x) \rVert^2 - \lVert \frac{1}{T} \sum_t p_t(x) \rVert^2

    The score is log U, in float64: it keeps the order of U, which is close to 0 on most images. It is differentiable.

    Three things differ from the paper. Dropout is inserted at named layers of any classifier, while Feinman et al. use
    one that was trained with dropout. The masks are drawn from a fixed seed, the same for all images, so that scores
    are deterministic. No adversarial image is seen: there the uncertainty enters a logistic regression.

    Published attacks: Carlini & Wagner (2017) break it by fooling several networks of fixed masks at once, on 98 % of
    the images.

    Args:
        classifier: The attacked classifier.
        layers: Its layers whose output is dropped; None: its pooling layers and the penultimate one.
        rate: Share of the values set to 0, in (0, 1); the others grow by 1 / (1 - rate).
        passes: T, at least 2.

    Raises:
        ValueError: If a layer does not exist; lists those that do.

    Reference:
        Feinman et al., "Detecting Adversarial Samples from Artifacts", arXiv 1703.00410. Broken in
        Carlini & Wagner, "Adversarial Examples Are Not Easily Detected", arXiv 1705.07263.
    """

    def __init__(
        self, classifier: Portable, layers: Sequence[str] | None = None, rate: float = 0.3, passes: int = 20
    ) -> None:
        super().__init__()
        self.layers = list(pooled_layers(classifier) if layers is None else layers)
        check_layers(classifier, self.layers)
        above_zero(rate=rate)
        below(1, rate=rate)
        at_least(2, passes=passes)
        self.classifier = classifier.requires_grad_(requires_grad=False)
        self.rate = rate
        self.passes = passes

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,), higher = more adversarial, of images (N, C, H, W) in [0, 1]."""
        probabilities = self.dropped_logits(images).double().softmax(2)
        return probabilities.var(0, correction=0).sum(1).clamp(min=_SMALLEST).log().to(images.dtype)

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (N, K), without dropout, and the scores (N,)."""
        return features(self.classifier, self.layers, images).logits, self(images)

    def dropped_logits(self, images: Tensor) -> Tensor:
        """Return logits (T, N, K) of passes with dropout."""
        with self._dropout():
            logits: Tensor = self.classifier(images.repeat(self.passes, 1, 1, 1))
        return logits.view(self.passes, len(images), -1)

    @contextmanager
    def _dropout(self) -> Iterator[None]:
        hooks = [self._hook(place, layer) for place, layer in enumerate(self.layers)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, place: int, layer: str) -> Any:
        if layer == PENULTIMATE:
            return last_linear(self.classifier).register_forward_pre_hook(
                lambda _, inputs: (self._masked(place, inputs[0]), *inputs[1:])
            )
        module: nn.Module = self.classifier.get_submodule(layer)
        return module.register_forward_hook(lambda _module, _inputs, output: self._masked(place, output))

    def _masked(self, place: int, values: Tensor) -> Tensor:
        """Return values (T * N, ...) with those of a pass dropped alike for all images."""
        generator = torch.Generator().manual_seed(place)
        kept = torch.rand(self.passes, 1, *values.shape[1:], generator=generator) >= self.rate
        of_passes = values.reshape(self.passes, -1, *values.shape[1:])
        return (of_passes * (kept.to(values) / (1 - self.rate))).flatten(0, 1)
