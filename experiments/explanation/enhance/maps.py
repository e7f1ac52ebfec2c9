"""The adversarial images' maps that more than one part needs, each made once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from torch import Tensor

from experiments.explanation.enhance.methods import PLAIN, enhanced_of
from experiments.explanation.enhance.setting import Setting
from saliency import Gradient, GuidedBackprop, IntegratedGradients, SaliencyMethod, SmoothGrad
from saliency.maps import runner_up

BASES: Final[Mapping[str, SaliencyMethod]] = {
    PLAIN: GuidedBackprop(),
    "gradient": Gradient(),
    "smoothgrad": SmoothGrad(),
    "integrated_gradients": IntegratedGradients(),
}
"""Methods that are enhanced; one that was given under such a name is taken in its place."""

OWN_BASE: Final = "base of the enhanced"
"""Name of what the studied enhanced method is made of."""

Explained = Literal["predicted", "rival", "true"]
"""Which class: the one that the image is mistaken for, the runner-up, or the one that it is."""


class Maps:
    """Attributions of the adversarial images.

    Args:
        setting: The images, and the methods.

    Attributes:
        rivals: (n,), the class with the second largest logit.
    """

    def __init__(self, setting: Setting) -> None:
        every = setting.explained
        self._explained = replace(every, methods={**BASES, **every.methods, OWN_BASE: enhanced_of(every).base})
        self._images = setting.adversarial.images
        self.rivals = runner_up(setting.adversarial.logits, setting.adversarial.predictions)
        self._classes = {
            "predicted": setting.adversarial.predictions,
            "rival": self.rivals,
            "true": setting.labels,
        }
        self._kept: dict[tuple[str, str], Tensor] = {}

    def adversarial(self, name: str, explained: Explained = "predicted") -> Tensor:
        """Return a method's attributions (n, C or 1, H, W); those of `BASES` are kept.

        Args:
            name: Of the method.
            explained: The class.
        """
        if (name, explained) in self._kept:
            return self._kept[name, explained]
        found = self._explained.attributions(name, self._images, self._classes[explained], f"adversarial, {explained}")
        if name in BASES:
            self._kept[name, explained] = found
        return found
