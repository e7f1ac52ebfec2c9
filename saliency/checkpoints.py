"""Self-contained checkpoints: architecture as plain values, weights as tensors, and one loader.

A file names a class; only classes that are imported already can be built from it. No class path or callable is ever
resolved from a file, so that loading a stranger's checkpoint runs none of their code.
"""

import inspect
import zipfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from attacks.errors import InputError, InputTypeError
from saliency.files import expanded, write_tensors
from saliency.known_classes import FORMAT, Portable, describe, pack

__all__ = [
    "FORMAT", "Portable", "describe", "load", "load_weights", "pack", "part", "put_weights", "read", "read_tensors",
    "refuse_named", "require", "save",
]  # fmt: skip

_named: ContextVar[frozenset[Path]] = ContextVar("_named", default=frozenset())
"""Paths that the checkpoint being loaded names: all texts among its arguments, read as paths."""
_M = TypeVar("_M", bound=Portable)


def save(module: Portable, path: str | Path, **extra: Any) -> None:
    """Write a checkpoint atomically; `--ckpt_path` of validate, test and predict accepts it as well.

    Args:
        module: The module.
        path: The file; missing folders are made.
        extra: Further plain values to store, for example the epoch.
    """
    import lightning  # noqa: PLC0415 - it takes seconds, and loading does without

    weights = module.state_dict()
    for name, tensor in weights.items():  # in place: layers' versions, which some need, are an attribute of the dict
        weights[name] = tensor.detach().cpu()
    contents = {
        "format": FORMAT,
        "architecture": describe(module),
        "state_dict": weights,
        "pytorch-lightning_version": lightning.__version__,
        **{name: pack(value, name) for name, value in extra.items()},
    }
    write_tensors(Path(expanded(path)), contents)


def load(path: str | Path, expected: type[_M] | None = None) -> _M:
    """Return the module that a checkpoint holds, in eval mode, on the CPU.

    Args:
        path: A `model.ckpt` or `last.ckpt` of a run folder.
        expected: The required class; None: any.

    Raises:
        FileNotFoundError: If there is no such file; says which command makes it.
        ValueError: If the file is no checkpoint of this project, is damaged, newer, of a class that is not imported,
            or of another class than expected.
    """
    path, contents = Path(path), read(path)
    module = build(contents["architecture"], path)
    if expected is not None and not isinstance(module, expected):
        msg = f"{path} holds {type(module).__name__}, but {expected.__name__} is needed"
        raise InputError(msg)
    _fill(module, contents["state_dict"], path)
    return module.eval()  # type: ignore[return-value]


def load_weights(module: Portable, path: str | Path) -> None:
    """Load a checkpoint's weights into a module that is built already; errors as `read` and `put_weights`."""
    put_weights(module, read(path), path)


def put_weights(module: Portable, contents: dict[str, Any], path: str | Path) -> None:
    """Put the weights of a checkpoint, as `read` returned it, into a module that is built already.

    Raises:
        ValueError: If the checkpoint holds another class, or weights that do not fit.
    """
    held = contents["architecture"].get("class") if isinstance(contents["architecture"], dict) else None
    if held != type(module).__name__:  # classes that differ in what they compute may have the same weights
        msg = f"{path} holds {held or 'no class'}, but {type(module).__name__} is needed"
        raise InputError(msg)
    _fill(module, contents["state_dict"], path)


def require(path: str | Path) -> Path:
    """Return the path of a checkpoint that must exist.

    Raises:
        ValueError: If another checkpoint names it.
        FileNotFoundError: If it is no file; says which command makes it, or what lies in a folder.
    """
    refuse_named(path)
    path = Path(expanded(path))
    if (path / "model.ckpt").is_file():
        msg = f"{path} is a folder: give the checkpoint in it, {path / 'model.ckpt'}"
        raise FileNotFoundError(msg)
    if not path.is_file():
        msg = (
            f"there is no checkpoint {path}: make it with `python train.py pipeline --config configs/<data set>.yaml` "
            "or `python train.py fit --config <its stage's config>`, or give the path of another"
        )
        raise FileNotFoundError(msg)
    return path


def part(source: str | Path | _M, expected: type[_M]) -> _M:
    """Return a part of a larger module: the source itself, or what the checkpoint at that path holds.

    Raises:
        TypeError: If the module is of another class.
    """
    if isinstance(source, str | Path):
        return load(source, expected)
    if not isinstance(source, expected):
        msg = f"expected a {expected.__name__} or the path of its checkpoint, got {type(source).__name__}"
        raise InputTypeError(msg)
    return source


