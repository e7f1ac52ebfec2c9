"""Adversarial attacks in pure torch: immutable hyper-parameters, the model comes with the call."""

from attacks.adapter import Advertorch
from attacks.apgd import APGD
from attacks.base import Attack, AttackResult
from attacks.carlini_wagner import CarliniWagnerL2
from attacks.ddn import DDN
from attacks.deepfool import DeepFool
from attacks.fmn import FMN
from attacks.gradient import BIM, FGSM, MIM, PGD
from attacks.hop_skip_jump import HopSkipJump
from attacks.jsma import JSMA, GreedyL0
from attacks.localized import LocalizedBIM
from attacks.one_of import OneOf
from attacks.quantised import Quantised
from attacks.warm_start import WarmCarliniWagnerL2
from attacks.white_box.alternating import Alternating
from attacks.white_box.apgd import HingedAPGD
from attacks.white_box.ddn import JointDDN
from attacks.white_box.estimation import Estimation
from attacks.white_box.expectation import Expectation
from attacks.white_box.fmn import JointFMN
from attacks.white_box.hinged import HingedPGD
from attacks.white_box.joint import Joint, JointLoss
from attacks.white_box.matching import Matching
from attacks.white_box.projected import OrthogonalPGD, SelectivePGD
from attacks.white_box.square import Square
from attacks.white_box.straight_through import StraightThrough
from attacks.white_box.transfer import Transfer

__all__ = [
    "APGD", "BIM", "DDN", "FGSM", "FMN", "JSMA", "MIM", "PGD", "Advertorch", "Alternating", "Attack", "AttackResult",
    "CarliniWagnerL2", "DeepFool", "Estimation", "Expectation", "GreedyL0", "HingedAPGD", "HingedPGD", "HopSkipJump",
    "Joint", "JointDDN", "JointFMN", "JointLoss", "LocalizedBIM", "Matching", "OneOf", "OrthogonalPGD", "Quantised",
    "SelectivePGD", "Square", "StraightThrough", "Transfer", "WarmCarliniWagnerL2",
]  # fmt: skip
