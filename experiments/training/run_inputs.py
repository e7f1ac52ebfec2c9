"""Records of a run's inputs: data, files of weights, configs.

Other data would leak between splits; other weights or configs would mix two networks in one run.
"""

import operator
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from attacks.errors import InputError
from data import ImageData
from data.store.identity import of_file, of_tensor
from experiments.errors import UsageError
from experiments.training.sections import texts
from saliency.files import read_yaml, write_text

DATA_RECORD: Final = "data.yaml"
WEIGHTS_RECORD: Final = "weights.yaml"

FREE: Final = frozenset(
    {
        *("root", "cache", "workers", "store", "callbacks", "logger", "accelerator", "devices", "num_nodes"),
        *("strategy", "profiler", "default_root_dir", "log_every_n_steps", "enable_progress_bar"),
        *("enable_model_summary", "imports"),
    }
)
"""Keys that may differ between a run and its continuation: they change its device and output, not its results."""

_SPLITS: Final = ("classifier_train", "detector_train", "calibration", "test")


def keep_record(folder: Path, data: ImageData) -> None:
    """Write which data a run is made with, unless `check_record` finds a record of the same data.

    Raises:
        ValueError: If the run was made with other data; says what differs.
    """
    if not check_record(folder, data):
        write_text(folder / DATA_RECORD, yaml.safe_dump(_record(data), sort_keys=False))


def check_record(folder: Path, data: ImageData) -> bool:
    """Compare data, already set up, with those that a run was made with; return whether there is a record of them.

    Raises:
        ValueError: If the run was made with other data; says what differs.
    """
    path = folder / DATA_RECORD
    if not path.is_file():
        return False
    kept, now = read_yaml(path), _record(data)
    if kept != now:
        was, images = (record.get("images") if isinstance(record, dict) else None for record in (kept, now))
        differ = f"{was}, now {images}" if was != images else "as many images, but not the same or in another order"
        msg = (
            f"{folder} was made with other data ({differ}): images of one split would be in another; give the data "
            f"that it was made with, or another --run (delete {path} to go on all the same)"
        )
        raise InputError(msg)
    return True


def _record(data: ImageData) -> dict[str, Any]:
    splits = {name: data.split(name).positions for name in _SPLITS}
    return {
        "images": {name: len(positions) for name, positions in splits.items()},
        "fingerprint": data.fingerprint(),
        "positions": {name: of_tensor(positions) for name, positions in splits.items()},
    }


def keep_weights(folder: Path, model: dict[str, Any]) -> None:
    """Write into a stage's folder which files of weights the section `model` of its config names, if any."""
    files = [text for key, text in texts(model) if key == "weights" and Path(text).is_file()]
    digests = {file: of_file(Path(file)) for file in files}
    if digests:
        write_text(folder / WEIGHTS_RECORD, yaml.safe_dump(digests))


def check_weights(folder: Path) -> None:
    """Compare files of weights with those that the stage in a folder was made with; missing files are passed over.

    Raises:
        ValueError: If one has changed.
    """
    path = folder / WEIGHTS_RECORD
    if not path.is_file():
        return
    for name, digests in read_yaml(path).items():
        if Path(name).is_file() and of_file(Path(name)) != digests:
            msg = (
                f"{folder} was made with other weights ({name} has changed since): choose another --run, or delete "
                "that folder and those of the stages after it"
            )
            raise InputError(msg)


class Difference(NamedTuple):
    """Where two configs differ: the key, dotted, and both values."""

    key: str
    first: object
    second: object


def difference(
    first: object, second: object, key: str = "", same: Callable[[object, object], bool] = operator.eq
) -> Difference | None:
    """Return the first difference of two configs, or of their parts at a dotted key; None if there is none."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = {name: f"{key}.{name}" if key else name for name in first | second}
        results = (difference(first.get(name), second.get(name), path, same) for name, path in keys.items())
        return next(filter(None, results), None)
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        alike = all(difference(*pair, same=same) is None for pair in zip(first, second, strict=True))
    else:
        alike = same(first, second)
    return None if alike else Difference(key, first, second)


def changed(
    started: Any, planned: dict[str, Any], with_defaults: Callable[[dict[str, Any]], Any], free: Collection[str] = ()
) -> Difference | None:
    """Return where a fit's config computes something else than the one it was started with; None if nowhere.

    Configs from before an argument existed count as having its default. The folder of the fit may have moved, together
    with the files beside it that the config names.

    Args:
        started: The config that the fit was started with. It is compared only: no class that it names is imported.
        planned: The config now, with its defaults.
        with_defaults: Fills the defaults into a config.
        free: Keys that may differ, beside those that always may.
    """
    keys = FREE | set(free)
    older = _common(planned, started)
    first, second, third = (_without(config, keys) for config in (started, older, planned))
    result = difference(first, second, same=_same(_folder(started), _folder(planned)))
    lacks = difference(second, third)
    if result or lacks is None:
        return result
    try:
        return difference(_without(with_defaults(older), keys), third)
    except UsageError:  # a new argument without a default
        return lacks


def _without(config: Any, keys: Collection[str]) -> Any:
    """Return a config without some keys, at any depth."""
    if isinstance(config, dict):
        return {key: _without(value, keys) for key, value in config.items() if key not in keys}
    return [_without(value, keys) for value in config] if isinstance(config, list) else config


def _common(config: Any, other: Any) -> Any:
    """Return a config without the keys that another lacks."""
    if isinstance(config, dict) and isinstance(other, dict):
        return {key: _common(value, other[key]) for key, value in config.items() if key in other}
    if isinstance(config, list) and isinstance(other, list) and len(config) == len(other):
        return [_common(*pair) for pair in zip(config, other, strict=True)]
    return config


def _folder(config: Any) -> str:
    trainer = config.get("trainer") if isinstance(config, dict) else None
    folder = trainer.get("default_root_dir") if isinstance(trainer, dict) else None
    return folder if isinstance(folder, str) else "."


def _same(first_folder: str, second_folder: str) -> Callable[[object, object], bool]:
    """Return a comparison: values are the same if they are equal, or paths that are equal relative to the folders."""

    def same(first: object, second: object) -> bool:
        if not (isinstance(first, str) and isinstance(second, str) and os.sep in first and os.sep in second):
            return first == second
        return first == second or os.path.relpath(first, first_folder) == os.path.relpath(second, second_folder)

    return same
