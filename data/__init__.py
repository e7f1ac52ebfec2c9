"""Data modules: images in four disjoint splits, and adversarial pairs of them."""

from data.adversarial import AdversarialData
from data.batches import Images, Pairs
from data.images import ImageData
from data.pairs import PairData
from data.sources.assira import ASSIRA
from data.sources.digits import Digits
from data.sources.folder import ImageFolder
from data.sources.torchvision_sets import CIFAR10, MNIST, FashionMNIST, Torchvision
from data.white_box import WhiteBoxData

__all__ = [
    "ASSIRA",
    "CIFAR10",
    "MNIST",
    "AdversarialData",
    "Digits",
    "FashionMNIST",
    "ImageData",
    "ImageFolder",
    "Images",
    "PairData",
    "Pairs",
    "Torchvision",
    "WhiteBoxData",
]
