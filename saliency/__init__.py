"""Saliency maps: the learnt model of Dabkowski & Gal, gradients, and the standard methods."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
