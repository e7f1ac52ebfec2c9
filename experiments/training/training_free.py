"""Training-free detectors: named in the pipeline file by class path, and given the parts of the run that they take."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn

from attacks.errors import InputError
from saliency.class_paths import imported

PARTS: Final = {"classifier": "classifier", "saliency": "saliency model", "second": "second classifier"}
"""Arguments that a detector's constructor gets from the run, and what they are called in a sentence."""

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
    if not isinstance(entry, dict) or not isinstance(entry.get("class_path"), str):
        return f"needs a class_path, for example {{class_path: detectors.MaxSoftmax}}, got {entry!r}"
    if set(entry) - {"class_path", "init_args"} or not isinstance(entry.get("init_args") or {}, dict):
        return f"must hold class_path, and init_args with arguments by name, got {entry!r}"
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
    unknown = [key for key in arguments if key not in accepted]
    if unknown and not any(each.kind is each.VAR_KEYWORD for each in accepted.values()):
        return f"gives {', '.join(unknown)}, but {path} accepts {', '.join(accepted) or 'nothing'}"
    return None


def required(maker: Callable[..., Any]) -> list[str]:
    """Return the arguments that a class or function must be given."""
    parameters = inspect.signature(maker).parameters.items()
    collecting = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, each in parameters if each.default is each.empty and each.kind not in collecting]
