"""Short digests of what an adversarial set depends on: weights, attack, images, code, versions."""

import ast
import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from attacks import Attack
from attacks.errors import InputTypeError
from data.batches import Pixels
from saliency import SaliencyMethod
from saliency.checkpoints import Portable, describe
from saliency.class_paths import OWN

_LIBRARIES: Final = ("torch", "torchvision", "lightning", "torchmetrics")
"""Packages whose version stands for their code."""

_COMPUTING: Final = nn.Module | Attack | SaliencyMethod
"""What computes, and so must lie in a file."""


def digest(value: Any) -> str:
    """Return 32 hexadecimal digits of a value that JSON can hold."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def of_module(module: nn.Module) -> str:
    """Return a digest of a module's class, arguments, weights and buffers, whatever its device."""
    result = hashlib.blake2b(digest(_about(module)).encode(), digest_size=16)
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):
            msg = f"{name} of {type(module).__name__} is a {type(tensor).__name__}, not a tensor, and cannot be hashed"
            raise InputTypeError(msg)
        result.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        result.update(_bytes(tensor))
    return result.hexdigest()


def _about(module: nn.Module) -> Any:
    """Return a module's class and arguments; of one that no checkpoint can hold, those of its parts."""
    if isinstance(module, Portable):
        with suppress(InputTypeError):  # a part is somebody's own module
            return describe(module)
    return [_plain_parts(part) for part in module.modules()]


def _plain_parts(module: nn.Module) -> list[Any]:
    """Return a module's class and the plain values among its own attributes, which may change what it computes."""
    if isinstance(module, Portable):
        with suppress(InputTypeError):
            return [describe(module)]
    kept = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
    plain = {name: repr(value) for name, value in kept.items() if isinstance(value, bool | int | float | str)}
    return [type(module).__qualname__, plain]


def of_tensor(tensor: Tensor) -> str:
    """Return a digest of a tensor's type, shape and values."""
    return of_parts(tensor.dtype, tensor.shape, [tensor])


def of_parts(dtype: torch.dtype, shape: torch.Size, parts: Iterable[Tensor]) -> str:
    """Return the digest of a tensor from its type, its shape and its parts, in the order of its rows."""
    result = hashlib.blake2b(f"{dtype} {tuple(shape)}".encode(), digest_size=16)
    for part in parts:
        result.update(_bytes(part))
    return result.hexdigest()


def of_parameters(method: Attack | SaliencyMethod) -> str:
    """Return a digest of the class and the values of all hyper-parameters of an attack or a saliency method.

    Networks count by their weights, tensors by their values, the paths of files by the files' bytes.

    Raises:
        TypeError: If a hyper-parameter is of another kind, which cannot be hashed.
    """
    return digest(_plain(method, type(method).__name__))


def of_code(*things: Any) -> str:
    """Return a digest of the code that runs when these objects are called.

    The objects are followed into what they hold: a module into its parts, an attack into its attacks and modules. The
    code of an object is the file that defines its class, those of the base classes, and the files that these import
    by name, and so on: `from detectors import Classifier` counts the file that defines Classifier. Annotations,
    comments, docstrings and the locations of files do not count. Installed packages count by their versions
    (`versions`).

    Raises:
        TypeError: If a class lies in no file, so that its code cannot be read.
    """
    classes = {base for thing in _held(things) for base in type(thing).__mro__}
    waiting = [used.__module__ for used in classes if not _is_library(used.__module__)]
    logic: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name not in logic:
            source = _source(name)
            logic[name] = source.logic
            waiting += source.needed()
    return digest(sorted(logic.values()))


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute."""
    return {"torch": str(torch.__version__)} | {name: version(name) for name in ("torchvision", "numpy", "advertorch")}


def _plain(value: Any, name: str) -> Any:
    """Return a value in a form that JSON can hold, complete."""
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        kept = {field: _plain(getattr(value, field), f"{name}.{field}") for field in fields}
        return {"class": type(value).__qualname__, "fields": kept}
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
    msg = (
        f"{name} is a {type(value).__name__}, which cannot be hashed, so its results cannot be stored: give "
        "store: null to attack on the fly"
    )
    raise InputTypeError(msg)


def _bytes(tensor: Tensor) -> Any:
    """Return the values as a buffer."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _held(things: Iterable[Any]) -> Iterator[Any]:
    """Yield objects and what they hold: parts of a module, attacks and modules of an attack, and so on."""
    waiting, seen = list(things), set()
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, tuple | list):
            waiting += thing
        elif id(thing) not in seen and (isinstance(thing, _COMPUTING) or _file(type(thing).__module__)):
            seen.add(id(thing))
            waiting += getattr(thing, "__dict__", {}).values()
            waiting += [getattr(thing, name) for name in getattr(thing, "__dataclass_fields__", ())]
            yield thing


