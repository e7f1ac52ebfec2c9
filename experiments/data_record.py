"""Which data a run was made with: splits depend on the number of images, so that other data would leak between them."""

from pathlib import Path
from typing import Any, Final

import yaml

from data import ImageData
from data.identity import of_tensor
from experiments.tables import read_yaml
from saliency.files import write_text

RECORD: Final = "data.yaml"

_SPLITS: Final = ("classifier_train", "detector_train", "calibration", "test")


def keep_record(folder: Path, data: ImageData) -> None:
    """Write which data a run is made with, or compare them with those that it was made with.

    Args:
        folder: Of the run.
        data: Set up.

    Raises:
        ValueError: If the run was made with others; says what differs.
    """
    if not check_record(folder, data):
        write_text(folder / RECORD, yaml.safe_dump(_record(data), sort_keys=False))


def check_record(folder: Path, data: ImageData) -> bool:
    """Compare the data with those that a run was made with; tell whether there is a record of them.

    Args:
        folder: Of the run.
        data: Set up.

    Raises:
        ValueError: If the run was made with others; says what differs.
    """
    path = folder / RECORD
    if not path.is_file():
        return False
    kept, now = read_yaml(path), _record(data)
    if kept != now:
        was, found = (each.get("images") if isinstance(each, dict) else None for each in (kept, now))
        msg = (
            f"{folder} was made with other data ({was}, now {found}): images of one split would be in another; give "
            f"the data that it was made with, or another --run (delete {path} to go on all the same)"
        )
        raise ValueError(msg)
    return True


def _record(data: ImageData) -> dict[str, Any]:
    splits = {name: data.split(name).positions for name in _SPLITS}
    return {
        "images": {name: len(positions) for name, positions in splits.items()},
        "fingerprint": data.fingerprint(),
        "positions": {name: of_tensor(positions) for name, positions in splits.items()},
    }
