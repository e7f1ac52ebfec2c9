"""The pipeline file: its keys, checked and built."""

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]

from attacks import Attack
from data import ImageData
from data.pairs import refuse_targeted
from experiments.errors import UsageError
from experiments.parser import Parser, folder_of
from experiments.refusals import CLASS_KEYS
from experiments.training.overrides import UNTYPED, merge, overrides
from experiments.training.retraining import Retraining

ENTRY_KEYS = ("model", "data", "trainer")
ALL_BUT: Final = "all-but-"
"""Before the name of an attack in `train_on`: detectors are trained on all the others of the run."""
_APART: Final = 1000
"""Between the seeds of one whole pipeline and those of the next."""
SALIENCY_STAGES = ("encoder", "selector", "mask")


@dataclass(frozen=True)
class Settings:
    """A pipeline file, checked.

    Attributes:
        run: The run folder.
        seeds: Seeds of the detectors; the first one is also that of classifier and saliency model.
        pipelines: How many whole pipelines are trained, each in a run folder and with seeds of its own.
        data: The image data module.
        attacks: Attacks by name.
        train_on: Names of the attacks that detectors are trained on; `all-but-<name>` is all the others together.
        detectors: Entries of the detectors by name.
        store: Folder of the adversarial sets; None: they are made on the fly.
        retrain: How detectors are retrained; None: they are not.
        sections: Everything as plain nested dicts, as the file has it.
        resolved: Everything as YAML with all defaults filled in.
    """

    run: str
    seeds: list[int]
    pipelines: int
    data: ImageData
    attacks: dict[str, Attack]
    train_on: list[str]
    detectors: dict[str, dict[str, Any]]
    store: str | None
    retrain: Retraining | None
    sections: dict[str, Any]
    resolved: str

    def repetition(self, number: int) -> list[str]:
        """Return the options that make another whole pipeline of these: its run folder and its seeds.

        Args:
            number: From 1 on.
        """
        run = Path(self.run)
        run = run if run.name not in {"", ".."} else run.resolve()  # `--run .` has no name to append to
        seeds = [seed + _APART * number for seed in self.seeds]
        return ["--run", f"{run}_{number}", "--seeds", str(seeds), "--pipelines", "1"]

    def training_attack(self, trained_on: str) -> dict[str, Any]:
        """Return the attack that makes a detector's training images, as a config.

        Args:
            trained_on: One of `train_on`.
        """
        sections: dict[str, Any] = self.sections["attacks"]
        other = left_out(trained_on, sections)
        if other is None:
            return dict(sections[trained_on])
        members = [section for name, section in sections.items() if name != other]
        return {"class_path": "attacks.OneOf", "init_args": {"attacks": members}}


def left_out(trained_on: str | None, attacks: Collection[str]) -> str | None:
    """Return the one attack that a detector has not seen in training, if it has seen all the others; else None.

    Args:
        trained_on: What the detector was trained on; None: nothing.
        attacks: Names of the run's attacks.
    """
    if trained_on is None or trained_on in attacks or not trained_on.startswith(ALL_BUT):
        return None
    return trained_on.removeprefix(ALL_BUT)


