"""Controls of the detection matrix whose answer is known (PROTOCOL A5), and the underflow of the softmax."""

from typing import Any, Final

import torch
from scipy import stats
from torch import Tensor, nn

from detectors import ID, metrics
from detectors.scoring import scores
from experiments.results.result import Table
from experiments.results.text import cell
from experiments.study.contenders import Contender
from experiments.study.study import Study

REPEATS: Final = 10
"""Permutations, and untrained networks."""

LIMIT: Final = 1000
"""Test images that the controls look at, at most."""


def control_table(study: Study, field: list[Contender]) -> Table:
    """Return the AUROC of a constant score, of permuted labels and of untrained networks, under each attack.

    Args:
        study: Of the run.
        field: The detectors; the labels of the first one's scores are permuted.
    """
    clean = study.images.clean[:LIMIT]
    untrained = _untrained(study)
    lines: dict[str, list[str]] = {"constant score": [], f"permuted labels, {_name(field[0])}": [], "untrained id": []}
    constant, permuted, random = lines.values()
    of_clean = [scores(each, clean, study.device) for each in untrained]
    for name in study.progress.track(study.attacks, description="controls"):
        under = study.under(name)
        twins = under.adversarial[:LIMIT]
        constant.append(cell(metrics.auroc(torch.zeros(len(clean)), torch.zeros(len(clean)))))
        first, second = (study.images.scores(field[0].module, each)[:LIMIT] for each in (None, under))
        permuted.append(_range([_permuted(first, second, seed) for seed in range(REPEATS)]))
        found = [scores(each, twins, study.device) for each in untrained]
        random.append(_range([metrics.auroc(a, b) for a, b in zip(of_clean, found, strict=True)]))
    return Table(
        title="Controls: AUROC where there is nothing to be learnt",
        header=["control", *study.attacks],
        rows=[[name, *values] for name, values in lines.items()],
        note=f"Smallest to largest of {REPEATS}. A constant score and permuted labels (of each pair, which one is "
        "called adversarial) must lie around .5; an untrained network need not: it is a random function of the image.",
    )


def _untrained(study: Study) -> list[ID]:
    """Return networks of different seeds as they are before training; the global random state stays as it is."""
    found = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(REPEATS):
            torch.manual_seed(seed)
            found.append(ID(study.classifier).to(study.device).eval())
    return found


def _permuted(clean: Tensor, adversarial: Tensor, seed: int) -> float | None:
    """Return the AUROC where half of the pairs, at random, have changed places."""
    generator = torch.Generator().manual_seed(seed)
    swapped = torch.randint(0, 2, clean.shape, generator=generator).bool()
    return metrics.auroc(torch.where(swapped, adversarial, clean), torch.where(swapped, clean, adversarial))


def _range(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):.3f} to {max(known):.3f}" if known else cell(None)


def _name(contender: Contender) -> str:
    return f"{contender.name} {contender.trained_on or ''}".strip()


UNDERFLOW_IMAGES: Final = 1000
"""Images that are asked for at most: their share is known well enough then."""


def underflow(model: nn.Module, images: Tensor, device: torch.device, batch_size: int = 64) -> dict[str, Any]:
    """Return on which share of the images the gradient of the largest softmax probability is exactly zero.

    Args:
        model: Logits (N, K), in eval mode, on the device.
        images: (M, C, H, W) in [0, 1]; the first `UNDERFLOW_IMAGES` are used.
        device: Where to compute.
        batch_size: Images at a time.

    Returns:
        n, share with its 95 % Wilson interval (low, high), and share_logit, the same of the largest logit.
    """
    zero: dict[str, list[Tensor]] = {"softmax": [], "logit": []}
    for start in range(0, min(len(images), UNDERFLOW_IMAGES), batch_size):
        batch = images[start : min(start + batch_size, UNDERFLOW_IMAGES)].to(device).requires_grad_()
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
