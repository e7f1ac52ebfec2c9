"""The shown images under every attack with their maps and scores, and how alike the maps of all test images look."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from attacks.guard import evaluation_mode
from detectors.scoring import scores
from experiments.detection.gallery.grids import Pictures
from experiments.detection.gallery.records import SUBSETS, GalleryRecords, MapKind, ShownImages, look
from experiments.results.grids import chosen
from experiments.results.two_samples import Draw, compare, draw, mean
from experiments.study.maps import Maps, cosine, distance, maps_of, over, structure
from experiments.study.metrics import limit
from experiments.study.rows import Rows, combined
from experiments.study.study import Study


def measure_gallery(
    study: Study, count: int, pairs: int | None, resamples: int
) -> tuple[GalleryRecords, dict[str, Pictures]]:
    """Return the records of `count` test images, and their pictures: `clean`, and by attack.

    Args:
        study: A run with all parts trained.
        count: Number of images.
        pairs: Largest number of pairs whose maps are compared; None: all test images.
        resamples: Bootstrap resamples of the intervals.
    """
    kinds, settings = maps_of(study), study.run.settings
    dealt = draw(len(study.images.clean), pairs)
    unders = {name: study.under(name) for name in study.attacks}
    fooled = {name: under.subsets["successful"] for name, under in unders.items()}
    before = unders[study.attacks[0]].before
    places = chosen(study.images.labels, before, torch.stack(list(fooled.values())).any(0), count)
    clean, made, pictures = _shown(study, kinds, study.images.clean[places], "clean")
    attacked, pictures_of = {}, {"clean": pictures}
    for name, under in unders.items():
        attacked[name], _, pictures_of[name] = _shown(study, kinds, under.adversarial[places], name, made)
    numbered = [str(number) for number in range(study.data.classes)]
    records = GalleryRecords(
        kinds=[MapKind(maps.name, maps.title, maps.scale, maps.shown) for maps in kinds],
        places=places.tolist(),
        labels=study.images.labels[places].tolist(),
        classes=getattr(study.data, "class_names", numbered),
        clean=clean,
        attacked=attacked,
        attacks={name: str(under.attack) for name, under in unders.items()},
        fooled={name: int(succeeds[places].sum()) for name, succeeds in fooled.items()},
        trained_on=next(iter(settings.train_on), None) if study.trained else None,
        seed=settings.seeds[0],
        likeness=[row for maps in kinds for row in _likeness(study, maps, dealt, resamples)],
    )
    return records, pictures_of


@torch.no_grad()
def _shown(
    study: Study, kinds: Sequence[Maps], images: Tensor, about: str, clean: Mapping[str, Tensor] | None = None
) -> tuple[ShownImages, dict[str, Tensor], Pictures]:
    """Return what is shown of images, their maps (n, c, H, W) by kind, not normalised, and images and maps as shown."""
    made = {maps.name: over(study, maps, images, None, about)[:] for maps in kinds}
    with evaluation_mode(study.classifier):
        probabilities = study.classifier(images.to(study.device)).softmax(1).cpu()
    margins: dict[tuple[str, str], list[float] | None] = {}
    for contender in study.trained:
        if contender.seed == study.run.settings.seeds[0] and contender.trained_on is not None:
            at, key = limit(contender), (contender.name, contender.trained_on)
            margins[key] = None if at is None else (scores(contender.module, images, study.device) - at).tolist()
    shown = ShownImages(
        predictions=probabilities.argmax(1).tolist(),
        confidences=probabilities.amax(1).tolist(),
        captions={maps.name: [_caption(maps, one) for one in made[maps.name]] for maps in kinds},
        shifts={name: None if clean is None else distance(clean[name], maps).tolist() for name, maps in made.items()},
        margins=margins,
    )
    return shown, made, Pictures(images, {maps.name: maps.seen(made[maps.name]) for maps in kinds})


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
        yield from _likeness_rows(maps.name, name, subsets, near, apart, resamples)


Similarities = tuple[Tensor, Tensor]
"""Cosine and structural similarities (n,) of pairs of maps."""


def _likeness_rows(
    kind: str, attack: str, subsets: Mapping[str, Tensor], near: Similarities, apart: Similarities, resamples: int
) -> list[dict[str, Any]]:
    """Return how alike maps look in each subset, (n,) bool, of pairs: near are clean and adversarial, apart others."""
    rows = []
    for subset, pairs in subsets.items():
        similarity, comparison = mean(near[1][pairs]), compare(near[1][pairs], apart[1], resamples)
        rows.append(
            {
                "map": kind,
                "attack": attack,
                "subset": subset,
                "cosine": mean(near[0][pairs]),
                "cosine_different": mean(apart[0]),
                "ssim": similarity,
                "ssim_different": mean(apart[1]),
                **asdict(comparison),
                "look": look(similarity, comparison),
            }
        )
    return rows