def _is_library(module: str) -> bool:
    return module.partition(".")[0] in {*_LIBRARIES, *sys.stdlib_module_names} and module != "__main__"


def _file(module: str) -> Path | None:
    """Return the file of a module of this project or of a user; None for installed packages and unknown names."""
    if _is_library(module):
        return None
    loaded = sys.modules.get(module)
    path = _place(module) if loaded is None else getattr(loaded, "__file__", None)
    if path is None or not path.endswith(".py"):
        return None
    installed = not {"site-packages", "dist-packages"}.isdisjoint(Path(path).parts)
    return None if installed and module.partition(".")[0] not in OWN else Path(path)


@functools.cache
def _place(module: str) -> str | None:
    """Return where a module lies that was not imported; None where there is none."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin


class _Source(ast.NodeTransformer):
    """A module's code: what it computes, without docstrings and annotations, and what it imports."""

    def __init__(self, module: str, path: Path) -> None:
        self._package = module if path.stem == "__init__" else module.rpartition(".")[0]
        self._in_annotations: set[str] = set()
        self.imports: list[tuple[str, str, str]] = []
        """The name here, the module, and the name there; empty for the module itself."""
        tree = self.visit(ast.parse(path.read_text()))
        self._uses = {name: set[str]() for name in self._in_annotations} | _uses(tree)
        names = [(here, module if _file(module) is None else "", there) for here, module, there in self.imports]
        self.logic = digest([ast.dump(tree), sorted(name for name in names if self._uses.get(name[0], True))])

    def visit(self, node: ast.AST) -> Any:
        """Take the docstring and the annotations of a node away."""
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                self._in_annotations |= _uses(getattr(node, name)).keys()
                setattr(node, name, ast.Constant(None))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
        return super().visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Take `import a.b` away; note it."""
        self.imports += [(alias.asname or alias.name.partition(".")[0], alias.name, "") for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Take `from a import b` away; note it."""
        module = resolve_name("." * node.level + (node.module or ""), self._package)
        self.imports += [(alias.asname or alias.name, module, alias.name) for alias in node.names]

    def needed(self) -> list[str]:
        """Return the modules that define what is used here: of this project or of a user, re-exports followed."""
        definers = {
            _definer(module, there or attribute)
            for here, module, there in self.imports
            for attribute in self._uses.get(here, {""})
        }
        return [module for module in definers if _file(module) is not None]


def _uses(tree: ast.AST) -> dict[str, set[str]]:
    """Return the names that are read, each with the attributes that are read of it; empty where it stands alone."""
    uses: dict[str, set[str]] = {}
    owners = set()
    for node in ast.walk(tree):  # an attribute comes before the name that it is read of
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owners.add(node.value)
            uses.setdefault(node.value.id, set()).add(node.attr)
        elif isinstance(node, ast.Name) and node not in owners:
            uses.setdefault(node.id, set()).add("")
    return uses


def _definer(module: str, name: str) -> str:
    """Return the module that defines a name offered by a module; a submodule of that name defines itself."""
    if name in {"", "*"} or _file(module) is None:
        return module
    if _file(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    origins = [(there, original) for here, there, original in _source(module).imports if here == name]
    return _definer(*origins[-1]) if origins else module


def _source(module: str) -> _Source:
    path = getattr(sys.modules.get(module), "__file__", None) or _file(module)
    if path is None or Path(path).suffix != ".py" or not Path(path).is_file():
        msg = (
            f"{module} lies in no file of Python, so that a change of its code would not be noticed: put its classes "
            "into a module, or give store: null"
        )
        raise InputTypeError(msg)
    source = _parsed(module, Path(path), Path(path).stat().st_mtime_ns)
    if not any(there == "lazy_loader" for _, there, _ in source.imports):
        return source
    stub = Path(path).with_suffix(".pyi")  # says what the package imports on first use
    return _parsed(module, stub, stub.stat().st_mtime_ns)


@functools.cache
def _parsed(module: str, path: Path, changed: int) -> _Source:  # noqa: ARG001 - part of the cache's key
    return _Source(module, path)


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
