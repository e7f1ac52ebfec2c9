"""Adversarial attacks in pure torch: immutable hyper-parameters, the model comes with the call."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
