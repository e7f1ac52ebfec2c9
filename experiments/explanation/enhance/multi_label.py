"""Images of several classes: of Pascal VOC, or made of two images side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import torch
from torch import Tensor
from torchvision.datasets import VOCDetection

from attacks.errors import InputError
from data.decoding.decode import LazyPixels


@dataclass(frozen=True)
class MultiLabel:
    """Images with several classes.

    Attributes:
        images: (M, C, H, W) in [0, 1].
        classes: The classes in each, at least two different ones.
        source: Where the images come from, in words.
    """

    images: Tensor
    classes: tuple[tuple[int, ...], ...]
    source: str


def several_classes(images: Tensor, labels: Tensor, class_names: Sequence[str], voc: str | None) -> MultiLabel:
    """Return images with several classes: those of Pascal VOC in a folder, else halves of two images side by side.

    Args:
        images: (N, C, H, W) in [0, 1]; photographs are scaled to their size.
        labels: (N,).
        class_names: The classifier's, by class.
        voc: The folder; None: there is none.
    """
    if voc is None:
        return side_by_side(images, labels)
    _, channels, height, width = images.shape
    return read_voc(Path(voc), (channels, height, width), class_names, len(images))


def side_by_side(images: Tensor, labels: Tensor, seed: int = 0) -> MultiLabel:
    """Return images made of the middle halves of two images of different classes, side by side.

    The halves are cropped, not squeezed, so that objects keep their scale. Each image is used at most once, and none if
    all are of one class.

    Args:
        images: (N, C, H, W) in [0, 1].
        labels: (N,).
        seed: Seed of the random pairs.

    Raises:
        ValueError: If the images are narrower than 2 pixels.
    """
    width = images.shape[3]
    if width < 2:  # noqa: PLR2004 - two halves
        msg = f"two objects side by side need images at least 2 pixels wide, got {width}"
        raise InputError(msg)
    left, right = _pairs(labels, seed)
    halves = [_middle(images[left], width // 2), _middle(images[right], width - width // 2)]
    classes = zip(labels[left].tolist(), labels[right].tolist(), strict=True)
    return MultiLabel(torch.cat(halves, 3), tuple(classes), "halves of two images, side by side")


def _middle(images: Tensor, width: int) -> Tensor:
    start = (images.shape[3] - width) // 2
    return images[..., start : start + width]


def _pairs(labels: Tensor, seed: int) -> tuple[list[int], list[int]]:
    """Return rows of disjoint pairs with different labels, matched greedily in a random order."""
    left: list[int] = []
    right: list[int] = []
    waiting: list[int] = []  # all of one label
    for row in torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).tolist():
        if waiting and labels[waiting[0]] != labels[row]:
            left.append(waiting.pop(0))
            right.append(row)
        else:
            waiting.append(row)
    return left, right


SYNONYMS: Final = {"aeroplane": "airplane", "car": "automobile", "boat": "ship", "motorbike": "motorcycle"}
"""What other sets call VOC's classes."""

_YEAR: Final = "2012"


def read_voc(root: Path, shape: tuple[int, int, int], class_names: Sequence[str], count: int) -> MultiLabel:
    """Return validation photographs of VOC 2012 with objects of at least two classes that a classifier knows.

    A photograph is scaled and cropped to its centre. An object counts if the middle of its box remains.

    Args:
        root: The folder that holds VOCdevkit/VOC2012, as for torchvision.datasets.VOCDetection.
        shape: (C, H, W) of the images wanted.
        class_names: The classifier's, by class; compared without case, and by `SYNONYMS`.
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
            "Annotations and ImageSets, or leave out --voc"
        )
        raise FileNotFoundError(msg) from error
    numbers = {name.lower(): number for number, name in enumerate(class_names)}
    several: list[tuple[str, tuple[int, ...]]] = []
    for path, annotation in zip(photographs.images, photographs.annotations, strict=True):
        classes = _read(str(annotation), numbers, shape[2] / shape[1])
        if len(classes) > 1:
            several.append((str(path), classes))
        if len(several) == count:
            break
    if not several:
        msg = (
            f"no photograph of Pascal VOC in {root} shows two classes of the classifier, which are "
            f"{', '.join(class_names)}: give a classifier that knows VOC's classes, or leave out --voc"
        )
        raise InputError(msg)
    images = LazyPixels([path for path, _ in several], shape)[torch.arange(len(several))].float() / 255
    return MultiLabel(images, tuple(classes for _, classes in several), f"Pascal VOC {_YEAR}, validation")


def _read(annotation: str, numbers: Mapping[str, int], aspect: float) -> tuple[int, ...]:
    try:
        return _classes(ElementTree.parse(annotation).getroot(), numbers, aspect)  # noqa: S314 - the user's own files
    except (ElementTree.ParseError, ValueError) as error:
        msg = f"the annotation {annotation} is not Pascal VOC's XML ({error}): unpack the data set again"
        raise InputError(msg) from error


def _classes(annotation: ElementTree.Element, numbers: Mapping[str, int], aspect: float) -> tuple[int, ...]:
    """Return the sorted known classes of the objects whose middle remains in the crop."""
    width, height = (float(annotation.findtext(f"size/{name}", "nan")) for name in ("width", "height"))
    kept = min(width, height * aspect), min(height, width / aspect)
    labels = set()
    for thing in annotation.iterfind("object"):
        name = thing.findtext("name", "").lower()
        label = numbers.get(name, numbers.get(SYNONYMS.get(name, name)))
        box = {side: float(thing.findtext(f"bndbox/{side}", "nan")) for side in ("xmin", "xmax", "ymin", "ymax")}
        across = abs(box["xmin"] + box["xmax"] - width) <= kept[0]
        down = abs(box["ymin"] + box["ymax"] - height) <= kept[1]
        if label is not None and across and down:
            labels.add(label)
    return tuple(sorted(labels))
