"""The attacked classifier, the four trained detectors, the training-free ones, and the loader of checkpoints."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
