"""The grids of the gallery: the shown images under one attack, and under all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from experiments.detection.gallery.records import GalleryRecords, MapKind, ShownImages
from experiments.detection.tables import capital
from experiments.results.grids import GridCell, difference, grid
from experiments.results.levels import WORKING_RATE

_IN_OVERVIEW: Final = 3
"""Images in the grid of all attacks."""

_NAME: Final = 7
"""Letters of a detector's name in a grid."""

_CAPTIONS: Final = "under each image the predicted class with its softmax, red where it is wrong"


@dataclass(frozen=True)
class Pictures:
    """The shown images, clean or under one attack, and their maps.

    Attributes:
        images: (n, C, H, W).
        maps: (n, 1, H, W) in [0, 1] by kind, as a grid shows them.
    """

    images: Tensor
    maps: Mapping[str, Tensor]


_Version = tuple[ShownImages, Pictures]


def grids(records: GalleryRecords, pictures: Mapping[str, Pictures]) -> dict[str, bytes]:
    """Return a PNG of the first images under all attacks, and one of all images under each attack."""
    clean = records.clean, pictures["clean"]
    attacked = {attack: (shown, pictures[attack]) for attack, shown in records.attacked.items()}
    overview = _overview(records, [clean, *attacked.values()])
    return {"": overview, **{attack: _of_attack(records, attack, (clean, attacked[attack])) for attack in attacked}}


def _overview(records: GalleryRecords, versions: Sequence[_Version]) -> bytes:
    """Return, of the first images, a row of its versions, and a row for each kind of map of them."""
    rows = []
    for number in range(len(records.places[:_IN_OVERVIEW])):
        rows.append((_label(records, number), [_image(records, *version, number) for version in versions]))
        rows += [(kind.title[:-1], [_map(*version, kind, number) for version in versions]) for kind in records.kinds]
    note = _note(_CAPTIONS, *_kinds(records))
    return grid("Images under attack, and their maps", ["clean", *records.attacked], rows, note)


def _of_attack(records: GalleryRecords, attack: str, both: tuple[_Version, _Version]) -> bytes:
    """Return one row per image: clean, adversarial, their difference, the maps of both, the scores."""
    (_, clean), (_, adversarial) = both
    change = adversarial.images - clean.images
    most = change.abs().max().item()
    columns = ["clean", "adversarial", f"difference, -{most:.3g} to {most:.3g}"]
    columns += [f"{kind.title[:-1]}, {version}" for kind in records.kinds for version in ("clean", "adversarial")]
    scored = [] if records.trained_on is None else ["score minus threshold"]
    rows = []
    for number in range(len(records.places)):
        panels = [
            *(_image(records, *version, number) for version in both),
            difference(change[number], f"L2 {change[number].norm():.2f}", most),
            *(_map(*version, kind, number) for kind in records.kinds for version in both),
            *(GridCell(None, _scores(records, [shown for shown, _ in both], number)) for _ in scored),
        ]
        rows.append((_label(records, number), panels))
    scores = (
        f"scores: detectors trained on {records.trained_on}, seed {records.seed}, minus the threshold at "
        f"{100 * WORKING_RATE:g} % false positives; *: flagged"
    )
    grey = clean.images.shape[1] == 1
    colours = f"difference: {'red grew, blue shrank' if grey else 'grey is none, a channel that grew is brighter'}"
    note = _note(_CAPTIONS, *_kinds(records), *(scores for _ in scored), colours)
    return grid(f"{attack}: {records.attacks[attack]}", [*columns, *scored], rows, note)


def _kinds(records: GalleryRecords) -> list[str]:
    return [f"{kind.title}: {kind.shown}" for kind in records.kinds]


def _note(*parts: str) -> str:
    return f"{capital('; '.join(parts))}."


def _label(records: GalleryRecords, number: int) -> str:
    return f"image {records.places[number]}\nclass {records.classes[records.labels[number]]}"


def _image(records: GalleryRecords, shown: ShownImages, pictures: Pictures, number: int) -> GridCell:
    predicted = shown.predictions[number]
    caption = f"{records.classes[predicted]} ({shown.confidences[number]:.3f})"
    return GridCell(pictures.images[number], caption, warns=predicted != records.labels[number])


def _map(shown: ShownImages, pictures: Pictures, kind: MapKind, number: int) -> GridCell:
    return GridCell(pictures.maps[kind.name][number], shown.captions[kind.name][number], colours="viridis")


def _scores(records: GalleryRecords, both: Iterable[ShownImages], number: int) -> str:
    """Return a line per detector: score minus threshold, clean and adversarial."""
    lines = [f"{'':{_NAME}}{'clean':>7}{'adv.':>7}"]
    for detector, trained_on in records.clean.margins:
        if trained_on == records.trained_on:
            cells = [_margin(shown.margins[detector, trained_on], number) for shown in both]
            lines.append(f"{detector[:_NAME]:{_NAME}}{''.join(cells)}")
    return "\n".join(lines)


def _margin(margins: Sequence[float] | None, number: int) -> str:
    if margins is None:
        return f"{'-':>6} "
    value = margins[number]
    return f"{value:>+6.1f}{'*' if value > 0 else ' '}"
