"""The pipeline file: its keys, checked and built."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]

from attacks import Attack
from attacks.checks import at_least
from attacks.errors import unknown
from data import ImageData
from data.pairs import refuse_targeted
from experiments.errors import UsageError
from experiments.parser import Parser, folder_of
from experiments.training.layout import ALL_BUT
from experiments.training.overrides import UNTYPED, merge, overrides
from experiments.training.settings_checks import check_sections, entries, import_classes
from experiments.training.training_free import TRAINING_FREE

_APART: Final = 1000
"""Between the seeds of one whole pipeline and those of the next."""
_PRINT: Final = "--print_config"


@dataclass(frozen=True)
class Retraining:
    """The section `retrain` of a pipeline file; see `data.WhiteBoxData`.

    Attributes:
        attack: The attack, which is given the live detector.
        start: Name of the training attack whose detectors it begins with; None: the first of train_on.
        detectors: Names of the detectors that are retrained; None: all.
        repeats: How often each attacked mini-batch is trained on, at least 1; 10 in the paper.
        batches: Mini-batches of a round, at least 1; 40 in the paper; None: the whole split.
        data: Options of the images over those of the file and of the detector's entry, as a `fit` config has them.
        trainer: Trainer flags over those of the file; 10 epochs, each a round, unless given.
    """

    attack: Attack
    start: str | None = None
    detectors: list[str] | None = None
    repeats: int = 10
    batches: int | None = 40
    data: dict[str, Any] | None = None
    trainer: dict[str, Any] | None = None


@dataclass(frozen=True)
class Settings:
    """A pipeline file, checked.

    Attributes:
        seeds: Seeds of the detectors; the first one is also that of classifier and saliency model.
        pipelines: How many whole pipelines are trained, each in a run folder and with seeds of its own.
        jobs: How many stages run at a time.
        train_on: Names of the attacks that detectors are trained on; `all-but-<name>` is all the others together.
        detectors: Their entries by name: plain dicts with the keys model, data and trainer.
        store: Folder of the adversarial sets; None: they are made on the fly.
        retrain: How detectors are retrained; None: they are not.
        sections: The whole file as plain nested dicts.
        resolved: The whole file as YAML with all defaults filled in.
    """

    run: str
    seeds: list[int]
    pipelines: int
    jobs: int
    data: ImageData
    attacks: dict[str, Attack]
    train_on: list[str]
    detectors: dict[str, dict[str, Any]]
    store: str | None
    retrain: Retraining | None
    sections: dict[str, Any]
    resolved: str

    def repetition(self, number: int) -> list[str]:
        """Return the options of whole pipeline number 1, 2, ... after this one: its run folder and its seeds."""
        run = Path(self.run)
        run = run if run.name not in {"", ".."} else run.resolve()  # `--run .` has no name to append to
        seeds = [seed + _APART * number for seed in self.seeds]
        return ["--run", f"{run}_{number}", "--seeds", str(seeds), "--pipelines", "1"]

    def training_attack(self, trained_on: str) -> dict[str, Any]:
        """Return the config of the attack that makes a detector's training images; `trained_on` is in `train_on`."""
        sections: dict[str, Any] = self.sections["attacks"]
        other = left_out(trained_on, sections)
        if other is None:
            return dict(sections[trained_on])
        members = [section for name, section in sections.items() if name != other]
        return {"class_path": "attacks.OneOf", "init_args": {"attacks": members}}


def left_out(trained_on: str | None, attacks: Collection[str]) -> str | None:
    """Return the attack that the training `all-but-<attack>` left out; None for another training."""
    if trained_on is None or trained_on in attacks or not trained_on.startswith(ALL_BUT):
        return None
    return trained_on.removeprefix(ALL_BUT)


def read_settings(arguments: list[str]) -> Settings:
    """Return the settings that the arguments of `train.py pipeline` describe: `--config FILE` and options after it.

    An option such as `--detectors.spd.trainer.max_epochs 3` changes that value only. Options of `--trainer` override
    the entries of all stages. The user's own classes are imported, so that the loader of checkpoints knows them.

    Raises:
        UsageError: If a key is unknown or a value is of another type.
        ValueError: If names do not fit together, or a class cannot be imported.
    """
    parser = _parser()
    arguments, over = overrides(arguments)
    printed = [argument for argument in arguments if argument.partition("=")[0] == _PRINT]
    config = parser.parse_args([argument for argument in arguments if argument not in printed])
    config.pop("config")
    jobs = config.pop("jobs")  # a matter of the machine, not of the experiment
    at_least(1, whole=True, jobs=jobs)
    config.run = str(folder_of("run", config.run))
    for name in UNTYPED:
        config[name] = merge(config[name] or {}, over.get(name, {}))
    sections = config.as_dict()
    check_sections(sections)
    retrain = [] if sections["retrain"] is None else [sections["retrain"]]
    for section in [*entries(sections).values(), *retrain]:
        section["trainer"] = merge(section.get("trainer") or {}, over.get("trainer", {}))
    for name in UNTYPED:
        config[name] = sections[name]
    if retrain:
        config.retrain.trainer = sections["retrain"]["trainer"]
    if printed:
        _print(parser, config, printed[-1].partition("=")[2])
    import_classes(sections)
    built = parser.instantiate(config)
    for attack in [*built.attacks.values(), *([built.retrain.attack] if retrain else [])]:
        refuse_targeted(attack)
    return Settings(
        run=config.run,
        seeds=config.seeds,
        pipelines=config.pipelines,
        jobs=jobs,
        data=built.data,
        attacks=built.attacks,
        train_on=config.train_on or list(config.attacks),
        detectors=sections["detectors"],
        store=None if config.store is None else str(Path(config.run) / config.store),
        retrain=built.retrain,
        sections=sections,
        resolved=parser.dump(config, skip_unset=False),
    )


def _print(parser: Parser, config: Namespace, flags: str) -> NoReturn:
    """Print the config with the values given below untyped sections, and exit."""
    kept = {"skip_default": False, "skip_unset": False}
    for flag in filter(None, flags.split(",")):
        if flag not in kept:
            msg = f"{_PRINT}: {unknown('flag', flag, kept)}"
            raise UsageError(msg)
        kept[flag] = True
    sys.stdout.write(parser.dump(config, **kept))
    raise SystemExit(0)


def _parser() -> Parser:
    parser = Parser(
        prog="train.py pipeline",
        description="Run every missing stage of an experiment, in order or side by side (--jobs): classifier, saliency "
        "encoder, selector and mask, then each detector on each attack with each seed, the second classifier, and the "
        "retrained detectors. Finished stages are skipped; an interrupted one goes on from its last epoch. "
        "Example: python train.py pipeline --config configs/digits.yaml --run runs/digits",
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
        "--jobs",
        type=int,
        default=1,
        help="How many stages to train at a time, each in a process with one GPU, or with its share of the CPU's "
        "threads; a stage waits for the models that it needs.",
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
        "--training_free",
        type=dict | None,
        default=TRAINING_FREE,
        help="Detectors that are not trained, by name: class_path of a module that gives a score per image, and its "
        "init_args. An argument named classifier, saliency or second is the run's own; a detector whose part the run "
        "lacks is left out. One with a method `fit` is fitted to the clean images that detectors are trained on.",
    )
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
