"""Controls of the detection matrix with a known result (PROTOCOL A5), and the underflow of the softmax."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from data.store.identity import of_tensor
from detectors import ID, metrics
from experiments.results.bootstrap import clopper_pearson
from experiments.study.batches import batches, detector_scores
from experiments.study.contenders import Contender
from experiments.study.study import Study

REPEATS: Final = 10
"""The number of permutations, and of untrained networks."""

LIMIT: Final = 1000
"""The largest number of test images in the controls."""

UNDERFLOW_IMAGES: Final = 1000
"""The largest number of images whose gradients are computed."""


def control_areas(study: Study, contender: Contender) -> dict[str, list[list[float | None]]]:
    """Return the AUROCs under every attack of a constant score, permuted labels and untrained networks."""
    clean, untrained = study.images.clean[:LIMIT], _untrained(study)
    constant = torch.zeros(len(clean))
    before = _scores(study, untrained, clean)
    first = study.images.scores(contender.module)[:LIMIT]
    name = f"permuted labels, {contender.name} {contender.trained_on or ''}".strip()
    areas: dict[str, list[list[float | None]]] = {"constant score": [], name: [], "untrained id": []}
    for attack in study.progress.track(study.attacks, description="controls"):
        under = study.under(attack)
        second = study.images.scores(contender.module, under)[:LIMIT]
        after = _scores(study, untrained, under.adversarial[:LIMIT])
        areas["constant score"].append([metrics.auroc(constant, constant)])
        areas[name].append([_permuted(first, second, seed) for seed in range(REPEATS)])
        areas["untrained id"].append([metrics.auroc(*pair) for pair in zip(before, after, strict=True)])
    return areas


def _untrained(study: Study) -> list[ID]:
    """Return networks of different seeds as they are before training; the global random state stays as it is."""
    networks = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(REPEATS):
            torch.manual_seed(seed)
            networks.append(ID(study.classifier).to(study.device).eval())
    return networks


def _scores(study: Study, networks: Sequence[nn.Module], images: Tensor) -> list[Tensor]:
    """Return the scores (n,) of each network, kept in one file."""

    def made() -> dict[str, Tensor]:
        return {str(seed): detector_scores(network, images, study.device) for seed, network in enumerate(networks)}

    return list(study.images.kept(networks, of_tensor(images), len(images), made).values())


def _permuted(clean: Tensor, adversarial: Tensor, seed: int) -> float | None:
    """Return the AUROC with clean and adversarial scores exchanged in a random half of the pairs."""
    generator = torch.Generator().manual_seed(seed)
    swapped = torch.randint(0, 2, clean.shape, generator=generator).bool()
    return metrics.auroc(torch.where(swapped, adversarial, clean), torch.where(swapped, clean, adversarial))


def underflow(model: nn.Module, images: Tensor, device: torch.device, batch_size: int = 64) -> dict[str, Any]:
    """Return the share of images on which the gradient of the largest softmax probability is exactly zero.

    Computed on the first `UNDERFLOW_IMAGES` images (M, C, H, W) in [0, 1]. The record has n, the share with its 95 %
    interval (low, high), and share_logit, the share for the largest logit.
    """
    zero: dict[str, list[Tensor]] = {"softmax": [], "logit": []}
    for (part,) in batches(images[:UNDERFLOW_IMAGES], device=device, size=batch_size):
        batch = part.requires_grad_()
        logits = model(batch)
        for name, values in {"softmax": logits.softmax(1), "logit": logits}.items():
            (gradient,) = torch.autograd.grad(values.amax(1).sum(), batch, retain_graph=True)
            zero[name].append((gradient == 0).flatten(1).all(1).cpu())
    softmax, logit = (torch.cat(parts) for parts in zero.values())
    ends = clopper_pearson(softmax.double().mean().item(), len(softmax))
    return {
        "n": len(softmax),
        "share": ends.value,
        "low": ends.low,
        "high": ends.high,
        "share_logit": logit.double().mean().item(),
    }
