"""Checks of a pipeline file's sections, as plain nested dicts, before anything is built from them."""

import inspect
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from attacks.checks import at_least, given
from attacks.errors import InputError, unknown
from experiments.training.layout import ALL_BUT, SALIENCY_PARTS
from experiments.training.sections import user_classes
from experiments.training.training_free import check_training_free
from saliency.class_paths import CLASS_KEYS, imported

_ENTRY_KEYS: Final = ("model", "data", "trainer")


def check_sections(sections: Mapping[str, Any]) -> None:
    """Refuse sections that do not fit together.

    Raises:
        ValueError: If a name or key is unknown, or a number out of its range; names the option.
    """
    seeds = sections["seeds"]
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        msg = f"seeds must be different whole numbers from 0 on, at least one, got {seeds}"
        raise InputError(msg)
    at_least(1, pipelines=sections["pipelines"])
    _check_names(sections)
    _check_keys("saliency", sections["saliency"], SALIENCY_PARTS)
    if sections["saliency"] and set(sections["saliency"]) != set(SALIENCY_PARTS):
        msg = f"saliency needs all of {', '.join(SALIENCY_PARTS)}, got {', '.join(sections['saliency'])}"
        raise InputError(msg)
    for name, entry in entries(sections).items():
        _check_entry(name, entry)
    if sections["retrain"] is not None:
        _check_retraining(sections["retrain"], sections)


def entries(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of all stages by the keys that lead to them, as detectors.spd."""
    return {"classifier": sections["classifier"]} | {
        f"{section}.{name}": entry for section in ("saliency", "detectors") for name, entry in sections[section].items()
    }


def import_classes(sections: Mapping[str, Any]) -> None:
    """Import the user's own classes and the class of every model.

    Raises:
        ValueError: If one cannot be imported, a model's is no class, or a training-free detector cannot be built.
    """
    for path in user_classes(sections):
        imported(path)
    for entry in entries(sections).values():
        path = entry["model"]["class_path"]
        if not inspect.isclass(imported(path)):
            msg = f"class path {path!r} names no class"
            raise InputError(msg)
    check_training_free(sections["training_free"])


def _check_names(sections: Mapping[str, Any]) -> None:
    attacks = sections["attacks"]
    if not attacks:
        msg = "attacks is empty: name at least one, for example fgsm: {class_path: attacks.FGSM}"
        raise InputError(msg)
    for name in [*attacks, *sections["detectors"], *sections["training_free"]]:
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
            msg = (
                f"{name!r} cannot name a folder and a row: use lower-case letters, digits, '_' and '-', within quotes "
                "where YAML would read a number or null"
            )
            raise InputError(msg)
    twice = [name for name in sections["detectors"] if name in sections["training_free"]]
    if twice:
        msg = f"detectors and training_free both name {', '.join(twice)}: give one of them another name"
        raise InputError(msg)
    if sections["train_on"] is not None:
        all_but_one = [f"{ALL_BUT}{name}" for name in attacks] if len(attacks) > 1 else []
        check_choice("train_on", sections["train_on"], "attack", [*attacks, *all_but_one])


def _check_entry(name: str, entry: Any) -> None:
    """Refuse an entry of a stage that names no class, or has something else where a section belongs."""
    _check_keys(name, entry, _ENTRY_KEYS)
    model = entry.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("class_path"), str):
        msg = f"{name} needs a model with a class_path, for example model: {{class_path: detectors.SPD}}"
        raise InputError(msg)
    _check_keys(f"{name}.model", model, (*CLASS_KEYS, "dict_kwargs"))
    parts = {"model.init_args": model.get("init_args"), "data": entry.get("data"), "trainer": entry.get("trainer")}
    for part, section in parts.items():
        if section is not None and not isinstance(section, dict):
            msg = f"{name}.{part} must hold keys with values, got {section!r}"
            raise InputError(msg)


def _check_retraining(retrain: Mapping[str, Any], sections: Mapping[str, Any]) -> None:
    if retrain["start"] is not None:
        train_on = sections["train_on"] or sections["attacks"]
        _check_known("retrain.start", "training attack", [retrain["start"]], train_on)
    names = sections["detectors"] if retrain["detectors"] is None else retrain["detectors"]
    check_choice("retrain.detectors", list(names), "detector", sections["detectors"])
    at_least(1, whole=True, **given(**{f"retrain.{key}": retrain[key] for key in ("repeats", "batches")}))


def check_choice(option: str, names: Sequence[str], kind: str, accepted: Collection[str]) -> None:
    """Refuse an option that lists no names, a name twice, or one that is not accepted."""
    if not names or len(set(names)) < len(names):
        msg = f"{option} must name different {kind}s, at least one, or be null for all; got {names}"
        raise InputError(msg)
    _check_known(option, kind, names, accepted)


def _check_keys(name: str, section: Any, accepted: tuple[str, ...]) -> None:
    if not isinstance(section, dict):
        msg = f"{name} must hold the keys {', '.join(accepted)}, got {section!r}"
        raise InputError(msg)
    _check_known(name, "key", section, accepted)


def _check_known(place: str, kind: str, names: Iterable[str], accepted: Collection[str]) -> None:
    for name in names:
        if name not in accepted:
            msg = f"{place}: {unknown(kind, name, accepted)}"
            raise InputError(msg)
