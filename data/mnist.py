"""MNIST, by torchvision's loader."""

from data.torchvision_sets import KNOWN, TorchvisionData


class MNIST(TorchvisionData):
    """60,000 + 10,000 handwritten digits of 28x28 pixels; downloaded where there is internet.

    Args:
        root: Folder that holds `MNIST/raw`, or that it is downloaded to.
        batch_size: Images per batch and process.
        workers: Processes that load; None: none, which is fastest for images in memory.
        splits: disjoint or paper; see `ImageData`.
        train_limit: Use only so many training images; None: all.
        test_limit: Use only so many test images; None: all.
        split_seed: Decides which image falls into which split.

    Reference:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits" (1998).
    """

    name = "MNIST"
    shape, classes = KNOWN[name]
