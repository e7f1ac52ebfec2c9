"""What an adversarial set depends on, as short digests: weights, attack, images, code."""

import ast
import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

import attacks
from attacks import Attack
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
    about = describe(module) if isinstance(module, Portable) else type(module).__qualname__
    found = hashlib.blake2b(digest(about).encode(), digest_size=16)
    for name, tensor in module.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(_bytes(tensor))
    return found.hexdigest()


def of_tensor(tensor: Tensor) -> str:
    """Return a digest of a tensor's values."""
    return hashlib.blake2b(_bytes(tensor), digest_size=16).hexdigest()


def of_code(attack: Attack | None, *modules: nn.Module) -> str:
    """Return a digest of the code that runs: of the attacks, and of the files that define these classes.

    Comments, docstrings and layout do not count, nor does what those files import from elsewhere. Libraries count by
    their versions (`versions`).

    Args:
        attack: Of a set of adversarial images; None: the attacks do not matter.
        modules: Networks that are asked.
    """
    classes: set[type] = {type(part) for module in modules for part in module.modules()}
    files = {Path(file) for each in classes if (file := _file(each))}
    if attack is not None:
        files |= {Path(file) for each in type(attack).__mro__ if (file := _file(each))}
        files |= set(Path(str(attacks.__file__)).parent.glob("*.py"))
    return digest(sorted(_logic(path, path.stat().st_mtime_ns) for path in files))


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute."""
    return {"torch": str(torch.__version__)}


def _bytes(tensor: Tensor) -> Any:
    """Return the values as a buffer."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _file(each: type) -> str | None:
    """Return the file that defines a class of this project or of a user's; None for a library's."""
    if each.__module__.partition(".")[0] in {*_LIBRARIES, *sys.stdlib_module_names}:
        return None
    try:
        return inspect.getsourcefile(each)
    except (TypeError, OSError):  # defined at a prompt
        return None


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
