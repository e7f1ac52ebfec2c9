"""What two configs differ in."""

import operator
import os
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from experiments.errors import UsageError

FREE: Final = frozenset(
    {
        *("root", "cache", "workers", "store", "callbacks", "logger", "accelerator", "devices", "num_nodes"),
        *("strategy", "profiler", "default_root_dir", "log_every_n_steps", "enable_progress_bar"),
        *("enable_model_summary", "imports"),
    }
)
"""Keys that may differ between a run and its continuation: where it runs and what it shows, not what it computes."""


def without(config: Any, keys: Collection[str] = FREE) -> Any:
    """Return a config without some keys, at any depth.

    Args:
        config: Nested dicts and lists.
        keys: By default those that may differ.
    """
    if isinstance(config, dict):
        return {key: without(value, keys) for key, value in config.items() if key not in keys}
    return [without(value, keys) for value in config] if isinstance(config, list) else config


class Difference(NamedTuple):
    """Where two configs differ: the key, dotted, and both values."""

    key: str
    first: object
    second: object


def difference(
    first: object, second: object, key: str = "", same: Callable[[object, object], bool] = operator.eq
) -> Difference | None:
    """Return the first key whose values differ; None if there is none.

    Args:
        first: A config.
        second: Another.
        key: Under which both stand.
        same: Tells whether two values are the same.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        for name in [*first, *(name for name in second if name not in first)]:
            found = difference(first.get(name), second.get(name), f"{key}.{name}" if key else name, same)
            if found:
                return found
        return None
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
    with what the config names beside it.

    Args:
        started: The config that the fit was started with. It is compared only: no class that it names is imported.
        planned: The config now, with its defaults.
        with_defaults: Fills the defaults into a config.
        free: Keys that may differ, beside those that always may.
    """
    keys, same = FREE | set(free), _same(_folder(started), _folder(planned))
    older = _common(planned, started)
    first, second, third = (without(config, keys) for config in (started, older, planned))
    found = difference(first, second, same=same)
    lacks = difference(second, third)
    if found or lacks is None:
        return found
    try:
        return difference(without(with_defaults(older), keys), third)
    except UsageError:  # a new argument without a default
        return lacks


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
    """Return what tells whether two values are the same, or lie at the same place as seen from each fit's folder."""

    def same(first: object, second: object) -> bool:
        if first == second:
            return True
        if not isinstance(first, str) or not isinstance(second, str) or os.sep not in first or os.sep not in second:
            return False
        return os.path.relpath(first, first_folder) == os.path.relpath(second, second_folder)

    return same
