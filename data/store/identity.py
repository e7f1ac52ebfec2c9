"""What an adversarial set depends on, as short digests: weights, attack, images, code, versions."""

import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor, nn

from attacks import Attack
from attacks.errors import InputTypeError
from data.batches import Pixels
from saliency.checkpoints import Portable, describe

_LIBRARIES: Final = ("torch", "torchvision", "lightning", "torchmetrics")
"""Packages whose version stands for their code."""


def digest(value: Any) -> str:
    """Return 32 hexadecimal digits of a value that JSON can hold."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def of_module(module: nn.Module) -> str:
    """Return a digest of a module's class, arguments, weights and buffers.

    Args:
        module: On any device.
    """
    about = describe(module) if isinstance(module, Portable) else [_plain_parts(part) for part in module.modules()]
    found = hashlib.blake2b(digest(about).encode(), digest_size=16)
    for name, tensor in module.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(_bytes(tensor))
    return found.hexdigest()


def _plain_parts(module: nn.Module) -> list[Any]:
    """Return a module's class and the plain values among its own attributes, which may change what it computes."""
    if isinstance(module, Portable):
        return [describe(module)]
    kept = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
    plain = {name: repr(value) for name, value in kept.items() if isinstance(value, bool | int | float | str)}
    return [type(module).__qualname__, plain]


def of_tensor(tensor: Tensor) -> str:
    """Return a digest of a tensor's type, shape and values."""
    found = hashlib.blake2b(f"{tensor.dtype} {tuple(tensor.shape)}".encode(), digest_size=16)
    found.update(_bytes(tensor))
    return found.hexdigest()


def of_attack(attack: Attack) -> str:
    """Return a digest of an attack's class and the values of all its hyper-parameters.

    Networks count by their weights, tensors by their values, the paths of files by what the files hold.

    Args:
        attack: A dataclass.

    Raises:
        TypeError: If a hyper-parameter is something else: what it holds cannot be told.
    """
    return digest(_plain(attack, type(attack).__name__))


def of_code(*things: Any) -> str:
    """Return a digest of the code that runs when these objects are called.

    Counted are the files that define their classes, those of the classes that these derive from and, for a module, of
    all its parts; and the files of whatever these import, and so on. Comments, docstrings and layout do not count.
    Libraries count by their versions (`versions`).

    Args:
        things: Attacks, with the attacks and modules among their hyper-parameters, and modules.

    Raises:
        TypeError: If a class lies in no file, so that its code cannot be read.
    """
    objects = [part for thing in things for part in _within(thing)]
    classes = {base for each in objects for base in type(each).__mro__}
    waiting = [sys.modules[each.__module__] for each in classes if not _is_library(each.__module__)]
    seen: dict[str, str] = {}
    while waiting:
        module = waiting.pop()
        if module.__name__ not in seen:
            path = _source(module)
            seen[module.__name__] = _logic(path, path.stat().st_mtime_ns)
            waiting += _imported(module)
    return digest(sorted(seen.values()))


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute."""
    found = {name: version(name) for name in ("torchvision", "numpy", "advertorch")}
    return {"torch": str(torch.__version__), **found}


def _plain(value: Any, name: str) -> Any:
    """Return a value as JSON can hold it, everything that matters in it."""
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [each.name for each in dataclasses.fields(value)]
        kept = {field: _plain(getattr(value, field), f"{name}.{field}") for field in fields}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", "fields": kept}
    return _leaf(value, name)


def _leaf(value: Any, name: str) -> Any:
    """Return a value that holds no others."""
    if isinstance(value, nn.Module):
        return {"module": of_module(value), "code": of_code(value)}
    if isinstance(value, Tensor):
        return {"tensor": of_tensor(value)}
    if isinstance(value, str | Path) and Path(value).is_file():
        return {"file": hashlib.blake2b(Path(value).read_bytes(), digest_size=16).hexdigest()}
    if value is None or isinstance(value, bool | int | float | str | Path):
        return repr(value)
    msg = f"{name} is a {type(value).__name__}, whose content cannot be told: give store: null to attack on the fly"
    raise InputTypeError(msg)


def _bytes(tensor: Tensor) -> Any:
    """Return the values as a buffer."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _is_library(module: str) -> bool:
    return module.partition(".")[0] in {*_LIBRARIES, *sys.stdlib_module_names} and module != "__main__"


def _within(thing: Any) -> Iterator[Any]:
    """Yield an object and those that it calls: the parts of a module, the attacks and modules that an attack holds."""
    if isinstance(thing, nn.Module):
        yield from thing.modules()
        return
    yield thing
    if dataclasses.is_dataclass(thing):
        for each in dataclasses.fields(thing):
            value = getattr(thing, each.name)
            for held in value if isinstance(value, tuple | list) else (value,):
                if isinstance(held, Attack | nn.Module):
                    yield from _within(held)


def _source(module: ModuleType) -> Path:
    path = getattr(module, "__file__", None)
    if path is None or not Path(path).is_file():
        msg = (
            f"{module.__name__} lies in no file, so that a change of its code would not be noticed: put its classes "
            "into a module, or give store: null"
        )
        raise InputTypeError(msg)
    return Path(path)


def _imported(module: ModuleType) -> list[ModuleType]:
    """Return the modules, of this project or of a user, that a module's names come from."""
    found = []
    for value in list(vars(module).values()):
        name = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        other = sys.modules.get(name) if isinstance(name, str) else None
        path = getattr(other, "__file__", None)
        own = (
            path is not None and path.endswith(".py") and not {"site-packages", "dist-packages"} & set(Path(path).parts)
        )
        if other is not None and own and not _is_library(str(name)):
            found.append(other)
    return found


@functools.cache
def _logic(path: Path, changed: int) -> str:  # noqa: ARG001 - part of the cache's key
    """Return a digest of a file's syntax tree without docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = list(_without_docstring(node.body))
    return digest(ast.dump(tree))


def _without_docstring(body: list[ast.stmt]) -> Iterable[ast.stmt]:
    first = body[0] if body else None
    told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if told else body


_CHUNK_BYTES = 1 << 24


def content_digest(pixels: Pixels, labels: Tensor) -> str:
    """Return a hex digest of all images and labels, the same wherever and in whatever layout they lie.

    Args:
        pixels: M images (C, H, W) uint8, read in chunks.
        labels: (M,) int64.
    """
    digest = hashlib.blake2b(digest_size=20)
    first = pixels[torch.arange(min(1, len(labels)))]
    digest.update(str((len(labels), *first.shape[1:])).encode())
    size = max(1, _CHUNK_BYTES // max(1, first.numel()))
    for start in range(0, len(labels), size):
        chunk = pixels[torch.arange(start, min(start + size, len(labels)))]
        digest.update(chunk.reshape(-1).numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
