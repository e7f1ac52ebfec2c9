"""Runs that somebody else made: evaluating one runs none of their code, and touches nothing outside its folder."""

import os
import site
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

from attacks.errors import InputError
from saliency.class_paths import OWN
from saliency.files import read_yaml

_INSTALLED: Final = tuple(
    Path(path).resolve()
    for path in (
        *(str(Path(__file__).parents[2] / name) for name in OWN),
        *site.getsitepackages(),
        site.getusersitepackages(),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    )
)
"""Folders of the code that a run may name: this project's packages, installed packages, and Python's own."""


class _Installed(MetaPathFinder):
    """Refuses to import modules from the current folder, from beside the scripts, and from PYTHONPATH."""

    def __init__(self) -> None:
        self.refused: list[str] = []  # names of modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Leave a module to the other finders, unless its code would come from elsewhere."""
        spec = PathFinder.find_spec(fullname, path, target)
        places = () if spec is None else (spec.origin,) if spec.origin else spec.submodule_search_locations or ()
        if not all(map(_is_installed, places)):
            self.refused.append(fullname)
            msg = f"{fullname} is not part of this project, and not installed"
            raise ImportError(msg)
        return None


def _is_installed(place: str) -> bool:
    path = Path(place).resolve()
    return any(path.is_relative_to(folder) for folder in _INSTALLED)


@contextmanager
def installed_code_only(run: Path) -> Iterator[None]:
    """Allow only installed and already imported code while the settings of a run folder are read.

    Every import is checked, not the names in the file: there are many ways in which a config leads to one.

    Raises:
        ValueError: If a module was refused; names the run and the module.
    """
    finder = _Installed()
    sys.meta_path.insert(0, finder)
    try:
        yield
    except Exception as error:
        if not finder.refused:
            raise
        name = finder.refused[0]
        msg = (
            f"{run} names the module {name}, which is neither part of this project nor an installed package, and was "
            f"not run: add --imports '[{name}]' if it is yours, or --trust if you trust whoever made this run"
        )
        raise InputError(msg) from error
    finally:
        sys.meta_path.remove(finder)


def refuse_other_settings(path: Path) -> None:
    """Refuse a run's file of settings that has another file read, which could lie anywhere.

    Raises:
        ValueError: If it does.
    """
    settings = read_yaml(path)
    if isinstance(settings, dict) and "config" in settings:
        msg = (
            f"{path} names another file of settings ({settings['config']}), which was not read: remove the key config "
            "if this run is yours, or add --trust if you trust whoever made it"
        )
        raise InputError(msg)


def refuse_links_out(run: Path) -> None:
    """Refuse a run folder with links that lead out of it: an evaluation would read, write or delete there.

    The folder itself may be a link.

    Raises:
        ValueError: If there is one; names it.
    """
    for folder, folders, files in os.walk(run):
        for path in (Path(folder) / name for name in (*folders, *files)):
            if path.is_symlink() and not is_within(path, run):
                msg = f"{path} is a link that leads out of the run folder: add --trust if you trust whoever made it"
                raise InputError(msg)


def is_within(path: Path, folder: Path) -> bool:
    """Return whether a path lies in a folder, with all links followed."""
    return path.resolve().is_relative_to(folder.resolve())
