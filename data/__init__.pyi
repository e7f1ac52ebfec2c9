from .adversarial import AdversarialData
from .batches import Images, Pairs
from .decoding.decode import decode
from .images import ImageData
from .pairs import PairData
from .sources.assira import ASSIRA
from .sources.digits import Digits
from .sources.folder import ImageFolder
from .sources.torchvision_sets import CIFAR10, MNIST, FashionMNIST, Torchvision
from .white_box import WhiteBoxData

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
    "decode",
]