def read_settings(arguments: list[str]) -> Settings:
    """Return the settings that `--config FILE` and the options after it describe.

    Options for a section without types of its own, as `--detectors.spd.trainer.max_epochs 3`, change that value and
    leave the rest of the file; those of `--trainer` hold for every stage, over what its entry says.

    Args:
        arguments: As on the command line of `train.py pipeline`.

    Raises:
        UsageError: If a key is unknown or a value is of another type.
        ValueError: If names do not fit together.
    """
    parser = _parser()
    arguments, given = overrides(arguments)
    asked = [each for each in arguments if each.partition("=")[0] == _PRINT]
    config = parser.parse_args([each for each in arguments if each not in asked])
    config.pop("config")
    config.run = str(folder_of("run", config.run))
    for name in UNTYPED:
        config[name] = merge(config[name] or {}, given.get(name, {}))
    sections = config.as_dict()
    _check(sections)
    for entry in _entries(sections).values():
        entry["trainer"] = merge(entry.get("trainer") or {}, given.get("trainer", {}))
    if config.retrain is not None:
        config.retrain.trainer = merge(config.retrain.trainer or {}, given.get("trainer", {}))
        sections["retrain"]["trainer"] = config.retrain.trainer
    for name in UNTYPED:
        config[name] = sections[name]
    if asked:
        _print(parser, config, asked[-1].partition("=")[2])
    built = parser.instantiate(config)
    for attack in built.attacks.values():
        refuse_targeted(attack)
    train_on = config.train_on or list(config.attacks)
    if built.retrain is not None:
        built.retrain.check(train_on, list(sections["detectors"]))
    return Settings(
        run=config.run,
        seeds=config.seeds,
        pipelines=config.pipelines,
        data=built.data,
        attacks=built.attacks,
        train_on=train_on,
        detectors=sections["detectors"],
        store=None if config.store is None else str(Path(config.run) / config.store),
        retrain=built.retrain,
        sections=sections,
        resolved=parser.dump(config, skip_unset=False),
    )


_PRINT: Final = "--print_config"


def _print(parser: Parser, config: Namespace, flags: str) -> NoReturn:
    """Print the config, which has the values given below untyped sections as well, and exit."""
    known = {"skip_default", "skip_unset"}
    given = set(flags.split(",")) - {""}
    if given - known:
        msg = f"{_PRINT} takes the flags {', '.join(sorted(known))}, got {', '.join(sorted(given - known))}"
        raise UsageError(msg)
    sys.stdout.write(parser.dump(config, **dict.fromkeys(known, False) | dict.fromkeys(given, True)))
    raise SystemExit(0)


def _parser() -> Parser:
    parser = Parser(
        prog="train.py pipeline",
        description="Run every missing stage of an experiment, in order: classifier, saliency encoder, selector and "
        "mask, then each detector on each attack with each seed, the second classifier, and the retrained detectors. "
        "Finished stages are skipped; an interrupted one goes on from its last epoch.",
    )
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="The pipeline file; may be given repeatedly.")
    parser.add_argument("--run", type=str, required=True, help="The run folder.")
    parser.add_argument("--seeds", type=list[int], default=[0], help="Seeds of the detectors.")
    parser.add_argument(
        "--pipelines",
        type=int,
        default=1,
        help="How many whole pipelines to train, from the classifier on, with other seeds: in the run folder, then in "
        "RUN_1, RUN_2, ... with seeds 1000 higher each; `evaluate.py pipelines` judges them together.",
    )
    parser.add_argument(
        "--trainer",
        type=dict | None,
        default={},
        help="Trainer flags of every stage; an entry's own come over those of the file, the command line's over both. "
        "Callbacks add up, here, in an entry and by --trainer.callbacks+=CLASS; a later one of the same class replaces "
        "the earlier; null: none.",
    )
    parser.add_subclass_arguments(ImageData, "data", help="The images.", required=True)
    parser.refuse_files("data")
    entry = "with the keys model, data and trainer of a `fit` config"
    parser.add_argument("--classifier", type=dict, required=True, help=f"The classifier: an entry {entry}.")
    parser.add_argument(
        "--saliency", type=dict | None, default={}, help=f"encoder, selector and mask: an entry each, {entry}."
    )
    parser.add_argument("--attacks", type=dict[str, Attack], required=True, help="Attacks by name.")
    parser.add_argument("--detectors", type=dict | None, default={}, help=f"Detectors by name: an entry each {entry}.")
    parser.add_argument(
        "--train_on",
        type=list[str] | None,
        default=None,
        help="Attacks that detectors are trained on, one at a time; all-but-NAME: on all the others together, so that "
        "NAME is left out; null: each of them.",
    )
    parser.add_argument(
        "--store",
        type=str | None,
        default="adversarial",
        help="Folder of the adversarial sets, each made once for all detectors, seeds and epochs; within the run "
        "folder unless absolute. null: pairs are made on the fly.",
    )
    parser.add_argument(
        "--retrain",
        type=Retraining | None,
        default=None,
        help="Retrain detectors against an attack that sees them; null: not.",
    )
    return parser


