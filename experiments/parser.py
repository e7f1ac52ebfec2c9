"""The parser of every command, and folders as a user names them."""

import re
import shlex
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser

from attacks.errors import InputError, unknown
from experiments.errors import UsageError, expected, explained, unknown_key
from saliency.class_paths import CLASS_KEYS, OWN, import_all
from saliency.files import expanded

import_all(*OWN[:-1])  # a parser knows subclasses, and their bare names, once they are imported

set_parsing_settings(instantiate_subclass_spec_in_any=False)  # else a config could call any function

# jsonargparse reads a text such as 1e3 as a number; PyYAML does not, and would write it without quotes.
yaml.SafeDumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _check_sections(config: Any, *place: str) -> None:
    """Refuse sections of a class that have a key beside these, or a path that is no text."""
    if isinstance(config, dict):
        strange = [str(key) for key in config if key not in {*CLASS_KEYS, "dict_kwargs"}]
        where = f"{'.'.join(place)}: " if place else ""
        if strange and len(strange) < len(config):
            raise UsageError(where + unknown("key", strange[0], CLASS_KEYS))
        if not isinstance(config.get("class_path", ""), str):
            raise UsageError(where + "class_path: " + expected(str, str(config["class_path"])))
        for key, value in config.items():
            _check_sections(value, *place, str(key))
    for value in config if isinstance(config, list) else ():
        _check_sections(value, *place)


