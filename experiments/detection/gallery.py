"""`evaluate.py gallery`: images, their twins under each attack, and their maps (Schut & Gal, 2020, Figures 1, 7, 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor

from attacks.guard import evaluation_mode
from detectors.scoring import scores
from experiments.results.grids import Panel, chosen, difference, grid
from experiments.results.result import Flag, Result, Table
from experiments.results.two_samples import Comparison, compare, draw, mean
from experiments.study.maps import Maps, capital, cosine, distance, maps_of, over, structure
from experiments.study.metrics import WORKING_RATE, limit
from experiments.study.study import Study

SAME_LOOK: Final = 0.9
"""Mean structural similarity from which two maps are said to look the same."""

QUESTION: Final = (
    "What do attacked images, their learnt maps and their Jacobian maps look like; and do the Jacobian maps of clean "
    "and adversarial images look the same?"
)
SUBSETS: Final = ("all", "successful")
_IN_OVERVIEW: Final = 3
"""Images in the picture of all attacks."""

_NAME: Final = 7
"""Letters of a detector's name in a picture."""


@dataclass(frozen=True)
class View:
    """One version of the shown images, and what the run's parts say about it.

    Attributes:
        images: (n, C, H, W).
        predictions: (n,) classes.
        confidences: (n,) softmax of these.
        maps: (n, c, H, W) by kind, not normalised.
        margins: (n,) score minus threshold by (detector, trained on); None where there is no threshold.
    """

    images: Tensor
    predictions: Tensor
    confidences: Tensor
    maps: Mapping[str, Tensor]
    margins: Mapping[tuple[str, str], Tensor | None]


@dataclass(frozen=True)
class Shown:
    """What the pictures share.

    Attributes:
        kinds: Of the maps.
        rows: (n,) in the test split.
        labels: (n,), the true classes.
        classes: Names of all classes.
        clean: The clean images.
        twins: The adversarial ones by attack.
        trained_on: The attack of the detectors whose scores the pictures print; None: there are no detectors.
    """

    kinds: Sequence[Maps]
    rows: Tensor
    labels: Tensor
    classes: Sequence[str]
    clean: View
    twins: Mapping[str, View]
    trained_on: str | None


def gallery(study: Study) -> Result:
    """Return pictures of some test images under each attack, and how alike the maps of all of them look.

    Args:
        study: Its options: images, how many are shown; pairs, at most so many are compared (None: all); resamples.

    Raises:
        FileNotFoundError: If a stage is missing.
        ValueError: If images or pairs is below 1.
    """
    count, resamples = study.options.get("images", 6), study.options.get("resamples", 1000)
    if count < 1:
        msg = f"images must be at least 1, got {count}"
        raise ValueError(msg)
    shown = _shown(study, count)
    rows = [row for attack in shown.twins for row in _rows(shown, attack)]
    alike = [found for maps in shown.kinds for found in likeness(study, maps, resamples)]
    return Result(
        protocol="gallery",
        title="Images, attacks and maps",
        question=QUESTION,
        finding=finding(rows, alike, shown.kinds),
        meta=study.meta() | {"images": count, "resamples": resamples, "same_look": SAME_LOOK, "likeness": alike},
        rows=rows,
        tables=[_table(shown, rows), *(_likeness_table(maps, alike) for maps in shown.kinds)],
        figures={"": _overview(shown), **{attack: _picture(study, shown, attack) for attack in shown.twins}},
        flags=[_flag(study, shown)],
    )


