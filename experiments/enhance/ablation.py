"""Which method is enhanced, and how maps are normalised before one is subtracted from the other."""

from dataclasses import dataclass
from typing import Final, get_args

from experiments.enhance.maps import BASES, Maps
from experiments.enhance.measured import curve
from experiments.enhance.setting import Setting
from experiments.enhance.statistics import Recovery
from saliency.maps import enhance
from saliency.maps.enhanced import Normalisation
from saliency.maps.reduction import reduce

NORMALISATIONS: Final[tuple[Normalisation, ...]] = get_args(Normalisation)


@dataclass(frozen=True)
class Ablated:
    """A method, enhanced or not.

    Attributes:
        base: Its name.
        normalisation: Of its maps; None: it is not enhanced. All are reduced by the l1 norm over the channels.
        recovered: Accuracy on the adversarial images.
        overlapping: How many values the map of the class and its rival, and that of the rival and the class, share.
    """

    base: str
    normalisation: Normalisation | None
    recovered: Recovery
    overlapping: int = 0


def ablate(setting: Setting, maps: Maps) -> list[Ablated]:
    """Return every base without and with each normalisation.

    Args:
        setting: The images.
        maps: Of these.
    """
    found = []
    for base in BASES:
        explained, rival = maps.adversarial(base), maps.adversarial(base, "rival")
        plain = curve(setting, setting.adversarial, reduce(explained, "l1"), setting.fill, base)
        found.append(Ablated(base, None, plain))
        for normalisation in NORMALISATIONS:
            enhanced, reverse = (enhance(*pair, normalisation) for pair in ((explained, rival), (rival, explained)))
            about = f"{base}, {normalisation}"
            recovered = curve(setting, setting.adversarial, reduce(enhanced, "l1"), setting.fill, about)
            found.append(Ablated(base, normalisation, recovered, int(((enhanced > 0) & (reverse > 0)).sum())))
    return found
