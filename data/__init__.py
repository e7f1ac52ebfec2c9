"""Data modules: images in four disjoint splits, and adversarial pairs of them."""

from data.adversarial import AdversarialData
from data.batches import Images, Pairs
from data.digits import Digits
from data.images import ImageData
from data.mnist import MNIST

__all__ = ["MNIST", "AdversarialData", "Digits", "ImageData", "Images", "Pairs"]
