"""The gradient of a classifier's logits with respect to the image, JSD's saliency map."""

import copy
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from attacks.errors import InputError

Readout = Literal["sum", "predicted", "margin"]


def jacobian(model: nn.Module, images: Tensor, readout: Readout = "sum", logits: Tensor | None = None) -> Tensor:
    r"""Return the gradient of a scalar readout of the logits, as large as the images.

    Args:
        model: Gives logits (N, K); may be frozen.
        images: (N, C, H, W) in [0, 1]. If they require gradients, the result is differentiable in them (and for
            networks of ReLU and max pooling its derivative is exactly zero almost everywhere).
        readout: sum: :math:`\sum_k z_k`, as the paper's authors coded it; predicted: :math:`z_c` of the predicted
            class c; margin: :math:`z_c` minus the runner-up.
        logits: The model's logits on exactly these images, if they are known and recorded their gradient. Attention in
            them needs `SDPBackend.MATH` if the result shall be differentiated: other kernels have no second derivative.

    Returns:
        (N, C, H, W), detached unless the images require gradients.

    Raises:
        ValueError: If no gradient leads from the logits to the images.

    Reference: Zhang et al., "Detecting Adversarial Perturbations with Saliency", arXiv 1803.08773; logits in place of
    the softmax as in Schut & Gal (2020), section 3.5.
    """
    differentiable = images.requires_grad and not images.is_inference()
    with torch.inference_mode(mode=False), torch.enable_grad():
        if not differentiable:
            images, logits = images.detach().clone().requires_grad_(), None
        if logits is None or not logits.requires_grad:
            with sdpa_kernel(SDPBackend.MATH) if differentiable else nullcontext():
                logits = model(images.clone())  # on which a network may write
        gradient: Tensor | None = None
        if logits.requires_grad:
            value = _read(logits, readout).sum()
            (gradient,) = torch.autograd.grad(value, images, create_graph=differentiable, allow_unused=True)
    if gradient is None:
        msg = "no gradient leads from the logits to the images (no_grad, detach in the network?): there is no Jacobian"
        raise InputError(msg)
    return gradient


def _read(logits: Tensor, readout: Readout) -> Tensor:
    if readout == "sum":
        return logits.sum(1)
    best = logits.topk(2, 1).values
    return best[:, 0] if readout == "predicted" else best[:, 0] - best[:, 1]


BETA = 10.0
"""Sharpness of the softplus; as it grows, the copy becomes the network itself."""


def softplus_copy(model: nn.Module, beta: float = BETA) -> nn.Module | None:
    r"""Return the model with every `nn.ReLU` replaced by :math:`\log(1 + e^{\beta x}) / \beta`.

    The gradient of a network of ReLU and max pooling is piecewise constant, its derivative exactly zero; the copy's is
    not. Parameters and buffers are the model's own, not copies. None if the model has no `nn.ReLU` module (functional
    ones cannot be replaced).
    """
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    if not any(type(part) is nn.ReLU for part in model.modules()):
        return None
    smooth = copy.deepcopy(model, shared)
    for part in list(smooth.modules()):
        for name, child in part._modules.items():  # noqa: SLF001 - named_children passes over a module's second use
            if type(child) is nn.ReLU:
                part._modules[name] = nn.Softplus(beta)  # noqa: SLF001
    return smooth
