"""The shown images under every attack with their maps and scores, and how alike the maps of all test images look."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from attacks.guard import evaluation_mode
from detectors.scoring import scores
from experiments.detection.gallery.records import SUBSETS, GalleryRecords, MapKind, ShownImages, likeness_rows
from experiments.results.grids import chosen
from experiments.results.two_samples import Draw, draw
from experiments.study.maps import Maps, cosine, distance, maps_of, over, structure
from experiments.study.metrics import limit
from experiments.study.study import Study


def measure_gallery(study: Study, count: int, pairs: int | None, resamples: int) -> GalleryRecords:
    """Return the records of some test images, and of the likeness of all maps.

    Args:
        study: Gives the run's parts.
        count: Images shown.
        pairs: Pairs compared for each sample, at most; None: all.
        resamples: Of the bootstrap.

    Raises:
        ValueError: If pairs is below 1.
    """
    kinds, settings = maps_of(study), study.run.settings
    dealt = draw(len(study.images.clean), pairs)
    unders = {name: study.under(name) for name in study.attacks}
    fooled = {name: under.subsets["successful"] for name, under in unders.items()}
    before = unders[study.attacks[0]].before
    places = chosen(study.images.labels, before, torch.stack(list(fooled.values())).any(0), count)
    clean_maps = _maps(study, kinds, study.images.clean[places], "clean")
    numbered = [str(number) for number in range(study.data.classes)]
    return GalleryRecords(
        kinds=[MapKind(maps.name, maps.title, maps.scale, maps.shown) for maps in kinds],
        places=places,
        labels=study.images.labels[places],
        classes=getattr(study.data, "class_names", numbered),
        clean=_shown(study, kinds, study.images.clean[places], clean_maps, clean_maps),
        attacked={
            name: _shown(study, kinds, images, _maps(study, kinds, images, name), clean_maps)
            for name, images in ((name, under.adversarial[places]) for name, under in unders.items())
        },
        attacks={name: str(under.attack) for name, under in unders.items()},
        fooled={name: succeeds[places] for name, succeeds in fooled.items()},
        trained_on=next(iter(settings.train_on), None) if study.trained else None,
        seed=settings.seeds[0],
        likeness=[row for maps in kinds for row in _likeness(study, maps, dealt, resamples)],
    )


def _maps(study: Study, kinds: Sequence[Maps], images: Tensor, about: str) -> dict[str, Tensor]:
    return {maps.name: over(study, maps, images, None, about) for maps in kinds}


@torch.no_grad()
def _shown(
    study: Study, kinds: Sequence[Maps], images: Tensor, made: Mapping[str, Tensor], clean: Mapping[str, Tensor]
) -> ShownImages:
    with evaluation_mode(study.classifier):
        probabilities = study.classifier(images.to(study.device)).softmax(1).cpu()
    margins: dict[tuple[str, str], Tensor | None] = {}
    for contender in study.trained:
        if contender.seed == study.run.settings.seeds[0] and contender.trained_on is not None:
            at, key = limit(contender), (contender.name, contender.trained_on)
            margins[key] = None if at is None else scores(contender.module, images, study.device) - at
    return ShownImages(
        images=images,
        predictions=probabilities.argmax(1),
        confidences=probabilities.amax(1),
        maps={maps.name: maps.seen(made[maps.name]) for maps in kinds},
        captions={maps.name: [_caption(maps, one) for one in made[maps.name]] for maps in kinds},
        shifts={name: distance(clean[name], values) for name, values in made.items()},
        margins=margins,
    )


def _caption(maps: Maps, one: Tensor) -> str:
    return f"area {one.mean():.2f}" if maps.selected else f"maximum {one.abs().max():.3g}"


def _likeness(study: Study, maps: Maps, dealt: Draw, resamples: int) -> Iterator[dict[str, Any]]:
    """Yield how alike maps look: half of the test images under each attack, the others in disjoint pairs."""

    def seen(images: Tensor, rows: Tensor, about: str) -> Tensor:
        return maps.seen(over(study, maps, images[rows], None, about))

    clean, rows = study.images.clean, dealt.twins
    natural = seen(clean, rows, "natural images")
    first, second = (seen(clean, half, "different images") for half in (dealt.first, dealt.second))
    apart = cosine(first, second), structure(first, second)
    for name in study.attacks:
        under = study.under(name)
        attacked = seen(under.adversarial, rows, name)
        near = cosine(natural, attacked), structure(natural, attacked)
        subsets = {subset: under.subsets[subset][rows] for subset in SUBSETS}
        yield from likeness_rows(maps.name, name, subsets, near, apart, resamples)
