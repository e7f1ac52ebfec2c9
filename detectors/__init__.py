"""The attacked classifier, the four trained detectors, the training-free ones, and the loader of checkpoints."""

from detectors import published
from detectors.base import Detector
from detectors.baselines import Disagreement, MaskArea, MaxSoftmax, SecondOpinion
from detectors.classifier import Classifier
from detectors.networks import ConvNet
from detectors.representations import ID, JSD, SMD, SPD
from detectors.thresholded import Thresholded
from detectors.torchvision_networks import TorchvisionNetwork
from detectors.wrapped import WrappedNetwork
from saliency.checkpoints import load

__all__ = [
    "ID",
    "JSD",
    "SMD",
    "SPD",
    "Classifier",
    "ConvNet",
    "Detector",
    "Disagreement",
    "MaskArea",
    "MaxSoftmax",
    "SecondOpinion",
    "Thresholded",
    "TorchvisionNetwork",
    "WrappedNetwork",
    "load",
    "published",
]
