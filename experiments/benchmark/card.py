"""The card of a benchmark, an entry of a leaderboard: a detector, the data, the method and the figures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

from torch import nn

from attacks.errors import InputError
from data.store.identity import of_module
from experiments.benchmark.report import Figure
from experiments.results.levels import WORKING_RATE
from experiments.results.result import Result
from experiments.study.contenders import Contender
from experiments.study.own_detector import ReadScores
from experiments.study.study import Study

VERSION: Final = 1
"""Of the schema."""


def card_of(
    study: Study, contender: Contender, preset: str, results: Mapping[str, Result], figures: Sequence[Figure]
) -> dict[str, Any]:
    """Return the card of a detector of a study."""
    module = contender.module
    suite, transfer = results["white-box"].meta, results["transfer"].meta
    card = {
        "card": VERSION,
        "detector": {"name": contender.name, **_about(module.detector if isinstance(module, ReadScores) else module)},
        "classifier": {**_about(study.classifier), "accuracy": transfer["classifier_accuracy"]},
        "data": {
            "name": transfer["data"],
            "digest": study.data.fingerprint(),
            "shape": list(study.data.shape),
            "classes": study.data.classes,
            "test_images": transfer["test_images"],
            "calibration_images": transfer["calibration_images"],
        },
        "threat_model": {
            "false_positive_rate": WORKING_RATE,
            "goal": "untargeted",
            "unaware": transfer["attacks"],
            "aware": {key: suite[key] for key in ("norm", "epsilon", "mode", "steps", "restarts", "goals")}
            | {"preset": preset, "images": suite["attacked_images"], "attacks": dict(suite["suite"])},
        },
        "figures": [asdict(figure) for figure in figures],
        "remarks": [contender.remark] if contender.remark else [],
        "flags": [
            f"{name}: {f.name}. {f.sentence}" for name, result in results.items() for f in result.flags if f.raised
        ],
        "versions": transfer["versions"],
    }
    check_card(card)
    return card


def _about(module: nn.Module) -> dict[str, Any]:
    kind = type(module)
    count = sum(weights.numel() for weights in module.parameters())
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "digest": of_module(module), "parameters": count}


def read_card(path: str | Path) -> dict[str, Any]:
    """Return the card in a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no card.
    """
    try:
        card = json.loads(Path(path).read_text())
    except ValueError as error:
        msg = f"{path} is no JSON: give a card.json that Report.save wrote"
        raise InputError(msg) from error
    check_card(card, str(path))
    return dict(card)


def check_card(card: Any, name: str = "card") -> None:
    """Check a card by `card.schema.json`; the error names the first fault, in a sentence that begins with `name`.

    Raises:
        ValueError: If a field is missing, unknown, or of another type.
    """
    fault = next(_faults(card, _schema(), name), None)
    if fault is not None:
        raise InputError(fault)


@cache
def _schema() -> dict[str, Any]:
    return dict(json.loads(Path(__file__).with_name("card.schema.json").read_text()))


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def _faults(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield the faults, for the keywords that the schema of cards uses."""
    kinds = schema.get("type", list(_TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, bool) or not isinstance(value, tuple(kind for name in kinds for kind in _TYPES[name])):
        yield f"{where} must be of type {' or '.join(kinds)}, got {value!r}"
    elif "const" in schema and value != schema["const"]:
        yield f"{where} must be {schema['const']!r}, got {value!r}"
    elif isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        yield from (f"{where} lacks the field {key!r}" for key in schema.get("required", ()) if key not in value)
        for key, field in value.items():
            if key not in properties and others is False:
                yield f"{where} has an unknown field {key!r}"
            else:
                yield from _faults(field, properties.get(key, others), f"{where}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _faults(item, schema.get("items", {}), f"{where}[{place}]")
