"""Controls of the detection matrix whose answer is known (PROTOCOL A5)."""

from typing import Final

import torch
from torch import Tensor

from detectors import ID, metrics
from experiments.results import Table
from experiments.scoring import scores
from experiments.study import Contender, Study
from experiments.tables import cell

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
