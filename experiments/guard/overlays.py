"""Images with their saliency maps laid over them, as PNG files."""

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image
from torch import Tensor
from torch.nn import functional

from attacks.guard import evaluation_mode
from detectors import Detector
from detectors.base import ExplainingDetector
from detectors.explanations import PredictedMap
from experiments.study.maps import relative, strongest
from saliency import jacobian
from saliency.files import write_bytes

_SIDE: Final = 224
"""Least number of pixels on the short side of a shown image."""

_OPACITY: Final = 0.6
"""Opacity of the map over the image."""


class Overlays:
    """Writes the image as the detector saw it, and beside it the image under its map, from dark (0) to yellow (1).

    The map is the detector's own: the learnt one, or the Jacobian. Detectors without one get the gradient of the
    predicted class. Gradients are shown by their absolute value, relative to their maximum.

    Args:
        guard: The detector.
        folder: Gets `<path of the file below the folder of all files>.png`.
        files: All files.
    """

    def __init__(self, guard: Detector, folder: Path, files: Sequence[str]) -> None:
        self.guard = guard
        self.folder = folder
        self._above = os.path.commonpath([Path(file).absolute().parent for file in files])

    def write(self, files: Sequence[str], images: Tensor) -> None:
        """Write one PNG for each file and its image (N, C, H, W) in [0, 1]."""
        for file, image, values in zip(files, images, self._maps(images), strict=True):
            place = os.path.relpath(Path(file).absolute(), self._above)
            write_bytes(self.folder / f"{place}.png", _png(image, values))

    @torch.no_grad()
    def _maps(self, images: Tensor) -> Tensor:
        """Return maps (N, 1, H, W) in [0, 1], on the CPU."""
        seen = images.to(self.guard.device, copy=True)
        with evaluation_mode(self.guard):
            if not isinstance(self.guard, ExplainingDetector):
                return relative(strongest(jacobian(self.guard.classifier, seen, "predicted"))).cpu()
            maps: Tensor = self.guard.explanation(seen)
        return (maps if isinstance(self.guard.explanation, PredictedMap) else relative(strongest(maps))).cpu()


def _png(image: Tensor, values: Tensor) -> bytes:
    """Return an image (C, H, W) beside itself under its map (1, H, W), enlarged by a whole number."""
    colours = torch.from_numpy(colormaps["viridis"](values[0].numpy())[..., :3]).permute(2, 0, 1)
    plain = image.expand(3, -1, -1)
    both = torch.cat([plain, (1 - _OPACITY) * plain + _OPACITY * colours], 2)[None]
    large = functional.interpolate(both, scale_factor=max(1, math.ceil(_SIDE / min(image.shape[1:]))))
    file = io.BytesIO()
    pixels = (large[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
