"""Bad input: which exceptions count as it, and its one sentence."""

import importlib.util
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from attacks.errors import InputError, nearest, unknown
from saliency.class_paths import CLASS_KEYS, OWN, similar


class UsageError(Exception):
    """The parser does not accept the command line or a config."""


class TooFewError(InputError):
    """A run has too few images for what is asked."""


def refusal(error: BaseException | None) -> str | None:
    """Return the message if an error, or one that it came from, is about bad input; None if it is a bug."""
    while error is not None and not _refuses(error):
        error = (error.__cause__ or error.__context__) if isinstance(error, _WRAPPING) else None
    if error is None:
        return None
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    owner, place = [("", ""), *_frames(error)][-1]
    return _one_line(str(error)) + (f" ({place})" if owner == "user" and type(error) is ValueError else "")


_WRAPPING: Final = (ValueError, TypeError, OSError, RuntimeError, ImportError)
"""Classes of errors that libraries raise in place of one that a user's input caused."""


def _refuses(error: BaseException) -> bool:
    """Tell whether an error is about the input: by its class, else by the code that raised it.

    Classes of this project and of Lightning are, and what the system refuses. A ValueError of
    Python is where its library or a user's module raised it: on a line of these packages it is a bug. Lightning itself
    refuses flags of the trainer, a callback's metric and packages that are not installed; what it raises beneath a
    user's module is a bug there.
    """
    if _top(type(error).__module__) in {*OWN, "lightning"} or (isinstance(error, OSError) and error.errno):
        return True
    owners = [owner for owner, _ in _frames(error)]
    if owners[-1:] == ["lightning"] and isinstance(error, ValueError | RuntimeError | ImportError):
        return not {"user", *OWN[:-1]} & set(owners[owners.index("lightning") :])
    if isinstance(error, OSError):
        return owners[-1:] not in ([], ["library"], ["lightning"])
    return isinstance(error, ValueError) and owners[-1:] in (["python"], ["user"])


def _frames(error: BaseException) -> list[tuple[str, str]]:
    """Return whose code the frames of a traceback run, and where, outermost first."""
    frames = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        package, file = _top(frame.f_globals.get("__name__", "")), Path(frame.f_code.co_filename)
        if package in {*OWN, "lightning"}:
            owner = package
        elif package in sys.stdlib_module_names:
            owner = "python"
        else:
            owner = "library" if {"site-packages", "dist-packages"} & set(file.parts) else "user"
        frames.append((owner, f"{file.name}, line {line}"))
    return frames


def _top(module: str) -> str:
    return module.partition(".")[0]


def unknown_key(key: str, accepted: Iterable[str]) -> str:
    """Return the message for an unknown dotted key: its unknown part, the section, and the keys accepted there."""
    names, above, rest = list(accepted), "", key
    while True:
        part, _, rest = rest.partition(".")
        beside = list(dict.fromkeys(name.partition(".")[0] for name in names))
        if part not in beside or not rest:
            if not beside or (part not in CLASS_KEYS and nearest(part, CLASS_KEYS)):
                beside += CLASS_KEYS  # the section may name a class
            return (f"{above}: " if above else "") + unknown("key", part, beside)
        above = f"{above}.{part}" if above else part
        names = [name.removeprefix(f"{part}.") for name in names if name.startswith(f"{part}.")]


def expected(kind: Any, value: Any) -> str:
    """Return that a value is not of a type, both in YAML's words.

    Args:
        kind: A type, or the text that Python or jsonargparse prints for it.
        value: Or its text.
    """
    text, choices = str(kind), str(kind).removeprefix("typing.")
    plain = text.split("'")[1] if text.startswith("<") else choices
    head = plain.partition("[")[0]
    name = head.rpartition(".")[2]
    meant = ""
    if choices.startswith("Literal["):
        words = f"one of {choices[len('Literal[') : -1]}"
        meant = nearest(value, re.findall("'(.*?)'", choices))
    elif " " in head:  # jsonargparse's own words
        words = f"a {plain}".replace("tuple", "list")
    else:
        words = _WORDS.get(name, f"the class_path of a{'n' if name[:1] in 'AEIOU' else ''} {name}")
    return f"expected {words}" + ("" if value is None else f", got {_short(value)}{meant}")


_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "NoneType": "null",
    **dict.fromkeys(("list", "tuple", "set", "Sequence", "Iterable"), "a list"),
    **dict.fromkeys(("dict", "Mapping"), "keys with values"),
}


