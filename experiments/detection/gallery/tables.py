"""Tables, flag and finding of the gallery, from its records."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.detection.gallery.records import SAME_LOOK, GalleryRecords, MapKind
from experiments.detection.tables import capital, grouped, table_of
from experiments.results.result import Flag, Table

Likeness = Sequence[Mapping[str, Any]]


def finding(records: GalleryRecords) -> str:
    """Return how many classes change, how far maps move, and how alike they look."""
    changed = sum(_changed(records, attack) for attack in records.attacked)
    shifts = ", ".join(f"{kind.title} {_mean_shift(records, kind, records.attacked):.2f}" for kind in records.kinds)
    return " ".join(
        [
            f"Of the {len(records.attacked) * len(records.places)} adversarial images shown, {changed} change the "
            f"predicted class. The mean L2 distance of their maps from the clean image's: {shifts}.",
            *(_looks(kind, records.likeness) for kind in records.kinds[::-1]),
        ]
    )


def _changed(records: GalleryRecords, attack: str) -> int:
    both = zip(records.attacked[attack].predictions, records.clean.predictions, strict=True)
    return sum(after != before for after, before in both)


def _mean_shift(records: GalleryRecords, kind: MapKind, attacks: Iterable[str]) -> float:
    shifts = (records.attacked[attack].shifts[kind.name] for attack in attacks)
    values = [value for distances in shifts if distances is not None for value in distances]
    return sum(values) / len(values)


def _looks(kind: MapKind, likeness: Likeness) -> str:
    """Return how alike maps look under each attack, over all pairs of the test images."""
    rows = [row for row in likeness if row["map"] == kind.name]
    alike = grouped((row["look"], row["attack"]) for row in rows if row["subset"] == "all" and row["look"])
    looks = "; ".join(f"{how} under {', '.join(names)}" for how, names in alike.items())
    paper = "Figures 7 and 8, over the test images: " if kind.name == "jacobian" else ""
    return f"{capital(f'{paper}{kind.title}')} of clean and adversarial images look {looks}."


def tables_of(records: GalleryRecords) -> list[Table]:
    """Return a table of the shown images, and one of the likeness of each kind of map."""
    scales = " ".join(f"{kind.title}: {kind.scale}." for kind in records.kinds)
    lines = [
        [
            attack,
            len(records.places),
            _changed(records, attack),
            *(_mean_shift(records, kind, [attack]) for kind in records.kinds),
        ]
        for attack in records.attacked
    ]
    header = ["attack", "images shown", "class changed", *(f"mean L2, {kind.title}" for kind in records.kinds)]
    shown = Table("The images shown", header, lines, f"Clean against adversarial. {capital(scales)}")
    return [shown, *(_likeness(kind, records.likeness) for kind in records.kinds)]


def _likeness(kind: MapKind, likeness: Likeness) -> Table:
    rows = [row for row in likeness if row["map"] == kind.name]
    return table_of(
        f"How alike the {kind.title} of clean and adversarial images look",
        rows,
        {
            "attack": "attack",
            "pairs": "subset",
            "n": "n",
            "SSIM": "ssim",
            "SSIM, different": "ssim_different",
            "cosine": "cosine",
            "cosine, different": "cosine_different",
            "P(X > Y)": "probability",
            "they look": "look",
        },
        f"Compared is what a picture shows: {kind.shown}. X: similarities of the maps of a natural image and its "
        f"adversarial image, on half of the test images; Y: those of {rows[0]['n_different']} disjoint pairs of "
        f"different natural images, from the other half. They look the same from a mean SSIM of {SAME_LOOK}; else the "
        "interval of P(X > Y) for SSIM decides.",
    )


def flags_of(records: GalleryRecords) -> list[Flag]:
    """Return whether an attack fools no shown image."""
    failing = [name for name, fooled in records.fooled.items() if not fooled]
    sentence = f"no shown image is fooled by {', '.join(failing)}" if failing else "every attack fools a shown image"
    return [Flag("The pictures show attacks that succeed", bool(failing), f"Of {len(records.places)}, {sentence}.")]
