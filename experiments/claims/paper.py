"""The paper's claims, each with its rule and the protocols that it needs; all verdicts are computed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from experiments.claims.detection_rules import (
    JACOBIAN,
    compared,
    follows_size,
    id_at_ceiling,
    real_time,
    shift,
    threshold,
    underflow,
)
from experiments.claims.evidence import EQUIVALENT, FOUR, Judged, Reports
from experiments.claims.white_box_rules import RIGHT, longer, mix, under_attack
from experiments.results.levels import DETECTED, SEEDS
from experiments.results.verdicts import FEWEST, Claim, settle
from experiments.white_box.records import AFTER, BEFORE

JUDGED: Final = ("transfer", "strength", "shift", "threshold", "speed", "white-box")
"""The protocols that claims are judged from."""

_MASKS: Final = ("spd", "smd")


@dataclass(frozen=True)
class PaperClaim:
    """A claim of the paper, or a question of this project's own.

    Attributes:
        number: The number in the paper's list, or a letter.
        protocols: Those that it is judged from.
        rule: Takes the reports.
        needs: The smallest number of images, seeds and so on that it is decided from.
    """

    number: str
    protocols: Sequence[str]
    rule: Callable[[Reports], Judged]
    needs: Mapping[str, int]
    text: str

    def judged(self, reports: Reports) -> Claim:
        """Return the claim with its verdict, and the numbers or the reason why they are missing."""
        missing = next((f"`evaluate.py {name}` was not run" for name in self.protocols if name not in reports), None)
        evidence = missing or self.rule(reports)
        if isinstance(evidence, str):
            return Claim(self.number, self.text, "not decided", evidence)
        counts = {**_counts([reports[name]["meta"] for name in self.protocols]), **evidence.counts}
        return settle(Claim(self.number, self.text, evidence.verdict, ""), replace(evidence, counts=counts), self.needs)


def judge(reports: Reports) -> list[Claim]:
    """Return all claims with their verdicts; one whose protocol was not run is not decided."""
    return [claim.judged(reports) for claim in _CLAIMS]


def _counts(metas: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the fewest images and seeds in the results of protocols."""
    images = [meta.get("attacked_images", meta.get("test_images")) for meta in metas]
    seeds = [len(meta.get("attacked_seeds", meta.get("seeds", []))) for meta in metas]
    return {"seeds": min(seeds)} | ({} if None in images else {"images": min(images)})


_OTHERS: Final = "{}, from FGSM to other attacks, above " + str(DETECTED)

_best = partial(compared, above=[f"spd - {name}, unseen attacks" for name in ("smd", "id", "jsd")], noise=["spd"])
_weak_to_strong = partial(
    compared, above=[_OTHERS.format("spd")], below=[_OTHERS.format("id"), _OTHERS.format("jsd")], noise=["spd"]
)
_jacobian = partial(
    compared,
    below=[JACOBIAN],
    level=EQUIVALENT,
    ending=f"; better means by more than {EQUIVALENT}",
    doubts=id_at_ceiling,
)
_sparse = partial(compared, below=[f"{name}, JSMA - other attacks" for name in FOUR])
_families = partial(compared, above=["same family of norms - another, attacks not trained on"])
_learnt = partial(compared, above=[f"{name} - disagreement, unseen attacks" for name in _MASKS], noise=_MASKS)
_selector = partial(compared, above=[f"{name} - {name} (true label), all attacks" for name in _MASKS])
_all_fall = partial(under_attack, phase=BEFORE, falls=dict.fromkeys(FOUR, True))
_spd_robust = partial(under_attack, phase=AFTER, falls={"spd": False, "smd": True})

_IMAGES: Final = {"images": FEWEST}
_DETECTORS: Final = {**_IMAGES, "seeds": SEEDS}
_ATTACKED: Final = {RIGHT: FEWEST, "seeds": SEEDS}
_PAIRS: Final = {**_IMAGES, "pairs": FEWEST}
_TIMES: Final = {"timed runs": FEWEST}
_RANKS: Final = {**_DETECTORS, "attacks": 5}
"""Of four attacks no order has a p below .05."""

_TRANSFER, _WHITE_BOX = ("transfer",), ("white-box",)

_CLAIMS: Final = (
    PaperClaim(
        "1",
        ("shift",),
        shift,
        _PAIRS,
        "Maps of a natural image and of its adversarial image differ as much as those of different images",
    ),
    PaperClaim(
        "2a",
        _TRANSFER,
        _best,
        _DETECTORS,
        "SPD detects attacks that it was not trained on better than SMD, ID and JSD",
    ),
    PaperClaim(
        "2b",
        _TRANSFER,
        _weak_to_strong,
        _DETECTORS,
        "Trained on the weak FGSM, SPD detects other attacks; ID and JSD do not",
    ),
    PaperClaim("3", _TRANSFER, _jacobian, _DETECTORS, "JSD is no better than ID: the Jacobian adds nothing"),
    PaperClaim("4", _TRANSFER, _sparse, _DETECTORS, "All detectors are worse on JSMA"),
    PaperClaim(
        "5",
        ("threshold",),
        threshold,
        _DETECTORS | _PAIRS,
        "ID and JSD fail below a perturbation size, SPD and SMD do not",
    ),
    PaperClaim(
        "6a", _WHITE_BOX, _all_fall, _ATTACKED, "White-box attacks win more than half of the images on every detector"
    ),
    PaperClaim("6b", _WHITE_BOX, _spd_robust, _ATTACKED, "Retrained against them, SPD is robust and SMD is not"),
    PaperClaim("7", ("speed",), real_time, _TIMES, "The learnt saliency is cheap enough for real time"),
    PaperClaim("8", _WHITE_BOX, longer, _ATTACKED, "More than five iterations of the white-box attack do not help it"),
    PaperClaim("9", _WHITE_BOX, mix, _ATTACKED, "Alternating between classifier and detector beats Metzen's mix"),
    PaperClaim(
        "10", _TRANSFER, underflow, _IMAGES, "The Jacobian of the softmax underflows, that of the logits does not"
    ),
    PaperClaim(
        "11", ("transfer", "strength"), follows_size, _RANKS, "Detection follows the perturbation's L2 and L-inf"
    ),
    PaperClaim("12", _TRANSFER, _families, _DETECTORS, "Detectors transfer within a family of norms"),
    PaperClaim(
        "A", _TRANSFER, _learnt, _DETECTORS, "The learnt detectors SPD and SMD beat the training-free disagreement"
    ),
    PaperClaim(
        "B",
        _TRANSFER,
        _selector,
        _DETECTORS,
        "SPD and SMD depend on the predicted class as selector: with the true label they detect less",
    ),
)

JUDGED_FROM: Final = {claim.number: claim.protocols for claim in _CLAIMS}
"""The protocols that each claim is judged from, by its number."""