_MARKUP: Final = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`|``([^`]*)``|`([^`<]*?) <[^`>]*>`_", re.DOTALL)
"""reStructuredText in the help of Lightning's options, which a terminal shows as it is."""

_KNOWN: Final = re.compile(r"\s+known\s+subclasses:([\s\w.,]*)")
_INTERNAL: Final = re.compile(rf"({'|'.join(OWN)})\.(?!published\.\w+$)\w+\.")
"""Class paths of this project that are not the ones to name a class by."""


def _public_classes(match: re.Match[str]) -> str:
    """Return the classes that an option takes, without those that no user names, and none cut by the end of a line."""
    names = [name for name in "".join(match[1].split()).split(",") if not _INTERNAL.match(name)]
    text = f"known subclasses: {', '.join(names)}"
    return "\n" + textwrap.fill(text, 78, initial_indent=_AT, subsequent_indent=_AT, break_long_words=False)


_AT: Final = 24 * " "
"""Before the help of an option."""

_WITHOUT_VALUE: Final = ("help", "print_config", "print_shtab")


class Parser(LightningArgumentParser):
    """An argument parser whose errors are one sentence each, with the accepted keys for a wrong one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allow_abbrev = False  # a typo is no abbreviation

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        """Return the options; `~` at the beginning of a text is the home folder."""
        return with_home(super().parse_args(*args, **kwargs))

    def parse_object(self, *args: Any, **kwargs: Any) -> Any:
        """Return the options of nested dicts; `~` at the beginning of a text is the home folder."""
        return with_home(super().parse_object(*args, **kwargs))

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        """Return the help: `evaluate.py transfer [options]`, types by name, no markup, no default of an empty text."""
        self.prog = self.prog.replace(" [options]", "")
        for action in self._actions:
            action.help = action.help and _MARKUP.sub(r"\1\2\3", action.help)
        text = re.sub(r"<class\s+'(?:\w+\.)*(\w+)'>", r"\1", super().format_help(*args, **kwargs))
        return _KNOWN.sub(_public_classes, re.sub(r",\s+default: \)", ")", text))

    def add_subclass_arguments(
        self, baseclass: type | tuple[type, ...], nested_key: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Add them so that a path given for a part is a checkpoint's, never a config to read class paths from."""
        added = super().add_subclass_arguments(baseclass, nested_key, *args, **kwargs)
        action: Any = next(action for action in self._actions if action.dest == nested_key)
        action.sub_add_kwargs = {**getattr(action, "sub_add_kwargs", {}), "sub_configs": False}
        return added

    def add_method_arguments(self, *args: Any, **kwargs: Any) -> Any:
        """Add them among the other options: the title of their group would be half a sentence of a docstring."""
        return super().add_method_arguments(*args, **{**kwargs, "as_group": False})

    def refuse_files(self, key: str) -> None:
        """Take the text of an option literally; jsonargparse would replace it by the content of a file of that name."""
        action: Any = next(action for action in self._actions if action.dest == key)
        action._enable_path = False  # noqa: SLF001 - jsonargparse enables it for all classes

    def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the options of a YAML file.

        Raises:
            UsageError: If it is one of `train.py pipeline`, and this is another command.
        """
        with suppress(yaml.YAMLError, OSError, ValueError):  # the parser itself says it better
            config = yaml.safe_load(Path(path).expanduser().read_text())
            if (
                isinstance(config, dict)
                and {"run", "detectors"} <= config.keys()
                and "detectors" not in self._options()
            ):
                command = shlex.join(["python", "train.py", "pipeline", "--config", str(path)])
                msg = f"{path} describes a whole experiment: run it with `{command}`"
                raise UsageError(msg)
            _check_sections(config)
        return super().parse_path(path, *args, **kwargs)

    def validate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> None:
        """Check keys and values; refuse null and text where a type does not accept them, which jsonargparse lets pass.

        Raises:
            UsageError: If a key is unknown, or a value is of another type.
        """
        typed = {name: action for name, action in self._options().items() if hasattr(action, "_typehint")}
        self._check_keys(namespace)
        super().validate(namespace, *args, **kwargs)
        values = {name: namespace[name] for name in [*(self.groups or ()), *typed] if name in namespace}
        for name, value in values.items():
            kind = typed[name]._typehint if name in typed else dict  # noqa: SLF001 - jsonargparse offers no other way
            section = name in typed or isinstance(value, Namespace | dict)
            null = value is None and name in typed and typed[name].default is not None and kind is not Any
            if not section or (null and type(None) not in get_args(kind)):
                msg = f"{name}: {expected(kind, str(value))}"
                raise UsageError(msg)

    def _check_keys(self, namespace: Namespace) -> None:
        """Refuse keys that no option has, those of subcommands as well."""
        options, commands = self._options(), self._commands()
        open_ended = tuple(f"{name}." for name, action in options.items() if hasattr(action, "_typehint"))
        for key in namespace.keys():  # noqa: SIM118 - a Namespace gives the nested ones
            first, _, rest = key.partition(".")
            if first in commands and rest:
                commands[first]._check_keys(Namespace({rest: namespace[key]}))  # type: ignore[no-untyped-call]  # noqa: SLF001
            elif key not in options and not key.startswith(open_ended):
                raise UsageError(unknown_key(key, options))

    def _options(self) -> dict[str, Any]:
        """Return the actions of the options that have values by name, as `trainer.max_epochs`."""
        return {action.dest: action for action in self._actions if action.dest.rpartition(".")[2] not in _WITHOUT_VALUE}

    def _commands(self) -> dict[str, "Parser"]:
        """Return the parsers of the subcommands."""
        choices: list[Any] = [action.choices for action in self._actions if isinstance(action.choices, dict)]
        return {name: parser for parsers in choices for name, parser in parsers.items()}

    def instantiate(self, *args: Any, **kwargs: Any) -> Any:
        """Build the classes that a config names; errors raised by a class are passed on unchanged.

        Raises:
            ValueError: If a class that is one of several accepted types cannot be built.
        """
        try:
            return super().instantiate(*args, **kwargs)
        except ValueError as error:
            sentence = explained(str(error))
            if sentence == " ".join(str(error).split()):
                raise
            raise InputError(sentence) from error

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message as a UsageError in one sentence."""
        raise UsageError(explained(message, self._options())) from ex


_UNFIT: Final = re.compile(r"^$|^[-#]|::|^(file|local):|^[\w+.-]+://|[\x00-\x1f\x7f\ud800-\udfff]")
"""Names that options, YAML, Lightning (URLs) or TensorBoard (UTF-8) would misread."""


def folder_of(option: str, text: str | Path) -> Path:
    """Return the folder that an option names.

    Raises:
        ValueError: If the name would not survive in the files of a run, or in a command line.
    """
    if _UNFIT.search(str(text)):
        msg = (
            f"{option} cannot be {str(text)!r}: name a folder that does not begin with '-' or '#' and has no '::', no "
            "URL scheme, no control character, and no bytes that are not UTF-8"
        )
        raise InputError(msg)
    return Path(expanded(text))


def with_home(value: Any) -> Any:
    """Return a value of a config with the home folder in the place of `~` where a text begins with it.

    Shells leave `~` alone after `=` and within YAML.

    Args:
        value: Text, or lists, dicts and namespaces of texts and others.
    """
    if isinstance(value, str) and value.startswith("~"):
        return expanded(value)
    if isinstance(value, dict):
        return {key: with_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_home(item) for item in value]
    if isinstance(value, Namespace):
        for key, item in vars(value).items():
            value[key] = with_home(item)
    return value
