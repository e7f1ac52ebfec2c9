from . import published
from .base import Detector
from .baselines import Disagreement, MaskArea, MaxSoftmax, SecondOpinion
from .classifier import Classifier
from .efficientnet_lite import EfficientNetLite0
from .guard import Verdict
from .loading import load
from .networks import ConvNet
from .pretrained import from_pretrained, save_pretrained
from .representations import ID, JSD, SMD, SPD
from .residual import ResidualNet
from .thresholded import Thresholded
from .torchvision_networks import TorchvisionNetwork
from .wrapped import WrappedNetwork

__all__ = [
    "ID",
    "JSD",
    "SMD",
    "SPD",
    "Classifier",
    "ConvNet",
    "Detector",
    "Disagreement",
    "EfficientNetLite0",
    "MaskArea",
    "MaxSoftmax",
    "ResidualNet",
    "SecondOpinion",
    "Thresholded",
    "TorchvisionNetwork",
    "Verdict",
    "WrappedNetwork",
    "from_pretrained",
    "load",
    "published",
    "save_pretrained",
]
