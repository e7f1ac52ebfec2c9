"""Experiments: the run folder, the pipeline, the protocols and their report."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.training.callbacks import MapPanel

__all__ = ["MapPanel"]


def __getattr__(name: str) -> Any:
    """Import the panel on first use: its imports take seconds, and Ctrl-C must work before them."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from experiments.training.callbacks import MapPanel  # noqa: PLC0415

    return MapPanel
