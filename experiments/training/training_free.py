"""Training-free detectors: named in the pipeline file by class path, and given the parts of the run that they take."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn

from attacks.errors import InputError, unknown
from saliency.class_paths import CLASS_KEYS, imported

PARTS: Final = {"classifier": "classifier", "saliency": "saliency model", "second": "second classifier"}
"""Constructor arguments that the run supplies, with their names in messages."""

TRAINING_FREE: Final = {
    "max_softmax": {"class_path": "detectors.MaxSoftmax"},
    "mask_area": {"class_path": "detectors.MaskArea"},
    "disagreement": {"class_path": "detectors.Disagreement"},
    "second_classifier": {"class_path": "detectors.SecondOpinion"},
}
"""The detectors of a run whose pipeline file names none."""


def check_training_free(entries: Mapping[str, Any]) -> None:
    """Refuse detectors, by name, that cannot be built from the parts of a run.

    Raises:
        ValueError: If an entry has other keys than class_path and init_args, its class cannot be imported or is no
            module, or the arguments do not fit; names the entry.
    """
    for name, entry in entries.items():
        reason = _wrong_keys(entry) or _wrong_class(entry["class_path"], entry.get("init_args") or {})
        if reason:
            msg = f"training_free.{name} {reason}"
            raise InputError(msg)


def _wrong_keys(entry: Any) -> str | None:
    strange = [key for key in entry if key not in CLASS_KEYS] if isinstance(entry, dict) else []
    if strange:
        return f"has an {unknown('key', strange[0], CLASS_KEYS)}"
    if not isinstance(entry, dict) or not isinstance(entry.get("class_path"), str):
        return f"needs a class_path, for example {{class_path: detectors.MaxSoftmax}}, got {entry!r}"
    if not isinstance(entry.get("init_args") or {}, dict):
        return f"must have init_args with arguments by name, got {entry['init_args']!r}"
    return None


def _wrong_class(path: str, arguments: Mapping[str, Any]) -> str | None:
    try:
        kind = imported(path)
    except ValueError as error:
        return f"cannot be used: {error}"
    if not inspect.isclass(kind) or not issubclass(kind, nn.Module):
        return f"names {path}, which is no class of torch.nn.Module"
    lacking = [key for key in required(kind) if key not in {*PARTS, *arguments}]
    if lacking:
        return f"lacks {', '.join(lacking)}, which {path} needs: give init_args, for example {{{lacking[0]}: ...}}"
    accepted = inspect.signature(kind).parameters
    strange = [key for key in arguments if key not in accepted]
    if strange and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        return f"gives {path} an {unknown('argument', strange[0], accepted)}"
    return None


def required(maker: Callable[..., Any]) -> list[str]:
    """Return the arguments that a class or function must be given."""
    parameters = inspect.signature(maker).parameters.items()
    collecting = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, it in parameters if it.default is it.empty and it.kind not in collecting]
