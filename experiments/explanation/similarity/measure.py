"""Maps of the images after every change, by every method, and how alike they are to those of the clean images."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from attacks import FGSM
from experiments.explanation.similarity.changes import ANOTHER, CLEAN, SECOND_SEED, Change, SimilaritySettings
from experiments.explanation.similarity.grids import Example
from experiments.explanation.similarity.paper import GRAD_CAM, GUIDED, SMOOTH
from experiments.explanation.similarity.records import MapsAgain
from experiments.explanation.similarity.similarities import Likeness, Similarities
from experiments.explanation.subject import Explained
from experiments.results.grids import chosen
from experiments.study.batches import BATCH
from saliency import GradCAM, GuidedBackprop, Random, SaliencyMethod, SmoothGrad
from saliency.maps.reduction import reduce
from saliency.similarity import hog, pearson, ranks, ssim

FRESH: Final = 1
"""Seed of the maps that are made with other noise."""

SHOWN: Final = 3
"""Images in the grids."""

Features = Mapping[str, Tensor]
"""Forms of n maps that measures compare: tensors (n, ...) by name."""


def features_of(maps: Tensor) -> Features:
    """Return maps (n, 1, H, W) with their ranks and histograms of gradients, which every comparison needs."""
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


def measure(subject: Explained, settings: SimilaritySettings, slow: Collection[str] = ()) -> Similarities:
    """Return how alike maps are; each map is made once, for the class predicted after the change.

    Args:
        subject: Classifier, images and methods.
        settings: The changes.
        slow: Names of methods that are left out of the targeted attacks.
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
    of_paper = papers_methods(subject.methods)
    return Similarities(
        methods=[*of_paper.values(), *(name for name in subject.methods if name not in of_paper.values())],
        paper=of_paper,
        random=[name for name, method in subject.methods.items() if isinstance(method, Random)],
        slow=list(slow),
        classes=subject.classes,
        settings=settings,
        predictions=predictions,
        alike=alike,
        again=again,
        examples=list(
            _examples(
                subject,
                rows,
                {change: images[change][rows] for change in shown},
                {change: predictions[change][rows] for change in shown},
                examples,
            )
        ),
    )


def papers_methods(methods: Mapping[str, SaliencyMethod]) -> dict[str, str]:
    """Return the name of each of the paper's methods among `methods`, by the paper's name; absent ones are omitted."""
    kinds = {GRAD_CAM: GradCAM, GUIDED: GuidedBackprop, SMOOTH: SmoothGrad}
    unsquared = {name: method for name, method in methods.items() if not getattr(method, "square", False)}
    ours = {
        paper: [name for name, method in unsquared.items() if isinstance(method, kind)] for paper, kind in kinds.items()
    }
    return {paper: names[0] for paper, names in ours.items() if names}


def _examples(
    subject: Explained,
    rows: Tensor,
    images: Mapping[Change, Tensor],
    predictions: Mapping[Change, Tensor],
    maps: Mapping[tuple[str, Change], Tensor],
) -> Iterator[Example]:
    """Yield the images shown; images, predictions and maps are those of their rows."""
    for place, row in enumerate(rows.tolist()):
        yield Example(
            number=int(subject.rows[row]),
            label=subject.classes[int(subject.labels[row])],
            predictions={change: int(predicted[place]) for change, predicted in predictions.items()},
            images={change: changed[place] for change, changed in images.items()},
            maps={key: attributed[place] for key, attributed in maps.items()},
        )


def images_of(change: Change, subject: Explained) -> Tensor:
    """Return the images after a change, (n, C, H, W) in [0, 1].

    Args:
        change: Any but `another image`, which is another order of the images.
        subject: Gives classifier and clean images; the attacks are FGSM, away from the predicted classes.
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

    FGSM adds such values too. The signs of an image derive from its row alone, and are the same for every epsilon.
    """
    signs = torch.empty_like(images)
    for row, image in enumerate(signs):
        image.copy_(torch.randint(0, 2, image.shape, generator=torch.Generator().manual_seed(row)) * 2 - 1)
    return (images + epsilon * signs).clamp(0, 1)


def _maps(
    subject: Explained,
    settings: SimilaritySettings,
    name: str,
    change: Change,
    images: Tensor,
    predictions: Tensor,
    *,
    anew: bool = False,
) -> Tensor:
    """Return a method's maps of changed images, of one channel, (n, 1, H, W)."""
    seed = FRESH if change == SECOND_SEED else None
    attributions = subject.attributions(name, images, predictions, str(change), seed=seed, anew=anew)
    return attributions if attributions.shape[1] == 1 else reduce(attributions, settings.reduction)


def _again(subject: Explained, settings: SimilaritySettings, name: str, clean: Features) -> MapsAgain:
    """Compare the first batch of maps with those of the same images after FGSM of epsilon 0."""
    before = subject.predictions[:BATCH]
    images = subject.attacked(FGSM(epsilon=0.0), subject.images[:BATCH], before, about="epsilon 0")
    maps = _maps(subject, settings, name, CLEAN, images, before, anew=True)
    first = {part: values[:BATCH] for part, values in clean.items()}
    similarities = likeness(first, features_of(maps)).values()
    apart = max((1 - values).nan_to_num().abs().max().item() for values in similarities)
    return MapsAgain((maps - first["maps"]).abs().max().item(), apart)