def _short(value: Any) -> str:
    """Return a value as a message repeats it, on one line and at most 80 characters of it."""
    text = "null" if value in (None, "None") else _one_line(str(value)).replace("Namespace(", "(")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_SHOWN: Final = 80


def explained(message: str, accepted: Iterable[str] = ()) -> str:
    """Return jsonargparse's message as one sentence: the key, the expected type, and the value.

    The one place that reads its English, which differs between versions: what has no form known here stays as it is.

    Args:
        message: A tree of lines: nested keys, and the types of a union.
        accepted: The keys that the parser accepts.
    """
    text = textwrap.dedent(message).strip()
    option = re.match(r"unrecognized arguments: --([^ =]+)", text)
    if option:
        return unknown_key(option[1], accepted)
    for form, sentence in _FORMS:
        match = re.match(form, text, re.DOTALL)
        if match:
            return sentence(*match.groups())
    return _one_line(text)


def _below(key: str, message: str) -> str:
    """Return the sentence of an error below a key; inner keys come first."""
    sentence = explained(message)
    inner = sentence.partition(": ")[0]
    if inner == sentence or " " in inner.replace(" in ", ""):
        return f"{key}: {sentence}"
    return sentence if inner == key else f"{inner} in {key}{sentence[len(inner) :]}"


def _of_union(types: str, errors: str, value: str) -> str:
    """Return the error of the union's type that matches the value's outer form; else list all types."""
    for part in textwrap.dedent(f"\n{errors}").split("\n- ")[1:]:
        outside = re.match(r"(?:Expected a (?!dot import)|Not a valid subclass of )(?!.*Got value: )", part)
        abstract = "is abstract" in part and "class_path" not in value  # the accepted type, no given one
        if not outside and not abstract:
            return explained(f"  {part}" if "\n" in part else part)
    names = sorted(re.split(r", (?![^\[]*\])", types), key=lambda name: "NoneType" in name)
    words = [expected(name, None).removeprefix("expected ") for name in names]
    return f"expected {' or '.join(dict.fromkeys(words))}, got {_short(value)}"


def _of_class(path: str, reason: str) -> str:
    """Return why a class path names no class, or why its arguments are none."""
    package, _, name = path.rpartition(".")
    module = sys.modules.get(package)
    if hasattr(module, name):
        no_section = "object has no attribute 'keys'" in reason
        return f"the init_args of {path} must be its arguments by name" if no_section else explained(reason)
    if module is None and _exists(package):
        frozen = "; attacks need @dataclass(frozen=True)" if "non-frozen dataclass" in reason else ""
        return f"class_path {path} cannot be imported: {_one_line(reason)}{frozen}"
    return f"unknown class_path {path!r}" + (similar(path) or f" ({_one_line(reason)})")


def _exists(module: str) -> bool:
    """Return whether a module of that name exists; importing it may still fail."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _of_choice(kind: str, name: str, choices: str) -> str:
    return unknown(kind, name, [choice.strip(" '") for choice in choices.split(",")])


def _required(options: str) -> str:
    """Return which options are missing, those of a subcommand as they are typed."""
    typed = re.sub(r"\w+\.(?=\w)", "--", options)
    of_pipeline = {"classifier", "attacks"} <= set(options.split(", "))
    file = "; give a pipeline file that has them, as --config configs/digits.yaml" if of_pipeline else ""
    return f"the following arguments are required: {typed}{file}"


_FORMS: tuple[tuple[str, Callable[..., str]], ...] = (
    (r'Parser key "([^"]+)"[^:\n]*:\s*?(\n.*|[^\n].*)', _below),
    (r"- Expected a path but .*?\n\s*- (.*)", explained),
    (
        r"Does not validate against any of the Union subtypes\nSubtypes: [\[(](.*?)[\])]\nErrors:\n(.*)"
        r"\nGiven value type: [^\n]*\nGiven value: (.*)",
        _of_union,
    ),
    (r"Problem with given class_path '(.*?)':\n(.*)", _of_class),
    (
        r"(?:Expected a dot import path string|Unexpected import path format): ([^\n]*)",
        "expected the class_path of a class, as my_module.MyClass, got {}".format,
    ),
    (r"argument (\w+): invalid choice: '(.+?)' \(choose from (.+)\)", _of_choice),
    (r"the following arguments are required: (.+)", _required),
    (r"(?:Expected a|Not a valid subclass of) ([^\n]*?)(?:\. Got value: ([^\n]*))?(?:\n.*)?$", expected),
)
"""Patterns of jsonargparse's messages, each with the function that turns its groups into a sentence."""


def _one_line(text: str) -> str:
    return " ".join(filter(None, map(str.strip, text.splitlines())))
