"""What jsonargparse says of a config that it does not accept, in one sentence."""

import difflib
import importlib.util
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final


def one_sentence(message: str, configs: list[Any] | None = None, accepted: Collection[str] = ()) -> str:
    """Return the parser's message in one sentence: the key, what was expected or what is accepted there, and the value.

    Args:
        message: Of jsonargparse; may have many lines.
        configs: The parsed YAML files of the command, to look a rejected key up.
        accepted: The options of the parser that told it, as `trainer.max_epochs`.
    """
    choice = re.search(r"invalid choice: '([^']+)' \(choose from (.+)\)", message)
    if choice:
        close = difflib.get_close_matches(choice[1], [name.strip(" '") for name in choice[2].split(",")], 1)
        return message + (f"; did you mean {close[0]}" if close else "")
    stage = re.match(r"stage [^ :]+: ", message)
    told = message[stage.end() :] if stage else message
    refusal = _refusal(told)
    rejected = _REJECTED.search(refusal.reason)
    wrong = [told for config in configs or [] for told in _wrong_sections(config)]
    if wrong:
        reason = wrong[0]
    elif rejected:
        reason = _of_rejected(next(filter(None, rejected.groups())), refusal.keys, configs or [], accepted)
    else:
        where = " in ".join(dict.fromkeys(reversed(refusal.keys)))
        got = "" if refusal.value is None else f", got {_short(refusal.value)}"
        option = re.sub(r"(arguments are required: )(?:\w+\.)?(\w+)$", r"\1--\2", refusal.reason)
        reason = f"{where}: {refusal.reason}{got}" if where else f"{option}{got}"
    return f"{stage[0] if stage else ''}{reason}"


@dataclass(frozen=True)
class _Refusal:
    """What jsonargparse says of a value, which it prints as a tree: by nested keys, and by the types of a union.

    Attributes:
        keys: That lead to the value, those that jsonargparse names, outermost first.
        reason: What is wrong, or what was expected.
        value: What was given, as far as it says more than the reason.
        inside: Whether the reason is about something within the value, of which one type took the outside.
    """

    keys: tuple[str, ...]
    reason: str
    value: str | None = None
    inside: bool = True


_REJECTED: Final = re.compile(
    r"(?:[Oo]ption|Group '[^']+' does not accept option) '([^']+)'(?: is not accepted|$)"
    r"|Key '([^']+)' is not expected|unrecognized arguments: --([^ =]+)"
)


def _refusal(message: str) -> _Refusal:
    """Return what the innermost part of a message of jsonargparse says."""
    message = re.sub(r"- Expected a path but .*\s+- ", "", textwrap.dedent(message)).strip()
    head, _, body = message.partition("\n")
    key = re.match(r'Parser key "([^"]+)"[^:]*: *', head)
    if key:
        inner = _refusal(body if key.end() == len(head) else message[key.end() :])
        return replace(inner, keys=(key[1], *inner.keys), inside=True)
    path = re.match(r"Problem with given class_path '(.*)':$", head)
    if path:
        return _of_class(path[1], _refusal(body))
    if head.startswith("Does not validate against any of the Union"):
        return _of_union(body)
    leaf, got, value = message.partition(". Got value: ")
    if leaf.startswith(("Expected a dot import path string: ", "Unexpected import path format: ")):
        return _Refusal((), "expected the class_path of a class, as my_module.MyClass", leaf.partition(": ")[2])
    plain = re.match(r"(?:Expected a|Not a valid subclass of) ", leaf)
    reason = f"expected {_expected(leaf[plain.end() :].partition(chr(10))[0])}" if plain else " ".join(leaf.split())
    return _Refusal((), reason, value.partition("\n")[0] if got else None, inside=bool(got) or plain is None)


def _of_union(body: str) -> _Refusal:
    """Return what the one type says that took the outside of the value; else all that are accepted."""
    types, _, rest = body.partition("Errors:\n")
    errors, _, value = rest.partition("\nGiven value type: ")
    parts = re.split(r"^- ", textwrap.dedent(errors), flags=re.MULTILINE)[1:]
    refusals = [_refusal(f"  {part}" if "\n" in part else part) for part in parts]
    shown = value.partition("\nGiven value: ")[2]
    for refusal in refusals:
        abstract = "is abstract" in refusal.reason and "class_path" not in shown  # the accepted type, no given one
        if refusal.inside and refusal.value != shown and not abstract:
            return refusal
    names = re.split(r", (?![^\[]*\])", types.strip().removeprefix("Subtypes: [").removesuffix("]"))
    names.sort(key=lambda name: "NoneType" in name)
    expected = " or ".join(dict.fromkeys(_expected(name) for name in names))
    return _Refusal((), f"expected {expected}", shown, inside=False)


def _of_class(path: str, inner: _Refusal) -> _Refusal:
    """Return what is wrong with a section that names a class: its path, or what its arguments say."""
    if inner.keys or "argument" in inner.reason or _REJECTED.search(inner.reason):
        return inner
    package, _, name = path.rpartition(".")
    module = sys.modules.get(package)
    if hasattr(module, name):
        no_section = "object has no attribute 'keys'" in inner.reason
        return _Refusal((), f"the init_args of {path} must be its arguments by name") if no_section else inner
    if module is None and _exists(package):
        frozen = "; attacks need @dataclass(frozen=True)" if "non-frozen dataclass" in inner.reason else ""
        return _Refusal((), f"class_path {path} cannot be imported: {inner.reason}{frozen}")
    close = difflib.get_close_matches(name, getattr(module, "__all__", dir(module)), 1) if module else []
    meant = f"; did you mean {package}.{close[0]!s}" if close else f" ({inner.reason})"
    return _Refusal((), f"class_path {path} names nothing{meant}")


