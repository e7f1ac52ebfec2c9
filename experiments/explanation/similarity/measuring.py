"""Maps of the images after every change, by every method, and how alike they are to those of the clean images."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from attacks import FGSM
from experiments.explanation.similarity import paper
from experiments.explanation.similarity.changes import ANOTHER, CLEAN, SECOND_SEED, Change, SimilaritySettings
from experiments.explanation.similarity.records import Example, Likeness, MapsAgain, SimilarityRecords
from experiments.explanation.subject import Explained
from experiments.results.grids import chosen
from experiments.study.batches import BATCH
from saliency import Random
from saliency.maps.reduction import reduce
from saliency.similarity import hog, pearson, ranks, ssim

FRESH: Final = 1
"""Seed of the maps that are made again with other noise."""

SHOWN: Final = 3
"""Images in the grids."""


Features = Mapping[str, Tensor]
"""What is compared of some maps: (n, ...) by name."""


def features_of(maps: Tensor) -> Features:
    """Return what is compared of maps (n, 1, H, W), computed once: themselves, ranks, and histograms of gradients."""
    gradients = {"pictures": hog(maps).float(), "histograms": hog(maps, "features").float()}
    return {"maps": maps, "ranks": ranks(maps).float(), **gradients}


def likeness(one: Features, other: Features) -> Likeness:
    """Return how alike paired maps are by every measure."""
    return {
        "spearman": pearson(one["ranks"], other["ranks"]),
        "ssim": ssim(one["maps"], other["maps"]),
        "hog": pearson(one["pictures"], other["pictures"]),
        "ssim_range_2": ssim(one["maps"], other["maps"], 2.0),
        "hog_features": pearson(one["histograms"], other["histograms"]),
    }


def measure(subject: Explained, settings: SimilaritySettings, slow: Collection[str] = ()) -> SimilarityRecords:
    """Return the likeness of maps; each map is made once, and of the class predicted after the change.

    Args:
        subject: Classifier, images and methods.
        settings: Which changes.
        slow: Names of methods to leave out of the targeted attacks.
    """
    images = {change: images_of(change, subject) for change in (CLEAN, *settings.changes())}
    predictions = {
        change: subject.predictions
        if change.epsilon is None
        else subject.predict(changed, f"predictions, {change}").argmax(1)
        for change, changed in images.items()
    }
    shown = [CLEAN, *settings.untargeted]
    fooled = torch.stack([predictions[change] != subject.predictions for change in shown]).any(0)
    rows = chosen(subject.labels, subject.predictions, fooled, SHOWN)
    alike: dict[tuple[str, Change], Likeness] = {}
    examples: dict[tuple[str, Change], Tensor] = {}
    again = {}
    for name in subject.study.progress.track(list(subject.methods), description="saliency methods"):
        clean = features_of(_maps(subject, settings, name, CLEAN, images[CLEAN], subject.predictions))
        again[name] = _again(subject, settings, name, clean)
        examples[name, CLEAN] = clean["maps"][rows]
        if len(subject.images) > 1:
            alike[name, ANOTHER] = likeness(clean, {part: values.roll(1, 0) for part, values in clean.items()})
        for change in settings.changes():
            if change.kind == "targeted" and name in slow:
                continue
            maps = _maps(subject, settings, name, change, images[change], predictions[change])
            alike[name, change] = likeness(clean, features_of(maps))
            if change in shown:
                examples[name, change] = maps[rows]
    of_paper = paper.names_of(subject.methods)
    return SimilarityRecords(
        methods=[*of_paper.values(), *(name for name in subject.methods if name not in of_paper.values())],
        paper=of_paper,
        random=[name for name, method in subject.methods.items() if isinstance(method, Random)],
        slow=list(slow),
        classes=subject.classes,
        settings=settings,
        predictions=predictions,
        alike=alike,
        again=again,
        examples=list(_examples(subject, rows, {change: images[change][rows] for change in shown}, examples)),
    )


def _examples(
    subject: Explained, rows: Tensor, images: Mapping[Change, Tensor], maps: Mapping[tuple[str, Change], Tensor]
) -> Iterator[Example]:
    """Yield the images shown; images and maps are those of their rows."""
    for place, row in enumerate(rows.tolist()):
        yield Example(
            row=row,
            number=int(subject.rows[row]),
            label=subject.classes[int(subject.labels[row])],
            images={change: changed[place] for change, changed in images.items()},
            maps={key: attributed[place] for key, attributed in maps.items()},
        )


def images_of(change: Change, subject: Explained) -> Tensor:
    """Return the images after a change, (n, C, H, W) in [0, 1].

    Args:
        change: Not `another image`, which is another order of the images.
        subject: Gives classifier and clean images; the attacks are FGSM, from the predicted classes.
    """
    clean = subject.images
    if change.epsilon is None:
        return clean
    if change.kind == "sign noise":
        return sign_noise(clean, change.epsilon)
    attack = FGSM(epsilon=change.epsilon, targeted=change.target is not None)
    labels = subject.predictions if change.target is None else torch.full((len(clean),), change.target)
    return subject.attacked(attack, clean, labels, about=str(change))


def sign_noise(images: Tensor, epsilon: float) -> Tensor:
    """Return images (n, C, H, W) with noise of -epsilon or epsilon in each value, clipped to [0, 1].

    What FGSM adds has these values too. Each image's draws derive from its row alone, and are those of every epsilon.

    Args:
        images: In [0, 1].
        epsilon: At least 0.
    """
    signs = torch.empty_like(images)
    for row, each in enumerate(signs):
        each.copy_(torch.randint(0, 2, each.shape, generator=torch.Generator().manual_seed(row)) * 2 - 1)
    return (images + epsilon * signs).clamp(0, 1)


def _maps(
    subject: Explained, settings: SimilaritySettings, name: str, change: Change, images: Tensor, predictions: Tensor
) -> Tensor:
    """Return a method's maps of changed images, of one channel, (n, 1, H, W)."""
    seed = FRESH if change == SECOND_SEED else None
    attributions = subject.attributions(name, images, predictions, str(change), seed=seed)
    return attributions if attributions.shape[1] == 1 else reduce(attributions, settings.reduction)


def _again(subject: Explained, settings: SimilaritySettings, name: str, clean: Features) -> MapsAgain:
    """Compare the first batch of maps with those of the same images after FGSM of epsilon 0."""
    before = subject.predictions[:BATCH]
    images = subject.attacked(FGSM(epsilon=0.0), subject.images[:BATCH], before, about="epsilon 0")
    maps = _maps(subject, settings, name, CLEAN, images, before)
    first = {part: values[:BATCH] for part, values in clean.items()}
    return MapsAgain((maps - first["maps"]).abs().max().item(), likeness(first, features_of(maps)))
