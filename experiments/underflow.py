"""Whether the Jacobian of the softmax underflows where that of the logits does not (Schut & Gal, section 3.5)."""

from typing import Any, Final

import torch
from scipy import stats
from torch import Tensor, nn

LIMIT: Final = 1000
"""Images that are asked for at most: their share is known well enough then."""


def underflow(model: nn.Module, images: Tensor, device: torch.device, batch_size: int = 64) -> dict[str, Any]:
    """Return on which share of the images the gradient of the largest softmax probability is exactly zero.

    Args:
        model: Logits (N, K), in eval mode, on the device.
        images: (M, C, H, W) in [0, 1]; the first `LIMIT` are used.
        device: Where to compute.
        batch_size: Images at a time.

    Returns:
        n, share with its 95 % Wilson interval (low, high), and share_logit, the same of the largest logit.
    """
    zero: dict[str, list[Tensor]] = {"softmax": [], "logit": []}
    for start in range(0, min(len(images), LIMIT), batch_size):
        batch = images[start : min(start + batch_size, LIMIT)].to(device).requires_grad_()
        logits = model(batch)
        for name, values in {"softmax": logits.softmax(1), "logit": logits}.items():
            (gradient,) = torch.autograd.grad(values.amax(1).sum(), batch, retain_graph=True)
            zero[name].append((gradient == 0).flatten(1).all(1).cpu())
    found = {name: torch.cat(parts) for name, parts in zero.items()}
    count, zeros = len(found["softmax"]), int(found["softmax"].sum())
    ends = stats.binomtest(zeros, count).proportion_ci(method="wilson")
    return {
        "n": count,
        "share": zeros / count,
        "low": float(ends.low),
        "high": float(ends.high),
        "share_logit": found["logit"].double().mean().item(),
    }