def likeness(study: Study, maps: Maps, resamples: int) -> list[dict[str, Any]]:
    """Return how alike the maps of clean and adversarial images look, against those of different images.

    Half of the test images are compared with their twins, the others in disjoint pairs.

    Args:
        study: Gives the images and attacks.
        maps: The kind of map; compared is what a picture shows of it.
        resamples: Of the bootstrap.

    Returns:
        A record per attack and subset of the pairs; `probability` is that of a higher structural similarity.
    """
    clean = study.images.clean
    dealt = draw(len(clean), study.options.get("pairs"))

    def made(images: Tensor, rows: Tensor, about: str) -> Tensor:
        return maps.seen(over(study, maps, images[rows], None, about))

    natural = made(clean, dealt.twins, "natural images")
    others = [made(clean, rows, "different images") for rows in (dealt.first, dealt.second)]
    apart = cosine(*others), structure(*others)
    found = []
    for attack in study.attacks:
        under = study.under(attack)
        twins = made(under.adversarial, dealt.twins, attack)
        near = cosine(natural, twins), structure(natural, twins)
        for subset in SUBSETS:
            rows = under.subsets[subset][dealt.twins]
            comparison = compare(near[1][rows], apart[1], resamples)
            found.append(
                {
                    "map": maps.name,
                    "attack": attack,
                    "subset": subset,
                    "cosine": mean(near[0][rows]),
                    "cosine_different": mean(apart[0]),
                    "ssim": mean(near[1][rows]),
                    "ssim_different": mean(apart[1]),
                    **asdict(comparison),
                    "look": look(mean(near[1][rows]), comparison),
                }
            )
    return found


def look(similarity: float | None, comparison: Comparison) -> str | None:
    """Return in words how alike maps look.

    Args:
        similarity: Mean structural similarity of maps of clean and adversarial images; None: there are none.
        comparison: Of these similarities with those of different images.
    """
    if similarity is None:
        return None
    if similarity >= SAME_LOOK:
        return "the same"
    told = {"larger": "more alike than", "smaller": "less alike than", "as large": "as different as"}
    return f"{told.get(comparison.verdict or '', 'neither surely more nor less alike than')} those of different images"


def _shown(study: Study, count: int) -> Shown:
    kinds = maps_of(study)
    unders = {name: study.under(name) for name in study.attacks}
    first, *_ = unders.values()
    fooled = torch.stack([under.subsets["successful"] for under in unders.values()]).any(0)
    rows = chosen(study.images.labels, first.before, fooled, count)
    numbered = [str(number) for number in range(study.data.classes)]
    views = {
        name: _view(study, kinds, images[rows], name)
        for name, images in {"clean": study.images.clean, **{n: u.adversarial for n, u in unders.items()}}.items()
    }
    return Shown(
        kinds=kinds,
        rows=rows,
        labels=study.images.labels[rows],
        classes=getattr(study.data, "class_names", numbered),
        clean=views.pop("clean"),
        twins=views,
        trained_on=next(iter(study.run.settings.train_on), None) if study.trained else None,
    )


@torch.no_grad()
def _view(study: Study, kinds: Sequence[Maps], images: Tensor, about: str) -> View:
    with evaluation_mode(study.classifier):
        probabilities = study.classifier(images.to(study.device)).softmax(1).cpu()
    margins: dict[tuple[str, str], Tensor | None] = {}
    for each in study.trained:
        if each.seed == study.run.settings.seeds[0] and each.trained_on is not None:
            at = limit(each)
            margins[each.name, each.trained_on] = None if at is None else scores(each.module, images, study.device) - at
    return View(
        images=images,
        predictions=probabilities.argmax(1),
        confidences=probabilities.amax(1),
        maps={maps.name: over(study, maps, images, None, about) for maps in kinds},
        margins=margins,
    )


def _rows(shown: Shown, attack: str) -> list[dict[str, Any]]:
    """Return two records per image: the clean one, and its twin."""
    found = []
    twin = shown.twins[attack]
    moved = {maps.name: distance(shown.clean.maps[maps.name], twin.maps[maps.name]) for maps in shown.kinds}
    for number, row in enumerate(shown.rows.tolist()):
        for version, view in (("clean", shown.clean), ("adversarial", twin)):
            found.append(
                {
                    "image": row,
                    "attack": attack,
                    "version": version,
                    "label": int(shown.labels[number]),
                    "prediction": int(view.predictions[number]),
                    "confidence": view.confidences[number].item(),
                    **{
                        f"{name}_shift": None if view is shown.clean else values[number].item()
                        for name, values in moved.items()
                    },
                    **{
                        f"{detector}_on_{trained_on}_margin": None if values is None else values[number].item()
                        for (detector, trained_on), values in view.margins.items()
                    },
                }
            )
    return found


