"""CIFAR-10, by torchvision's loader."""

from data.torchvision_sets import KNOWN, TorchvisionData


class CIFAR10(TorchvisionData):
    """50,000 + 10,000 colour photographs of 32x32 pixels in ten classes; downloaded where there is internet.

    Args:
        root: Folder that holds `cifar-10-batches-py`, or that it is downloaded to.
        batch_size: Images per batch and process.
        workers: Processes that load; None: none, which is fastest for images in memory.
        splits: disjoint or paper; see `ImageData`.
        train_limit: Use only so many training images; None: all.
        test_limit: Use only so many test images; None: all.
        split_seed: Decides which image falls into which split.

    Reference:
        Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """

    name = "CIFAR10"
    shape, classes = KNOWN[name]
