"""Any folder of images."""

from functools import cached_property
from pathlib import Path
from typing import Any

from attacks.errors import InputError
from data.decoding.decode import Channels
from data.decoding.files import Files, class_folders, collect, image_files, is_image, shown, visible
from data.sources.file_data import FileData

_TRAINS = ("train", "training")
_TESTS = ("test", "testing", "val", "valid", "validation")


class ImageFolder(FileData):
    """Images in a sub-folder per class, at any depth below it, of any size and format.

    The class folders lie directly in the root, or in `train/` (or `training/`) and `test/` (or `testing/`, `val/`,
    `valid/`, `validation/`: the first of these that has class folders is the test split), in upper or lower case.
    Labels follow the order of the names. `FileData` describes how files are decoded and kept.

    Args:
        root: Folder that holds the class folders, or `train/`.
        size: Height and width of the images; one number for squares. The short side is scaled to fit, the rest cut off.
        channels: 3 for RGB, 1 for grey; other images are converted.
        kwargs: See `FileData`.

    Raises:
        ValueError: If size or channels is out of its range.
    """

    def __init__(
        self,
        root: str = "datasets",
        size: int | list[int] = 112,
        channels: Channels = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, **kwargs)
        sides = [size, size] if isinstance(size, int) else list(size)
        if len(sides) != 2 or min(sides) < 1:  # noqa: PLR2004 - height and width
            msg = f"size must be one number of at least 1, or two as [height, width], got {size}"
            raise InputError(msg)
        if channels not in {1, 3}:
            msg = f"channels must be 1 (grey) or 3 (RGB), got {channels}"
            raise InputError(msg)
        self.size = size
        self.channels = channels
        self.shape = (channels, sides[0], sides[1])

    @property
    def classes(self) -> int:  # type: ignore[override]  # read from the folder when asked, not when made
        """The number of class folders."""
        return len(self.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the class folders by label, in printable form."""
        return tuple(shown(name) for name in self._folders)

    def find(self) -> Files:
        """Return the image files of all classes."""
        train, test = self._parts()
        labels = {name: label for label, name in enumerate(self._folders)}
        tests = None if test is None else image_files(test, labels)
        return collect(Path(self.root).resolve(), image_files(train, labels), tests, self._folders)

    @cached_property
    def _folders(self) -> list[str]:
        """The class folders by label."""
        train, test = self._parts()
        names = class_folders(train)
        if not names:
            loose = sum(is_image(entry.name) for entry in visible(train))
            msg = shown(
                f"{train} has {loose} images and no sub-folders: move the images of each class into a sub-folder of "
                "its own, there or in train/ and test/"
            )
            raise FileNotFoundError(msg)
        if {name.lower() for name in names} <= {*_TRAINS, *_TESTS}:
            msg = f"{train} has {', '.join(names)} without classes in them: one sub-folder per class is needed there"
            raise InputError(shown(msg))
        if len(names) == 1:
            msg = shown(
                f"{train} has one sub-folder, {names[0]}, but a class per sub-folder and at least two are "
                "needed: give the folder right above the classes, or above train/, as --data.root"
            )
            raise InputError(msg)
        if test is not None and class_folders(test) != names:
            others = sorted({*names}.symmetric_difference(class_folders(test)))
            msg = shown(
                f"{train} and {test.name}/ must have the same classes, but {', '.join(others)} "
                f"{'is' if len(others) == 1 else 'are'} in one of them only: add or remove the folder"
            )
            raise InputError(msg)
        return names

    def _parts(self) -> tuple[Path, Path | None]:
        """Return the folder of the training classes, and that of the test classes or None."""
        root = Path(self.root).resolve()
        if not root.is_dir():
            msg = shown(
                f"there is no folder {root}: give the one that holds a sub-folder per class, or train/, as "
                "--data.root (--data.images.root for a detector)"
            )
            raise FileNotFoundError(msg)
        folders = {name.lower(): root / name for name in class_folders(root)}
        train = next((folders[name] for name in _TRAINS if name in folders and class_folders(folders[name])), None)
        if train is None:
            return root, None
        return train, next((folders[name] for name in _TESTS if name in folders and class_folders(folders[name])), None)
