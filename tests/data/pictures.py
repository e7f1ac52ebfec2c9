"""Image files that tests write: made-up pictures in folders."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed, size=(20, 16)):
    """Return a picture (H, W, 3) of smooth colours, that survives JPEG and scaling; size is (width, height)."""
    small = np.random.default_rng(seed).integers(256, size=(3, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def write(path, seed=0, size=(20, 16), **options):
    """Write a picture under the path, whose ending decides the format."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, size)).save(path, **options)
    return path


def write_classes(folder, names=("a", "b"), count=20, ending="png", first=0):
    """Write so many pictures into a sub-folder per class."""
    for index, name in enumerate(names):
        for number in range(count):
            write(Path(folder) / name / f"{number:02}.{ending}", seed=first + 1000 * index + number)
    return str(folder)