def finding(rows: Sequence[Mapping[str, Any]], alike: Sequence[Mapping[str, Any]], kinds: Sequence[Maps]) -> str:
    """Return the answer in words.

    Args:
        rows: Of the result.
        alike: See `likeness`.
        kinds: Of the maps.
    """
    twins = [row for row in rows if row["version"] == "adversarial"]
    before = {row["image"]: row["prediction"] for row in rows if row["version"] == "clean"}
    changed = [row for row in twins if row["prediction"] != before[row["image"]]]
    shifts = ", ".join(f"{maps.title} {_mean_of(twins, f'{maps.name}_shift'):.2f}" for maps in kinds)
    parts = [
        f"Of the {len(twins)} adversarial images shown, {len(changed)} change the predicted class; their maps' mean L2 "
        f"distance from the clean image's: {shifts}.",
        *(_looks(maps, [found for found in alike if found["map"] == maps.name]) for maps in kinds[::-1]),
    ]
    return " ".join(parts)


def _looks(maps: Maps, alike: Sequence[Mapping[str, Any]]) -> str:
    """Return how alike the maps of all pairs look, by what is said of them."""
    groups: dict[str, list[str]] = {}
    for found in alike:
        if found["subset"] == "all" and found["look"] is not None:
            groups.setdefault(found["look"], []).append(f"{found['attack']} ({found['ssim']:.2f})")
    told = "; ".join(f"{how} under {', '.join(names)}" for how, names in groups.items())
    about = "Figures 7 and 8, over the test images: " if maps.name == "jacobian" else ""
    said = f"{about}{maps.title}" if about else capital(maps.title)
    other = next(
        (f"; {found['ssim_different']:.2f} between different images" for found in alike if found["n_different"]), ""
    )
    return f"{said} of clean and adversarial images look {told} (mean SSIM{other})."