def _exists(module: str) -> bool:
    """Tell whether there is a module of that name, though importing it may fail."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "NoneType": "null",
    **dict.fromkeys(("list", "tuple", "set", "Sequence", "Iterable"), "a list"),
    **dict.fromkeys(("dict", "Mapping"), "keys with values"),
}
"""What types are called in YAML's words."""


def _expected(kind: str) -> str:
    """Return what a type accepts, in words, from the way in which Python prints it."""
    choices = re.fullmatch(r"(?:typing\.)?Literal\[(.+)\]", kind)
    if choices:
        return f"one of {choices[1]}"
    plain = re.sub(r"<\w+ '(.+)'>", r"\1", kind)
    name = plain.partition("[")[0].rpartition(".")[2]
    if " " in plain.partition("[")[0]:  # jsonargparse's own words
        return f"a {plain}".replace("tuple", "list")
    return _WORDS.get(name, f"the class_path of a{'n' if name[:1] in 'AEIOU' else ''} {name}")


_SHOWN: Final = 80
"""Characters of a value that a message repeats."""


def _short(value: str) -> str:
    """Return a value as a message repeats it, on one line."""
    value = "null" if value == "None" else " ".join(re.sub(r"\bNamespace\(", "(", value).split())
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."


def _of_rejected(option: str, keys: Sequence[str], configs: list[Any], accepted: Collection[str]) -> str:
    """Return what to say of an option that its parser does not know: its wrong part, and what is accepted there."""
    parts = option.split(".")
    for depth, part in enumerate(() if keys else parts):
        beside = _below(accepted, parts[:depth])
        if beside and part not in beside:
            return f"the key {part!r} is not accepted{_meant_by(part, beside, '.'.join(parts[:depth]))}"
    together: Any = reduce(_over, configs, {})  # a file that is put over another one may leave the class_path to that
    for part in parts:
        for names in _accepted_beside(part, together):
            return f"the key {part!r} is not accepted{_meant_by(part, names)}"
    wrong = f"{parts[0]!r} is not accepted in {keys[-1]}" if keys else f"{parts[-1]!r} is not accepted"
    return f"the key {wrong}; see `--help`, and `--model.help CLASS` or `--data.help CLASS` for a class's arguments"


def _below(options: Collection[str], parts: list[str]) -> list[str]:
    """Return the next parts of those dotted options that begin with these parts."""
    depth = len(parts)
    split = [each.split(".") for each in options]
    return list(dict.fromkeys(each[depth] for each in split if each[:depth] == parts and len(each) > depth))


def _meant_by(key: str, names: Sequence[str], section: str = "") -> str:
    """Return what is accepted in a key's place, and the nearest of it."""
    close = difflib.get_close_matches(key, names, 1)
    meant = f"; did you mean {close[0]!r}" if close else ""
    where = f"in {section}" if section else "here"
    return f": {where} {', '.join(names)} are{meant}" if len(names) <= _LISTED or not close else meant


_LISTED: Final = 12
"""Names that are all told, even where one of them is near."""

CLASS_KEYS: Final = ("class_path", "init_args", "dict_kwargs")
"""Of a section that names a class."""


def _wrong_sections(config: Any) -> list[str]:
    """Return what is wrong with sections of a class: keys beside its path and its arguments, a path that is no text."""
    if isinstance(config, list):
        return [told for item in config for told in _wrong_sections(item)]
    if not isinstance(config, dict):
        return []
    strange = [str(key) for key in config if key not in CLASS_KEYS]
    found = [f"the key {key!r} is not accepted{_meant_by(key, CLASS_KEYS[:2])}" for key in strange]
    found = found if len(strange) < len(config) else []
    if not isinstance(config.get("class_path", ""), str):
        found.append(f"class_path: expected text, the name of a class, got {_short(str(config['class_path']))}")
    return found + [told for item in config.values() for told in _wrong_sections(item)]


def _accepted_beside(key: str, config: Any) -> list[list[str]]:
    """Return the arguments of each class in the config whose `init_args` hold the key, without being one."""
    if isinstance(config, list):
        return [names for item in config for names in _accepted_beside(key, item)]
    if not isinstance(config, dict):
        return []
    found = [names for item in config.values() for names in _accepted_beside(key, item)]
    arguments = config.get("init_args")
    if isinstance(arguments, dict) and key in arguments:
        parameters = inspect.signature(_class(str(config.get("class_path")))).parameters
        found.insert(0, [name for name in parameters if name != "self"])
    return [names for names in found if names and key not in names]


def _over(first: Any, second: Any) -> Any:
    """Return the first config with the second over it, as the parser puts them together."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    return first | {key: _over(first.get(key), value) for key, value in second.items()}


def _class(path: str) -> Callable[..., Any]:
    package, _, name = path.rpartition(".")
    found: Callable[..., Any] = getattr(sys.modules.get(package), name, object)
    return found
