"""The loader of checkpoints, offered here beside the classes that it builds."""

from saliency.checkpoints import load

__all__ = ["load"]
