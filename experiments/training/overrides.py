"""Options over a pipeline file: values below sections without types of their own, and how sections are put together."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from attacks.errors import InputError
from experiments.errors import UsageError
from experiments.parser import with_home
from saliency.files import expanded, read_yaml

UNTYPED: Final = ("trainer", "classifier", "saliency", "detectors", "training_free")
"""Sections that are checked as `fit` configs, once the paths of earlier stages are filled in."""

_CONFIG: Final = ("-c", "--config")


def overrides(arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the other arguments, and the values given below an untyped section, nested.

    A file that `--config` names and that holds `model` alone, as those of configs/networks/, is the classifier's: it
    goes over all pipeline files.

    Raises:
        UsageError: If a value is missing or no YAML, or an argument belongs to no callback.
    """
    rest: list[str] = []
    values: dict[str, Any] = {}
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, text = argument.partition("=")
        if name in _CONFIG:
            file = text if equals else next(remaining, "")
            model = _network(file)
            values = values if model is None else merge(values, {"classifier": {"model": model}})
            rest += [] if model else [f"{name}={file}"]
            continue
        if not name.startswith(tuple(f"--{section}." for section in UNTYPED)):
            rest.append(argument)
            continue
        value = _value(name, text if equals else next(remaining, None))
        place = re.sub(r"\bcallbacks\+$", "callbacks", name.removeprefix("--")).split(".")
        if "callbacks" in place:
            end = place.index("callbacks") + 1
            before: Any = values
            for key in place[:end]:
                before = before.get(key) if isinstance(before, Mapping) else None
            value, place = _added(before, place[end:], value), place[:end]
        values = merge(values, _nested(place, value))
    return rest, values


def _network(file: str) -> dict[str, Any] | None:
    """Return the model of a file that holds nothing else; its network's outputs are those of the data.

    None for other files; the parser says what is wrong with them.
    """
    try:
        contents = read_yaml(Path(expanded(file)))
    except (OSError, InputError):
        return None
    if not isinstance(contents, Mapping) or set(contents) != {"model"} or not isinstance(contents["model"], Mapping):
        return None
    model = dict(contents["model"])
    arguments = model.get("init_args") or {}
    if isinstance(arguments.get("network"), Mapping):
        (arguments["network"].get("init_args") or {}).pop("outputs", None)
    return model


def _value(name: str, text: str | None) -> Any:
    if text is None or text.startswith("--"):
        msg = f"argument {name}: expected one value"
        raise UsageError(msg)
    try:
        return with_home(yaml.safe_load(text))
    except yaml.YAMLError as error:
        msg = f"argument {name}: {text!r} is not YAML"
        raise UsageError(msg) from error


def _added(callbacks: list[Any] | None, argument: list[str], value: Any) -> list[Any] | None:
    """Return the callbacks of a command line with one more, or with an argument of the last one.

    The argument is the part of the option after `callbacks`: nothing or class_path for another callback.
    """
    inner = [part for part in argument if part != "init_args"]
    if inner in ([], ["class_path"]):
        return None if value is None else [*(callbacks or []), *callbacks_of({"callbacks": value})]
    if not callbacks:
        msg = f"callbacks.{'.'.join(argument)} belongs to no callback: name its class before, +=CLASS"
        raise UsageError(msg)
    return [*callbacks[:-1], merge(callbacks[-1], {"init_args": _nested(inner, value)})]


def _nested(place: list[str], value: Any) -> Any:
    """Return the value in dicts within dicts, at its place."""
    for key in reversed(place):
        value = {key: value}
    return value


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first section with the second over it.

    Dicts are merged; callbacks are added unless they are null, and take the place of those of their class; everything
    else is replaced.
    """
    result = dict(first)
    for key, value in second.items():
        if key == "callbacks" and value is not None:
            later = callbacks_of(second)
            replaced = [_class_of(callback) for callback in later]
            result[key] = [one for one in callbacks_of(result) if _class_of(one) not in replaced] + later
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def callbacks_of(trainer: Mapping[str, Any]) -> list[Any]:
    """Return the callbacks of a trainer's section as a list of sections, each with the path of a class."""
    callbacks = trainer.get("callbacks") or []
    entries = callbacks if isinstance(callbacks, list) else [callbacks]
    return [{"class_path": one} if isinstance(one, str) else one for one in entries]


def _class_of(callback: Any) -> Any:
    return callback.get("class_path") if isinstance(callback, Mapping) else callback
