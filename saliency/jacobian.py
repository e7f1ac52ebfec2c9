"""The gradient of a classifier's logits with respect to the image, JSD's saliency map."""

from typing import Literal

import torch
from torch import Tensor, nn

Readout = Literal["sum", "predicted", "margin"]


def jacobian(model: nn.Module, images: Tensor, readout: Readout = "sum", logits: Tensor | None = None) -> Tensor:
    r"""Return the gradient of a scalar readout of the logits, as large as the images.

    Args:
        model: Gives logits (N, K); may be frozen.
        images: (N, C, H, W) in [0, 1]. If they require gradients, the result is differentiable in them (and for
            networks of ReLU and max pooling its derivative is exactly zero almost everywhere).
        readout: sum: :math:`\sum_k z_k`, as the paper's authors coded it; predicted: :math:`z_c` of the predicted
            class c; margin: :math:`z_c` minus the runner-up.
        logits: The model's logits on exactly these images, if they are known and recorded their gradient.

    Returns:
        (N, C, H, W), detached unless the images require gradients.

    Reference:
        Zhang et al., "Detecting Adversarial Perturbations with Saliency", arXiv 1803.08773; logits in place of the
        softmax as in Schut & Gal (2020), section 3.5.
    """
    differentiable = images.requires_grad and not images.is_inference()
    with torch.inference_mode(mode=False), torch.enable_grad():
        if not differentiable:
            images, logits = images.detach().clone().requires_grad_(), None
        if logits is None or not logits.requires_grad:
            logits = model(images.clone())  # on which a network may write
        (gradient,) = torch.autograd.grad(_read(logits, readout).sum(), images, create_graph=differentiable)
    return gradient


def _read(logits: Tensor, readout: Readout) -> Tensor:
    if readout == "sum":
        return logits.sum(1)
    best = logits.topk(2, 1).values
    return best[:, 0] if readout == "predicted" else best[:, 0] - best[:, 1]
