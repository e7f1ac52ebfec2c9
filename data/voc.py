"""Pascal VOC's photographs with objects of several classes, as images of a classifier that knows some of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import torch
from torchvision.datasets import VOCDetection

from data.composites import MultiLabel
from data.decoding import LazyPixels

SYNONYMS: Final = {"aeroplane": "airplane", "car": "automobile", "boat": "ship", "motorbike": "motorcycle"}
"""What other sets call VOC's classes."""

_YEAR: Final = "2012"


def read_voc(root: Path, shape: tuple[int, int, int], class_names: Sequence[str], count: int) -> MultiLabel:
    """Return validation photographs of VOC 2012 with objects of at least two classes that a classifier knows.

    A photograph is scaled and cut to its centre like any other; an object counts if the middle of its box is left.

    Args:
        root: Of torchvision.datasets.VOCDetection: holds VOCdevkit/VOC2012.
        shape: (C, H, W) of the images wanted.
        class_names: Of the classifier, by class; compared without case, and by `SYNONYMS`.
        count: At most so many photographs, the first by name.

    Raises:
        FileNotFoundError: If the set is not there.
        ValueError: If no photograph has two of the classes, or an annotation cannot be read; names it.
    """
    try:
        photographs = VOCDetection(str(root), year=_YEAR, image_set="val")
    except (RuntimeError, FileNotFoundError) as error:
        msg = (
            f"Pascal VOC {_YEAR} is not in {root}: give the folder that holds VOCdevkit/VOC{_YEAR} with JPEGImages, "
            "Annotations and ImageSets, or leave --voc away"
        )
        raise FileNotFoundError(msg) from error
    known = {name.lower(): number for number, name in enumerate(class_names)}
    found: list[tuple[str, tuple[int, ...]]] = []
    for path, annotation in zip(photographs.images, photographs.annotations, strict=True):
        classes = _read(str(annotation), known, shape[2] / shape[1])
        if len(classes) > 1:
            found.append((str(path), classes))
        if len(found) == count:
            break
    if not found:
        msg = (
            f"no photograph of Pascal VOC in {root} shows two classes of the classifier, which are "
            f"{', '.join(class_names)}: give a classifier that knows VOC's classes, or leave --voc away"
        )
        raise ValueError(msg)
    pixels = LazyPixels([path for path, _ in found], shape)
    return MultiLabel(pixels[torch.arange(len(found))].float() / 255, tuple(classes for _, classes in found))


def _read(annotation: str, known: Mapping[str, int], aspect: float) -> tuple[int, ...]:
    try:
        return _classes(ElementTree.parse(annotation).getroot(), known, aspect)  # noqa: S314 - the user's own files
    except (ElementTree.ParseError, ValueError) as error:
        msg = f"the annotation {annotation} is not Pascal VOC's XML ({error}): unpack the data set again"
        raise ValueError(msg) from error


def _classes(annotation: ElementTree.Element, known: Mapping[str, int], aspect: float) -> tuple[int, ...]:
    """Return the sorted known classes of the objects whose middle is left when a photograph is cut."""
    width, height = (float(annotation.findtext(f"size/{name}", "nan")) for name in ("width", "height"))
    kept = min(width, height * aspect), min(height, width / aspect)
    found = set()
    for each in annotation.iterfind("object"):
        name = each.findtext("name", "").lower()
        label = known.get(name, known.get(SYNONYMS.get(name, name)))
        box = {side: float(each.findtext(f"bndbox/{side}", "nan")) for side in ("xmin", "xmax", "ymin", "ymax")}
        across = abs(box["xmin"] + box["xmax"] - width) <= kept[0]
        down = abs(box["ymin"] + box["ymax"] - height) <= kept[1]
        if label is not None and across and down:
            found.add(label)
    return tuple(sorted(found))
