"""The classes that a checkpoint may name: those that are imported, and those that packages of this project offer.

It stands apart from `portable.py` and `checkpoints.py` because their code is part of the names of stored maps.
"""

import sys

from saliency.class_paths import import_all
from saliency.portable import FORMAT, Portable, describe, pack

__all__ = ["FORMAT", "Portable", "describe", "pack"]


class _Classes(dict[str, type[Portable]]):
    """Classes by name; asked for one that is missing, it imports what packages import only on first use."""

    def __contains__(self, name: object) -> bool:
        if not super().__contains__(name):
            import_all(*sys.modules.keys() & {"saliency", "detectors"})
        return super().__contains__(name)


Portable._known = _Classes(Portable._known)  # noqa: SLF001 - the loader's registry
