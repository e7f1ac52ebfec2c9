"""Checkpoints of small untrained detectors with thresholds, and a folder of files."""

import pytest
import torch

from detectors import ID, JSD, SMD, SPD
from saliency.checkpoints import save
from tests.data.pictures import write
from tests.fixtures import SHAPE


@pytest.fixture
def checkpoint(tmp_path, classifier, saliency):
    """Return a function that saves a detector by its name, calibrated by clean scores, and returns it and its file."""

    def made(name="id", clean=None, **extra):
        torch.manual_seed(1)
        kinds = {"id": ID, "jsd": JSD, "smd": SMD, "spd": SPD}
        parts = (classifier, saliency) if name in {"smd", "spd"} else (classifier,)
        detector = kinds[name](*parts).eval()
        detector.calibrate(detector.scores(torch.rand(40, *SHAPE)) if clean is None else clean)
        save(detector, tmp_path / f"{name}.ckpt", **extra)
        return detector, str(tmp_path / f"{name}.ckpt")

    return made


@pytest.fixture
def photos(tmp_path):
    """A folder with images of several kinds and sizes, one of them below a sub-folder, and files that are no images."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(["b.png", "a.jpg", "deep/er/c.webp", "small.png"]):
        write(folder / name, seed, size=(12, 12) if name.startswith("small") else (40, 30))
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image either")
    return folder