def _check(sections: Mapping[str, Any]) -> None:
    seeds = sections["seeds"]
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        msg = f"seeds must be different whole numbers from 0 on, at least one, got {seeds}"
        raise ValueError(msg)
    if sections["pipelines"] < 1:
        msg = f"pipelines must be at least 1, got {sections['pipelines']}"
        raise ValueError(msg)
    _check_names(sections)
    _known_keys("saliency", sections["saliency"], SALIENCY_STAGES)
    if sections["saliency"] and set(sections["saliency"]) != set(SALIENCY_STAGES):
        msg = f"saliency needs all of {', '.join(SALIENCY_STAGES)}, got {', '.join(sections['saliency'])}"
        raise ValueError(msg)
    for name, entry in _entries(sections).items():
        _check_entry(name, entry)


def _check_entry(name: str, entry: Any) -> None:
    """Refuse an entry of a stage that names no class, or has something else where a section belongs."""
    _known_keys(name, entry, ENTRY_KEYS)
    model = entry.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("class_path"), str):
        msg = f"{name} needs a model with a class_path, for example model: {{class_path: detectors.SPD}}"
        raise ValueError(msg)  # noqa: TRY004 - a value of the user's file
    _known_keys(f"{name}.model", model, CLASS_KEYS)
    parts = {"model.init_args": model.get("init_args"), "data": entry.get("data"), "trainer": entry.get("trainer")}
    for part, section in parts.items():
        if section is not None and not isinstance(section, dict):
            msg = f"{name}.{part} must hold keys with values, got {section!r}"
            raise ValueError(msg)


def _entries(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of all stages by the keys that lead to them."""
    entries = {"classifier": sections["classifier"]}
    entries |= {f"saliency.{name}": entry for name, entry in sections["saliency"].items()}
    return entries | {f"detectors.{name}": entry for name, entry in sections["detectors"].items()}


def _check_names(sections: Mapping[str, Any]) -> None:
    attacks = sections["attacks"]
    if not attacks:
        msg = "attacks is empty: name at least one, for example fgsm: {class_path: attacks.FGSM}"
        raise ValueError(msg)
    for name in [*attacks, *sections["detectors"]]:
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
            msg = (
                f"{name!r} cannot name a folder and a row: use lower-case letters, digits, '_' and '-', within quotes "
                "where YAML would read a number or null"
            )
            raise ValueError(msg)
    train_on = sections["train_on"]
    if train_on is not None and (not train_on or len(set(train_on)) < len(train_on)):
        msg = f"train_on must name different attacks, at least one, or be null for all; got {train_on}"
        raise ValueError(msg)
    all_but_one = [f"{ALL_BUT}{name}" for name in attacks] if len(attacks) > 1 else []
    unknown = sorted(set(train_on or ()) - {*attacks, *all_but_one})
    if unknown:
        msg = (
            f"train_on names {', '.join(unknown)}, but attacks has only {', '.join(attacks)}; where there are several, "
            f"{ALL_BUT}<attack> is all but that one"
        )
        raise ValueError(msg)


def _known_keys(name: str, section: Any, accepted: tuple[str, ...]) -> None:
    if not isinstance(section, dict):
        msg = f"{name} must hold the keys {', '.join(accepted)}, got {section!r}"
        raise ValueError(msg)  # noqa: TRY004 - a value of the user's file
    unknown = sorted(set(section) - set(accepted))
    if unknown:
        msg = f"{name} has the key {', '.join(unknown)}; accepted are {', '.join(accepted)}"
        raise ValueError(msg)
