"""ASSIRA: cats and dogs."""

import re
from collections.abc import Iterator
from pathlib import Path

from data.decoding.files import Files, class_folders, collect, image_files, shown, visible
from data.sources.file_data import FileData

Labelled = list[tuple[str, int]]


class ASSIRA(FileData):
    """Photographs of cats (0) and dogs (1), 112x112 RGB: short side scaled, cut to the centre.

    Accepted are Microsoft's archive (`PetImages/{Cat,Dog}`), Kaggle's "Dogs vs. Cats" (`cat.0.jpg`, `dog.0.jpg`, ...
    directly or in `train/`, without its unlabelled test images), and `{train,test}/{cat,dog}`; in the root, or in
    `assira/` or `ASSIRA/` below it. Without test images of its own a fifth becomes the test split, as in Schut & Gal
    (2020). `FileData` describes how files are decoded and kept.

    Reference:
        Elson, Douceur, Howell, Saul, "Asirra: a CAPTCHA that exploits interest-aligned manual image categorization",
        CCS 2007.
    """

    shape = (3, 112, 112)
    classes = 2
    class_names = ("cat", "dog")

    def find(self) -> Files:
        """Return the image files of cats and dogs."""
        for folder in self._places():
            train = _pets(folder / "train")
            if train:
                return collect(folder, train, _pets(folder / "test") or None, self.class_names)
            pets = _pets(folder)
            if pets:
                return collect(folder, pets, None, self.class_names)
        msg = shown(
            f"ASSIRA is not in {Path(self.root).resolve()}, nor in assira/ or ASSIRA/ there: looked for "
            "PetImages/{Cat,Dog}, {train,test}/{cat,dog}, and cat.0.jpg, dog.0.jpg, ... directly or in train/; get "
            "Kaggle's 'Dogs vs. Cats' or Microsoft's 'Kaggle Cats and Dogs Dataset', unpack it, and give its folder as "
            "--data.root (--data.images.root for a detector)"
        )
        raise FileNotFoundError(msg)

    def _places(self) -> Iterator[Path]:
        root = Path(self.root).resolve()
        for base in (root, root / "assira", root / "ASSIRA"):
            yield base / "PetImages"
            yield base


def _pets(folder: Path) -> Labelled:
    """Return path and label of each image in class folders, or else of each that is named as Kaggle's."""
    labels = {
        name: ASSIRA.class_names.index(name.lower())
        for name in class_folders(folder)
        if name.lower() in ASSIRA.class_names
    }
    if labels:
        return image_files(folder, labels)
    if not folder.is_dir():
        return []
    named = [
        (entry.path, re.fullmatch(r"(cat|dog)\.\d+\.jpe?g", entry.name, re.IGNORECASE)) for entry in visible(folder)
    ]
    return [(path, ASSIRA.class_names.index(match[1].lower())) for path, match in named if match]
