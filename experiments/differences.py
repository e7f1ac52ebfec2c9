"""What two configs differ in."""

from typing import Any, Final, NamedTuple

FREE: Final = frozenset(
    {
        *("root", "cache", "workers", "store", "callbacks", "logger", "accelerator", "devices", "num_nodes"),
        *("strategy", "profiler", "default_root_dir", "log_every_n_steps", "enable_progress_bar"),
        "enable_model_summary",
    }
)
"""Keys that may differ between a run and its continuation: where it runs and what it shows, not what it computes."""


def without(config: Any, root: str = "") -> Any:
    """Return a config without the keys that may differ.

    Args:
        config: Nested dicts and lists.
        root: What is cut off the beginning of texts, so that paths are relative to it.
    """
    if isinstance(config, dict):
        return {key: without(value, root) for key, value in config.items() if key not in FREE}
    if isinstance(config, list):
        return [without(value, root) for value in config]
    return config.removeprefix(root) if isinstance(config, str) else config


class Difference(NamedTuple):
    """Where two configs differ: the key, dotted, and both values."""

    key: str
    first: object
    second: object


def difference(first: object, second: object, key: str = "") -> Difference | None:
    """Return the first key whose values differ; None if there is none."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in [*first, *(name for name in second if name not in first)]:
            found = difference(first.get(name), second.get(name), f"{key}.{name}" if key else name)
            if found:
                return found
        return None
    return None if first == second else Difference(key, first, second)
