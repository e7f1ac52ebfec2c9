"""Data modules: images in four disjoint splits, and adversarial pairs of them."""

from data.adversarial import AdversarialData
from data.assira import ASSIRA
from data.batches import Images, Pairs
from data.cifar10 import CIFAR10
from data.digits import Digits
from data.folder import ImageFolder
from data.images import ImageData
from data.mnist import MNIST
from data.pair_data import PairData
from data.torchvision_sets import FashionMNIST, Torchvision
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
