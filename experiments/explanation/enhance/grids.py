"""Figures 3 and 5: maps of clean and attacked images, of attacks that fail and that succeed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from attacks import BIM, FGSM
from experiments.explanation.enhance.methods import ENHANCED, PLAIN
from experiments.explanation.enhance.setting import Setting, carlini_wagner, fgsm_and_bim
from experiments.explanation.subject import Explained
from experiments.results.grids import Panel, chosen, grid
from experiments.study.maps import relative

_ROWS: Final = 2
"""Images of Figure 3, four versions each."""

_SUBJECTS: Final = 3
"""Images of Figure 5, three rows each."""

_CANDIDATES: Final = 24
"""Images that attacks of many sizes are tried on, to find some on which they fail and succeed."""

_HALVINGS: Final = 8
"""How often the budget is halved in the search of an attack that fails."""

CLEAN: Final = "clean"


@dataclass(frozen=True)
class Shown:
    """A version of images that are shown.

    Attributes:
        images: (n, C, H, W).
        predictions: (n,).
        about: For each what stands under it, beside its prediction.
        there: (n,) bool, whether there is such a version of the image.
    """

    images: Tensor
    predictions: Tensor
    about: Sequence[str]
    there: Tensor


def versions(setting: Setting) -> bytes:
    """Return Figure 3: a row for each version of an image, a column for each method."""
    every = setting.explained
    rows = chosen(setting.labels, setting.labels, torch.ones(len(setting), dtype=torch.bool), _ROWS)
    clean = setting.clean.images[rows]
    tried = fgsm_and_bim(every.study)
    shown = {CLEAN: clean}
    for name, attack in (*tried, carlini_wagner(every.study), (setting.attack_name, setting.attack)):
        known = name == setting.attack_name
        shown[name] = setting.adversarial.images[rows] if known else every.attacked(attack, clean)
    made = {name: _everything(every, images, name) for name, images in shown.items()}
    lines = []
    for number, label in enumerate(setting.labels[rows].tolist()):
        for name, (image, maps) in made.items():
            about = f"{name}\n{every.classes[label]}" if name == CLEAN else name
            panels = [_image(every, image, number, label), *(_map(each, number) for each in maps.values())]
            lines.append((about, panels))
    columns = ["image", *(name.replace("_", " ") for name in every.methods)]
    budgets = ", ".join(f"{name}: epsilon {attack.epsilon:g}" for name, attack in tried)
    return grid(
        "Maps of clean and attacked images",
        columns,
        lines,
        f"{_NOTE} In brackets the softmax. Budgets: {budgets}.",
        size=1.05,
    )


_NOTE: Final = (
    "Under an image the predicted class, red where it is wrong; each map is of that class, absolute values from 0 "
    "(dark) to its own maximum."
)


def outcomes(setting: Setting) -> bytes:
    """Return Figure 5: clean images, failed and successful attacks, under guided backpropagation and enhanced."""
    every = setting.explained
    labels = setting.labels[:_CANDIDATES]
    found = _outcomes(setting, labels)
    complete = torch.stack([each.there for each in found.values()]).all(0)
    rows = chosen(labels, labels, complete, _SUBJECTS).tolist()
    lines = []
    for row in rows:
        label = int(labels[row])
        lines.append((every.classes[label], [_outcome(every, each, row, label) for each in found.values()]))
        lines += [
            (name, [_outcome_map(every, each, row, method) for each in found.values()])
            for method, name in _ROW_NAMES.items()
        ]
    columns = list(found)
    note = f"{_NOTE} The number is epsilon: the largest, of the run's and its halves, that fails or succeeds."
    return grid("Failed and successful attacks", columns, lines, note)


_ROW_NAMES: Final = {PLAIN: "guided\nbackprop", ENHANCED: "enhanced\nguided backprop"}


def _outcomes(setting: Setting, labels: Tensor) -> dict[str, Shown]:
    """Return the versions of the candidates: clean, failed and successful FGSM and BIM, and the attack itself."""
    every, count = setting.explained, len(labels)
    clean, there = setting.clean.images[:count], torch.ones(count, dtype=torch.bool)
    adversarial = setting.adversarial.images[:count]
    tried = {name: _tried(every, attack, clean, labels) for name, attack in fgsm_and_bim(every.study)}
    return {
        CLEAN: Shown(clean, labels, [""] * count, there),
        **{f"{name}, failed": failed for name, (failed, _) in tried.items()},
        **{f"{name}, successful": successful for name, (_, successful) in tried.items()},
        f"{setting.attack_name} of this study, successful": Shown(
            adversarial, setting.adversarial.predictions[:count], [""] * count, there
        ),
    }


def _tried(every: Explained, attack: FGSM | BIM, clean: Tensor, labels: Tensor) -> tuple[Shown, Shown]:
    """Return for each image its largest attack that fails, and its largest that succeeds."""
    found = {False: _none(clean, labels), True: _none(clean, labels)}
    for each in _smaller(attack):
        images = every.attacked(each, clean, labels, about=f"epsilon {each.epsilon:g}")
        predictions = every.predict(images).argmax(1)
        for succeeds, known in found.items():
            new = ((predictions != labels) == succeeds) & ~known.there
            found[succeeds] = Shown(
                torch.where(new[:, None, None, None], images, known.images),
                torch.where(new, predictions, known.predictions),
                [f"{each.epsilon:.2g}" if now else old for now, old in zip(new.tolist(), known.about, strict=True)],
                known.there | new,
            )
    return found[False], found[True]


def _none(clean: Tensor, labels: Tensor) -> Shown:
    return Shown(clean, labels, [""] * len(labels), torch.zeros(len(labels), dtype=torch.bool))


def _smaller(attack: FGSM | BIM) -> Iterator[FGSM | BIM]:
    """Yield the attack with its budget halved again and again, the largest first."""
    for halving in range(_HALVINGS):
        share = 0.5**halving
        if isinstance(attack, BIM):
            yield replace(attack, epsilon=attack.epsilon * share, step_size=attack.step_size * share)
        else:
            yield replace(attack, epsilon=attack.epsilon * share)


def _everything(every: Explained, images: Tensor, about: str) -> tuple[tuple[Tensor, Tensor], Mapping[str, Tensor]]:
    """Return images with their probabilities, and their maps by method."""
    logits = every.predict(images)
    maps = {name: _seen(every, name, images, logits.argmax(1), about) for name in every.methods}
    return (images, logits.softmax(1)), maps


def _seen(every: Explained, name: str, images: Tensor, classes: Tensor, about: str) -> Tensor:
    return relative(every.maps(name, images, classes, f"{about}, pictures").abs())


def _image(every: Explained, shown: tuple[Tensor, Tensor], number: int, label: int) -> Panel:
    image, probabilities = shown[0][number], shown[1][number]
    predicted = int(probabilities.argmax())
    return Panel(image, f"{every.classes[predicted]} ({probabilities[predicted]:.2f})", warns=predicted != label)


def _map(maps: Tensor, number: int) -> Panel:
    return Panel(maps[number], colours="viridis")


def _outcome(every: Explained, shown: Shown, row: int, label: int) -> Panel:
    if not shown.there[row]:
        return Panel(None, "none found")
    predicted = int(shown.predictions[row])
    epsilon = f", {shown.about[row]}" if shown.about[row] else ""
    return Panel(shown.images[row], f"{every.classes[predicted]}{epsilon}", warns=predicted != label)


def _outcome_map(every: Explained, shown: Shown, row: int, method: str) -> Panel:
    if not shown.there[row]:
        return Panel(None)
    maps = _seen(every, method, shown.images[row : row + 1], shown.predictions[row : row + 1], "outcomes")
    return Panel(maps[0], colours="viridis")
