from .adapter import Advertorch
from .apgd import APGD
from .base import Attack, AttackResult
from .carlini_wagner import CarliniWagnerL2
from .ddn import DDN
from .deepfool import DeepFool
from .fmn import FMN
from .gradient import BIM, FGSM, MIM, PGD
from .hop_skip_jump import HopSkipJump
from .jsma import JSMA, GreedyL0
from .localized import LocalizedBIM
from .one_of import OneOf
from .quantised import Quantised
from .warm_start import WarmCarliniWagnerL2
from .white_box.alternating import Alternating
from .white_box.apgd import HingedAPGD
from .white_box.ddn import JointDDN
from .white_box.estimation import Estimation
from .white_box.expectation import Expectation
from .white_box.fmn import JointFMN
from .white_box.hinged import HingedPGD
from .white_box.joint import Joint, JointLoss
from .white_box.lagrangian import LagrangianPGD
from .white_box.matching import Matching
from .white_box.projected import OrthogonalPGD, SelectivePGD
from .white_box.square import Square
from .white_box.straight_through import StraightThrough
from .white_box.textured import Textured
from .white_box.transfer import Transfer

__all__ = [
    "APGD", "BIM", "DDN", "FGSM", "FMN", "JSMA", "MIM", "PGD", "Advertorch", "Alternating", "Attack", "AttackResult",
    "CarliniWagnerL2", "DeepFool", "Estimation", "Expectation", "GreedyL0", "HingedAPGD", "HingedPGD", "HopSkipJump",
    "Joint", "JointDDN", "JointFMN", "JointLoss", "LagrangianPGD", "LocalizedBIM", "Matching", "OneOf", "OrthogonalPGD",
    "Quantised", "SelectivePGD", "Square", "StraightThrough", "Textured", "Transfer", "WarmCarliniWagnerL2",
]  # fmt: skip
