"""The parser of every command, and folders as a user names them."""

import re
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser

from experiments.errors import UsageError
from saliency.files import expanded

set_parsing_settings(instantiate_subclass_spec_in_any=False)  # else a config could call any function

# jsonargparse reads a text such as 1e3 as a number; PyYAML does not, and would write it without quotes.
yaml.SafeDumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)

_OF_EVERY_PARSER: Final = ("help", "print_config", "print_shtab")


class Parser(LightningArgumentParser):
    """An argument parser that raises its errors, so that `guarded` tells them in one sentence."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allow_abbrev = False  # a typo is no abbreviation

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        """Return the options; `~` at the beginning of a text is the home folder."""
        return with_home(super().parse_args(*args, **kwargs))

    def parse_object(self, *args: Any, **kwargs: Any) -> Any:
        """Return the options of nested dicts; `~` at the beginning of a text is the home folder."""
        return with_home(super().parse_object(*args, **kwargs))

    def add_subclass_arguments(
        self, baseclass: type | tuple[type, ...], nested_key: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Add them so that a path given for a part is a checkpoint's, never a config to read class paths from."""
        added = super().add_subclass_arguments(baseclass, nested_key, *args, **kwargs)
        action: Any = next(action for action in self._actions if action.dest == nested_key)
        action.sub_add_kwargs = {**getattr(action, "sub_add_kwargs", {}), "sub_configs": False}
        return added

    def refuse_files(self, key: str) -> None:
        """Take the text of an option as it is, also where a file has that name: its content would replace the text."""
        action: Any = next(action for action in self._actions if action.dest == key)
        action._enable_path = False  # noqa: SLF001 - jsonargparse enables it for all classes

    def validate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> None:
        """Check the values, also what jsonargparse lets pass: null where a type does not accept it, text for a section.

        Raises:
            TypeError: If a value is not of its type.
            KeyError: If a key is unknown.
        """
        super().validate(namespace, *args, **kwargs)
        typed = {action.dest: action for action in self._actions if hasattr(action, "_typehint")}
        for group in set(self.groups or ()) - typed.keys():
            if group in namespace and not isinstance(namespace[group], Namespace | dict):
                msg = f'Parser key "{group}": Expected a {dict}. Got value: {namespace[group]}'
                raise TypeError(msg)
        for name, action in typed.items():
            kind = action._typehint  # noqa: SLF001 - jsonargparse offers no other way to it
            if name not in namespace or namespace[name] is not None or action.default is None or kind is Any:
                continue
            if type(None) not in get_args(kind):
                msg = f'Parser key "{name}": Expected a {kind}. Got value: None'
                raise TypeError(msg)

    def instantiate(self, *args: Any, **kwargs: Any) -> Any:
        """Build the classes that a config names; errors raised by a class are passed on unchanged.

        Raises:
            ValueError: If a class that is one of several accepted types cannot be built.
        """
        try:
            return super().instantiate(*args, **kwargs)
        except ValueError as error:
            reasons = re.findall(r"^ *- (?!Expected a )(.+)$", str(error), re.MULTILINE)
            if "Union subtypes" not in str(error) or not reasons:
                raise
            raise ValueError("; ".join(reasons)) from error

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message as a UsageError, which knows the options of the parser, or of its subcommand's."""
        named = re.match(r"Subcommand '([^']+)' ", message)
        choices = next((action.choices for action in self._actions if named and isinstance(action.choices, dict)), {})
        parser = choices.get(named[1], self) if named else self
        options = [action.dest for action in parser._actions]  # noqa: SLF001 - argparse offers no list
        raise UsageError(message, [name for name in options if name not in _OF_EVERY_PARSER]) from ex


_UNFIT: Final = re.compile(r"^$|^[-#]|::|^(file|local):|^[\w+.-]+://|[\x00-\x1f\x7f\ud800-\udfff]")
"""Names of which options, YAML, Lightning (URLs) or TensorBoard (UTF-8) make something else."""


def folder_of(option: str, text: str | Path) -> Path:
    """Return the folder that an option names.

    Args:
        option: For the message.
        text: As it was given.

    Raises:
        ValueError: If the name would not survive in the files of a run, or in a command line.
    """
    if _UNFIT.search(str(text)):
        msg = (
            f"{option} cannot be {str(text)!r}: name a folder that does not begin with '-' or '#' and has no '::', no "
            "URL scheme, no control character, and no bytes that are not UTF-8"
        )
        raise ValueError(msg)
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