def _mean_of(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    values: list[float] = [row[name] for row in rows]
    return sum(values) / len(values)


def _table(shown: Shown, rows: Sequence[Mapping[str, Any]]) -> Table:
    lines = []
    for attack, twin in shown.twins.items():
        of_it = [row for row in rows if row["attack"] == attack and row["version"] == "adversarial"]
        lines.append(
            [
                attack,
                len(of_it),
                int((twin.predictions != shown.clean.predictions).sum()),
                *(_mean_of(of_it, f"{maps.name}_shift") for maps in shown.kinds),
            ]
        )
    header = ["attack", "images shown", "class changed", *(f"mean L2, {maps.title}" for maps in shown.kinds)]
    scales = " ".join(f"{maps.title}: {maps.scale}." for maps in shown.kinds)
    return Table("The images shown", header, lines, f"Clean against adversarial. {capital(scales)}")


def _likeness_table(maps: Maps, alike: Sequence[Mapping[str, Any]]) -> Table:
    header = ["attack", "pairs", "n", "SSIM", "SSIM, different", "cosine", "cosine, different", "P(X > Y)", "they look"]
    lines = [
        [
            found["attack"],
            found["subset"],
            found["n"],
            found["ssim"],
            found["ssim_different"],
            found["cosine"],
            found["cosine_different"],
            found["probability"],
            found["look"],
        ]
        for found in alike
        if found["map"] == maps.name
    ]
    other = next(found["n_different"] for found in alike if found["map"] == maps.name)
    note = (
        f"Compared is what a picture shows: {maps.shown}. X: similarities of a natural image's map to its twin's, on "
        f"half of the test images; Y: those of {other} disjoint pairs of different natural images, from the other "
        f"half. They look the same from a mean SSIM of {SAME_LOOK}; else the interval of P(X > Y) for SSIM decides."
    )
    return Table(f"How alike the {maps.title} of clean and adversarial images look", header, lines, note)


def _flag(study: Study, shown: Shown) -> Flag:
    failing = [name for name in shown.twins if not study.under(name).subsets["successful"][shown.rows].any()]
    told = f"no shown image is fooled by {', '.join(failing)}" if failing else "every attack fools a shown image"
    return Flag("The pictures show attacks that succeed", bool(failing), f"Of {len(shown.rows)}, {told}.")


def _picture(study: Study, shown: Shown, attack: str) -> bytes:
    """Return one row per image: clean, adversarial, their difference, the maps of both, the scores."""
    twin = shown.twins[attack]
    change = twin.images - shown.clean.images
    most = change.abs().max().item()
    columns = ["clean", "adversarial", f"difference, -{most:.3g} to {most:.3g}"]
    for maps in shown.kinds:
        columns += [f"{maps.title[:-1]}, clean", f"{maps.title[:-1]}, adversarial"]
    rows = []
    for number in range(len(shown.rows)):
        panels = [*_pair(shown, twin, number), difference(change[number], f"L2 {change[number].norm():.2f}", most)]
        for maps in shown.kinds:
            panels += [_map(view, maps, number) for view in (shown.clean, twin)]
        if shown.trained_on is not None:
            panels.append(Panel(None, _scores(shown, twin, number)))
        rows.append((_label(shown, number), panels))
    notes = [f"{maps.title}: {maps.shown}" for maps in shown.kinds]
    if shown.trained_on is not None:
        columns.append("score minus threshold")
        notes.append(
            f"scores: detectors trained on {shown.trained_on}, seed {study.run.settings.seeds[0]}, minus the threshold "
            f"at {100 * WORKING_RATE:g} % false positives; *: flagged"
        )
    notes = ["under each image the predicted class with its softmax, red where it is wrong", *notes]
    grey = shown.clean.images.shape[1] == 1
    notes.append(f"difference: {'red grew, blue shrank' if grey else 'grey is none, a channel that grew is brighter'}")
    note = "; ".join(notes)
    return grid(f"{attack}: {study.under(attack).attack}", columns, rows, f"{capital(note)}.")


def _pair(shown: Shown, twin: View, number: int) -> list[Panel]:
    return [_image(shown, view, number) for view in (shown.clean, twin)]


def _image(shown: Shown, view: View, number: int) -> Panel:
    predicted = int(view.predictions[number])
    caption = f"{shown.classes[predicted]} ({view.confidences[number]:.3f})"
    return Panel(view.images[number], caption, warns=predicted != int(shown.labels[number]))


def _map(view: View, maps: Maps, number: int) -> Panel:
    whole = view.maps[maps.name][number : number + 1]
    caption = f"area {whole.mean():.2f}" if maps.selected else f"maximum {whole.abs().max():.3g}"
    return Panel(maps.seen(whole)[0], caption, colours="viridis")


def _label(shown: Shown, number: int) -> str:
    return f"image {int(shown.rows[number])}\nclass {shown.classes[int(shown.labels[number])]}"


def _scores(shown: Shown, twin: View, number: int) -> str:
    """Return a line per detector: score minus threshold, clean and adversarial."""
    lines = [f"{'':{_NAME}}{'clean':>7}{'adv.':>7}"]
    for detector, trained_on in shown.clean.margins:
        if trained_on == shown.trained_on:
            cells = [_margin(view.margins[detector, trained_on], number) for view in (shown.clean, twin)]
            lines.append(f"{detector[:_NAME]:{_NAME}}{''.join(cells)}")
    return "\n".join(lines)


def _margin(margins: Tensor | None, number: int) -> str:
    if margins is None:
        return f"{'-':>6} "
    value = margins[number].item()
    return f"{value:>+6.1f}{'*' if value > 0 else ' '}"


def _overview(shown: Shown) -> bytes:
    """Return, of the first images, three rows each: its versions, and both kinds of maps of them."""
    rows = []
    for number in range(len(shown.rows[:_IN_OVERVIEW])):
        views = [shown.clean, *shown.twins.values()]
        rows.append((_label(shown, number), [_image(shown, view, number) for view in views]))
        rows += [(maps.title[:-1], [_map(view, maps, number) for view in views]) for maps in shown.kinds]
    note = "; ".join(f"{maps.title}: {maps.shown}" for maps in shown.kinds)
    told = "Under each image the predicted class with its softmax, red where it is wrong; "
    return grid("Images under attack, and their maps", ["clean", *shown.twins], rows, f"{told}{note}.")
