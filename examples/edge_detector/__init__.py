"""A package with a detector of its own: importing it is all that registers it.

    python train.py fit --imports [examples.edge_detector] --model examples.edge_detector.Edges --config ...

A package outside of this repository works the same, once it is installed or in PYTHONPATH.
"""

from examples.edge_detector.detector import Edges

__all__ = ["Edges"]
