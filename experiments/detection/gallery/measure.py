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
from experiments.study.rows import Rows, combined
from experiments.study.study import Study


def measure_gallery(study: Study, count: int, pairs: int | None, resamples: int) -> GalleryRecords:
    """Return the records of `count` test images, and of the likeness of the maps of at most so many pairs."""
    kinds, settings = maps_of(study), study.run.settings
    dealt = draw(len(study.images.clean), pairs)
    unders = {name: study.under(name) for name in study.attacks}
    fooled = {name: under.subsets["successful"] for name, under in unders.items()}
    before = unders[study.attacks[0]].before
    places = chosen(study.images.labels, before, torch.stack(list(fooled.values())).any(0), count)
    clean = _shown(study, kinds, study.images.clean[places], "clean")
    numbered = [str(number) for number in range(study.data.classes)]
    return GalleryRecords(
        kinds=[MapKind(maps.name, maps.title, maps.scale, maps.shown) for maps in kinds],
        places=places,
        labels=study.images.labels[places],
        classes=getattr(study.data, "class_names", numbered),
        clean=clean[0],
        attacked={
            name: _shown(study, kinds, under.adversarial[places], name, clean[1])[0] for name, under in unders.items()
        },
        attacks={name: str(under.attack) for name, under in unders.items()},
        fooled={name: succeeds[places] for name, succeeds in fooled.items()},
        trained_on=next(iter(settings.train_on), None) if study.trained else None,
        seed=settings.seeds[0],
        likeness=[row for maps in kinds for row in _likeness(study, maps, dealt, resamples)],
    )


@torch.no_grad()
def _shown(
    study: Study, kinds: Sequence[Maps], images: Tensor, about: str, clean: Mapping[str, Tensor] | None = None
) -> tuple[ShownImages, dict[str, Tensor]]:
    """Return images with all that is shown of them, and their maps (n, c, H, W) by kind, not normalised."""
    made = {maps.name: over(study, maps, images, None, about)[:] for maps in kinds}
    with evaluation_mode(study.classifier):
        probabilities = study.classifier(images.to(study.device)).softmax(1).cpu()
    margins: dict[tuple[str, str], Tensor | None] = {}
    for contender in study.trained:
        if contender.seed == study.run.settings.seeds[0] and contender.trained_on is not None:
            at, key = limit(contender), (contender.name, contender.trained_on)
            margins[key] = None if at is None else scores(contender.module, images, study.device) - at
    shown = ShownImages(
        images=images,
        predictions=probabilities.argmax(1),
        confidences=probabilities.amax(1),
        maps={maps.name: maps.seen(made[maps.name]) for maps in kinds},
        captions={maps.name: [_caption(maps, one) for one in made[maps.name]] for maps in kinds},
        shifts={name: None if clean is None else distance(clean[name], maps) for name, maps in made.items()},
        margins=margins,
    )
    return shown, made


def _caption(maps: Maps, one: Tensor) -> str:
    return f"area {one.mean():.2f}" if maps.selected else f"maximum {one.abs().max():.3g}"


def _likeness(study: Study, maps: Maps, dealt: Draw, resamples: int) -> Iterator[dict[str, Any]]:
    """Yield how alike maps look: half of the test images under each attack, the others in disjoint pairs."""

    def seen(images: Rows, rows: Tensor, about: str) -> Rows:
        return combined(maps.seen, over(study, maps, images.at(rows), None, about))

    clean, rows = study.images.clean, dealt.same
    natural = seen(clean, rows, "natural images")
    first, second = (seen(clean, half, "different images") for half in (dealt.first, dealt.second))
    apart = cosine(first, second), structure(first, second)
    for name in study.attacks:
        under = study.under(name)
        attacked = seen(under.adversarial, rows, name)
        near = cosine(natural, attacked), structure(natural, attacked)
        subsets = {subset: under.subsets[subset][rows] for subset in SUBSETS}
        yield from likeness_rows(maps.name, name, subsets, near, apart, resamples)
