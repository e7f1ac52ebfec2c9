"""A smooth twin of a ReLU network: what an attack differentiates twice."""

import copy

from torch import nn

BETA = 10.0
"""Sharpness of the softplus; as it grows the twin becomes the network itself."""


def softplus_twin(model: nn.Module, beta: float = BETA) -> nn.Module | None:
    r"""Return the model with every `nn.ReLU` replaced by :math:`\log(1 + e^{\beta x}) / \beta`.

    The gradient of a network of ReLU and max pooling is piecewise constant, its derivative exactly zero; the twin's is
    not. Parameters and buffers are the model's own, not copies.

    Args:
        model: Any module.
        beta: Sharpness, above 0.

    Returns:
        The twin; None if the model has no `nn.ReLU` module (functional ones cannot be replaced).
    """
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    if not any(type(part) is nn.ReLU for part in model.modules()):
        return None
    twin = copy.deepcopy(model, shared)
    for part in list(twin.modules()):
        for name, child in part._modules.items():  # noqa: SLF001 - named_children passes over a module's second use
            if type(child) is nn.ReLU:
                part._modules[name] = nn.Softplus(beta)  # noqa: SLF001
    return twin
