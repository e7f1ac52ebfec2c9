"""The default L2 budget of a run: the length of its own attack of minimal norm on clean calibration images."""

from collections.abc import Mapping
from typing import Final

import torch

from attacks import DDN, Attack, CarliniWagnerL2, DeepFool, WarmCarliniWagnerL2
from attacks.errors import InputError
from experiments.study.batches import in_batches
from experiments.study.study import Study

_SEVERAL: Final = 100
"""Largest number of calibration images."""

_MINIMAL: Final = (DDN, CarliniWagnerL2, WarmCarliniWagnerL2, DeepFool)
"""Attacks of minimal L2 norm, the preferred ones first."""


def median_l2(study: Study) -> tuple[float, str]:
    """Return the median L2 length by which the run's attack of minimal norm fools the classifier, and words about it.

    Raises:
        ValueError: If that attack fools the classifier on no image.
    """
    name, attack = _minimal(study.run.attacks())
    sample = study.calibration_images(_SEVERAL)

    def lengths(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        report = attack.report(study.classifier, images, labels)
        return report.l2.where(report.success, torch.nan)

    found = in_batches(lengths, sample.images, sample.labels, device=study.device, progress=study.progress, about=name)
    known = found[found > 0].double()
    if not len(known):
        msg = f"{name} fools the classifier on none of {len(found)} clean calibration images: give --epsilon"
        raise InputError(msg)
    return known.median().item(), f" (the median of {name} on {len(known)} clean calibration images)"


def _minimal(attacks: Mapping[str, Attack]) -> tuple[str, Attack]:
    """Return the run's attack of minimal L2 norm, with its name; DDN if it has none."""
    for kind in _MINIMAL:
        for name, attack in attacks.items():
            if type(attack) is kind and not attack.targeted:
                return name, attack
    return "DDN", DDN()
