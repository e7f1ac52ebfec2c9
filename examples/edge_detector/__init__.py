r"""A package with a detector of its own: importing it is all that registers it.

    python train.py fit --config configs/mnist/id.yaml --model examples.edge_detector.Edges \
        --trainer.default_root_dir FOLDER
    python evaluate.py scan --imports "[examples.edge_detector]" --detector FOLDER/model.ckpt images/

A package outside of this repository works the same, once it is installed or in PYTHONPATH.
"""

from examples.edge_detector.detector import Edges

__all__ = ["Edges"]
