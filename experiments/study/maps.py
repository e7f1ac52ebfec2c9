"""The saliency maps of a run under evaluation, learnt ones and Jacobians, and their distances."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from attacks.guard import evaluation_mode
from experiments.study.batches import in_batches, outputs
from experiments.study.rows import Rows, on_disk
from experiments.study.study import Study
from saliency import SaliencyModel, jacobian
from saliency.similarity import windowed


@dataclass(frozen=True)
class Maps:
    """A kind of saliency map.

    Attributes:
        name: learnt or jacobian.
        title: The name in a sentence.
        scale: The unit of its values, and of distances between maps.
        selected: Whether the map explains a class that can be chosen.
        of: Takes images (N, C, H, W) and classes (N,), None being the predicted ones; returns maps (N, c, H, W) on
            the CPU, not normalised.
        seen: A function from such maps to the images (N, 1, H, W) in [0, 1] that a grid shows.
        shown: The maps as grids show them, in words.
    """

    name: str
    title: str
    scale: str
    selected: bool
    of: Callable[[Tensor, Tensor | None], Tensor]
    seen: Callable[[Tensor], Tensor]
    shown: str


def maps_of(study: Study) -> list[Maps]:
    """Return the kinds of maps of a run: the learnt one, if the run has a saliency model, and the Jacobian."""
    learnt = [] if study.saliency is None else [_learnt(study, study.saliency)]
    return [*learnt, _jacobian(study)]


def over(study: Study, maps: Maps, images: Tensor | Rows, classes: Tensor | None, about: str) -> Rows:
    """Return the maps of many images, (M, c, H, W), made batch by batch under a progress bar and kept on disk.

    Args:
        study: Holds the device and shows the progress.
        maps: The kind of map.
        images: (M, C, H, W).
        classes: (M,), for maps that explain a class; None: the predicted ones.
        about: Text beside the bar, after the kind of map.
    """
    bar: dict[str, Any] = {"progress": study.progress, "about": f"{maps.title}, {about}"}
    parts = outputs(lambda *batch: [maps.of(*batch)], images, classes, device=study.device, **bar)
    return on_disk(part for (part,) in parts)


def distance(first: Tensor | Rows, second: Tensor | Rows) -> Tensor:
    """Return the L2 distances (N,) of maps (N, c, H, W), over all their values, in float64."""
    return _pairwise(lambda one, two: (one.double() - two.double()).flatten(1).norm(dim=1), first, second)


def cosine(first: Tensor | Rows, second: Tensor | Rows) -> Tensor:
    """Return the cosine similarities (N,) of maps (N, c, H, W), in float64; 1 for two empty ones, 0 for one."""

    def of(one: Tensor, two: Tensor) -> Tensor:
        one, two = (functional.normalize(maps.double().flatten(1), dim=1) for maps in (one, two))
        both_empty = (one == 0).all(1) & (two == 0).all(1)
        return (one * two).sum(1).masked_fill(both_empty, 1.0)

    return _pairwise(of, first, second)


def structure(first: Tensor | Rows, second: Tensor | Rows) -> Tensor:
    """Return the structural similarities (N,) of maps (N, 1, H, W) in [0, 1]."""
    return _pairwise(lambda one, two: windowed(one, two, 1.0), first, second)


def _pairwise(measure: Callable[[Tensor, Tensor], Tensor], first: Tensor | Rows, second: Tensor | Rows) -> Tensor:
    """Return a measure (N,) of pairs of maps, batch by batch: in float64 all at once would not fit everywhere."""
    if len(first) == 0:
        return torch.empty(0, dtype=torch.float64)
    return in_batches(measure, first, second, device=torch.device("cpu"))


def relative(maps: Tensor) -> Tensor:
    """Return non-negative maps (N, c, H, W), each divided by its maximum; an empty one stays empty."""
    most = maps.amax((1, 2, 3), keepdim=True)
    return maps / torch.where(most > 0, most, 1)


def strongest(maps: Tensor) -> Tensor:
    """Return the largest absolute value over the channels, (N, 1, H, W), of maps (N, c, H, W)."""
    return maps.abs().amax(1, keepdim=True)


def _learnt(study: Study, saliency: SaliencyModel) -> Maps:
    @torch.no_grad()
    def of(images: Tensor, classes: Tensor | None) -> Tensor:
        chosen = None if classes is None else classes.to(study.device)
        with evaluation_mode(saliency, study.classifier):
            maps: Tensor = saliency(study.classifier, images.to(study.device), chosen)
        return maps.cpu()

    return Maps(
        name="learnt",
        title="learnt maps",
        scale="values in [0, 1], L2 over the pixels",
        selected=True,
        of=of,
        seen=lambda maps: maps,
        shown="dark is 0, yellow 1",
    )


def _jacobian(study: Study) -> Maps:
    def of(images: Tensor, _: Tensor | None) -> Tensor:
        with evaluation_mode(study.classifier):
            return jacobian(study.classifier, images.to(study.device), "sum").cpu()

    return Maps(
        name="jacobian",
        title="Jacobian maps",
        scale="gradient of the sum of the logits, in logits per unit of a pixel value in [0, 1], not normalised; L2 "
        "over pixels and channels",
        selected=False,
        of=of,
        seen=lambda maps: relative(strongest(maps)),
        shown="absolute value, largest of the channels, each from 0 (dark) to its own maximum",
    )