def refuse_named(source: str | Path) -> None:
    """Refuse to read a file, or to download one, if the checkpoint that is being loaded names it.

    Raises:
        ValueError: If it does.
    """
    if Path(source) in _named.get():
        msg = f"a checkpoint that is being loaded names another file, {source}: it must hold its parts itself"
        raise InputError(msg)


def read_tensors(path: Path, damaged: str) -> Any:
    """Return what a file of torch holds; only tensors and plain values are ever unpickled.

    Raises:
        ValueError: With the sentence `damaged`, if the file is damaged, not one of torch, or holds anything else.
        OSError: If it cannot be opened.
    """
    with path.open("rb") as file:
        try:
            if not zipfile.is_zipfile(file) or zipfile.ZipFile(file).testzip() is None:  # torch checks no checksum
                file.seek(0)
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # arbitrary bytes fail in arbitrary ways
            raise InputError(damaged) from error
    raise InputError(damaged)


def read(path: str | Path, remedy: str = "train it again") -> dict[str, Any]:
    """Return a checkpoint's contents, checked; only tensors and plain values are ever unpickled.

    Args:
        path: The file.
        remedy: What to do if it is damaged, for the error.

    Raises:
        FileNotFoundError: If there is no such file; says which command makes it.
        ValueError: If the file is no checkpoint of this project, is damaged, or newer.
    """
    path = require(path)
    damaged = f"{path} is damaged, or not a checkpoint of tensors and plain values: {remedy}"
    contents = read_tensors(path, damaged)
    if not isinstance(contents, dict) or not {"architecture", "state_dict"} <= set(contents):
        msg = f"{path} is not a checkpoint of this project: it names no architecture"
        raise InputError(msg)
    written = contents.get("format", FORMAT)
    if not (isinstance(contents["state_dict"], dict) and isinstance(written, int)):
        raise InputError(damaged)
    if written > FORMAT:
        msg = f"{path} has format {written}, this version reads up to {FORMAT}: upgrade the project"
        raise InputError(msg)
    return contents


def _fill(module: Portable, weights: dict[str, Any], path: str | Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        msg = f"the weights in {path} do not fit this {type(module).__name__} ({first})"
        raise InputError(msg) from error


def build(architecture: Any, path: Path) -> Portable:
    """Return a module, its weights at random, from its description.

    Args:
        architecture: Of `describe`, as it was read.
        path: Where it was read, for messages.

    Raises:
        ValueError: If it describes no module that is known here, or one of other arguments.
    """
    described = isinstance(architecture, dict) and set(architecture) == {"class", "arguments"}
    if not described or not isinstance(architecture["arguments"], dict):
        msg = f"{path} is not a checkpoint of this project: its architecture names no class and arguments"
        raise InputError(msg)
    name, classes = str(architecture["class"]), Portable._known  # noqa: SLF001 - the loader's registry
    if name not in classes:
        msg = (
            f"{path} holds a {name}, which is not known here: import the module that defines it first (for `train.py "
            "fit`, validate, test, predict and `evaluate.py` by --imports '[MODULE]')"
        )
        raise InputError(msg)
    arguments = {key: _unpack(value, path) for key, value in architecture["arguments"].items()}
    token = _named.set(frozenset(_texts(arguments)))
    try:
        inspect.signature(classes[name]).bind(**arguments)
    except TypeError as error:
        msg = f"{path} was written by another version of {name}: {error}"
        raise InputError(msg) from error
    try:
        return classes[name](**arguments)
    except Exception as error:  # wrong values fail in arbitrary ways
        if isinstance(error, MemoryError):
            raise
        written = ", ".join(f"{key}={value!r}" for key, value in arguments.items() if not isinstance(value, nn.Module))
        reason = f"{type(error).__name__}: {error}" if not isinstance(error, InputError) else str(error)
        msg = f"{path} holds {name}({written}), which cannot be built: {' '.join(reason.splitlines())}"
        raise InputError(msg) from error
    finally:
        _named.reset(token)


def _texts(value: Any) -> Iterator[Path]:
    """Yield all texts in a value, as paths."""
    if isinstance(value, str):
        yield Path(value)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _unpack(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        if set(value) == {"class", "arguments"}:
            return build(value, path)
        return {key: _unpack(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(item, path) for item in value]
    return value
