"""What two configs differ in."""

from collections.abc import Collection
from typing import Any, Final

FREE: Final = frozenset(
    {
        *("root", "cache", "workers", "store", "callbacks", "logger", "accelerator", "devices", "num_nodes"),
        *("strategy", "profiler", "default_root_dir", "log_every_n_steps", "enable_progress_bar"),
        "enable_model_summary",
    }
)
"""Keys that may differ between a run and its continuation: where it runs and what it shows, not what it computes."""


def without(config: Any, keys: Collection[str] = (), root: str = "") -> Any:
    """Return a config without the keys that may differ.

    Args:
        config: Nested dicts and lists.
        keys: Besides `FREE`.
        root: What is cut off the beginning of texts, so that paths are relative to it.
    """
    if isinstance(config, dict):
        kept = {key: value for key, value in config.items() if key not in FREE and key not in keys}
        return {key: without(value, keys, root) for key, value in kept.items()}
    if isinstance(config, list):
        return [without(value, keys, root) for value in config]
    return config.removeprefix(root) if isinstance(config, str) else config


def difference(old: object, new: object, key: str = "") -> str | None:
    """Return the first key whose values differ, with both values; None if there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            found = difference(old.get(name), new.get(name), f"{key}.{name}" if key else name)
            if found:
                return found
        return None
    return None if old == new else f"{key} was {old}, now {new}"
