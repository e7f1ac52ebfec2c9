"""`train.py` for one model: fit, validate, test and predict, and the files that a fit leaves."""

import logging
import multiprocessing
import sys
import warnings
from contextlib import nullcontext
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Final

import lightning
import yaml
from jsonargparse import Namespace
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info

from attacks.checks import above_zero, at_least, given
from attacks.errors import InputError, InputTypeError
from data import PairData, WhiteBoxData
from detectors import Detector
from detectors.foreign import ForeignNetwork
from detectors.scoring import clean_scores
from experiments.parser import Parser, folder_of
from experiments.results.event_files import code
from experiments.training.callbacks import EpochLines, PredictionFile, RoundMetrics
from experiments.training.checkpoints import Continuation, atomic, check_continuation, restored
from experiments.training.folder_access import alone, named_log, writable
from experiments.training.layout import CONFIG, DONE, LAST
from experiments.training.sections import import_modules, texts
from experiments.training.tensorboard import ChartLayout, StageLogger, stage_loggers, stage_of
from saliency.checkpoints import Portable, describe, load_weights, put_weights, read, require, save
from saliency.files import write_text

_TRAINER_DEFAULTS = {"default_root_dir": "runs/fit", "num_sanity_val_steps": 0, "log_every_n_steps": 10}

# Callbacks of Lightning have enums as defaults of arguments that are text: a config holds that text.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))

_DESCRIPTIONS: Final = {
    "fit": "Train one model: --trainer.default_root_dir is the folder of its files. "
    "Example: python train.py fit --config configs/mnist/classifier.yaml",
    "validate": "Measure one model on the validation images. "
    "Example: python train.py validate --config runs/mnist/classifier/seed_0/config.yaml",
    "test": "Measure one model on the test images. "
    "Example: python train.py test --config runs/mnist/classifier/seed_0/config.yaml",
    "predict": "Write a model's predictions for the test images to predictions.npz in its folder.  "
    "Example: python train.py predict --config runs/mnist/classifier/seed_0/config.yaml",
}


_GROUPS: Final = {
    "trainer": "the trainer, by Lightning's own flags",
    "model": "the model, by its class path or name",
    "data": "the data, by their class path or name",
}
"""What stands above groups of options."""


class ModelCLI(LightningCLI):
    """LightningCLI whose fits leave `last.ckpt`, `model.ckpt`, `config.yaml` and TensorBoard's log in one folder.

    The folder is `trainer.default_root_dir`. A detector is calibrated before it is saved. Options come as on the
    command line, or as a nested dict. The title stands before the line of each epoch.
    """

    _anew = "delete it, and begin the fit anew, without --ckpt_path"

    def __init__(self, args: list[str] | dict[str, Any], title: str = "") -> None:
        self.title = title
        self._resolved = ""
        _ignore_intended()
        super().__init__(
            save_config_callback=None,  # written by before_fit, once the folder is known to be free
            trainer_defaults=_TRAINER_DEFAULTS,
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={name: {"description": _DESCRIPTIONS[name]} for name in self.subcommands()},
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=args,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add this project's options to the parser of every subcommand."""
        for name, group in (parser.groups or {}).items():
            group.title = _GROUPS[name]
        parser.add_argument(
            "--imports",
            type=list[str],
            default=[],
            help="Modules to import first: those that define classes which a checkpoint names, for example [my_nets].",
        )
        parser.add_argument(
            "--start_from",
            type=str | None,
            default=None,
            help="Checkpoint whose weights a fit begins with, for example to retrain a detector; its optimiser begins "
            "anew. A fit that goes on (--ckpt_path) and the other commands do without.",
        )

    @property
    def folder(self) -> Path:
        """Where the fit's files lie."""
        return Path(self.config[self.subcommand].trainer.default_root_dir)

    def _parse_ckpt_path(self) -> None:
        """Ignore the hyper-parameters and the class path in the checkpoint: Lightning would prefer them silently."""

    def before_instantiate_classes(self) -> None:
        """Check the trainer's flags, and every checkpoint that the config names, before anything is built.

        Raises:
            ValueError: If a flag cannot be used, or the data are missing.
            OSError: If a checkpoint is missing, the folder holds a fit already, or predictions cannot be written.
        """
        config = self.config[self.subcommand]
        _check_trainer(config.trainer)
        if config.get("data") is None:
            msg = f"{self.subcommand} needs data: give them by --data, for example --data data.MNIST"
            raise InputError(msg)
        import_modules(config.imports)
        for _, text in texts([config.as_dict()[section] for section in ("model", "data")]):
            if text.endswith(".ckpt"):
                require(text)
        config.weights_only = True
        if self.subcommand == "fit":
            with alone(self.folder) if self.folder.is_dir() else nullcontext():
                self._check_folder(config.ckpt_path)
            if config.start_from is not None and config.ckpt_path is None:
                require(config.start_from)
        elif config.ckpt_path is None:
            config.ckpt_path = str(self._trained())
        if config.ckpt_path is not None:
            require(config.ckpt_path)
        self._check_writable(config.ckpt_path)

    def after_instantiate_classes(self) -> None:
        """Check that the model can be saved, and that a checkpoint's weights fit it, before Lightning loads them."""
        if not isinstance(self.model, Portable):
            msg = (
                f"{type(self.model).__name__} cannot be saved as a checkpoint of this project: derive it from "
                "detectors.Detector, or from saliency.training.Trainable"
            )
            raise InputTypeError(msg)
        describe(self.model)
        rate = getattr(self.model, "learning_rate", None)
        above_zero(**given(learning_rate=rate))
        config = self.config[self.subcommand]
        if config.ckpt_path is None and config.start_from is None:
            self._refuse_untrained()
        elif config.ckpt_path is None:
            load_weights(self.model, config.start_from)
            if isinstance(self.model, Detector):
                self.model.calibrate(self.model.calibration[:0])  # the thresholds were those of other weights
        elif self.subcommand == "fit":
            self._go_on(config.ckpt_path)
        else:
            load_weights(self.model, config.ckpt_path)

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """Add TensorBoard and a checkpoint at each epoch's end to what the config asks for, unless it is barebones."""
        config = self.config_init[self.subcommand].trainer
        callbacks: list[Callback] = [PredictionFile(), ChartLayout()]
        if isinstance(self.datamodule, WhiteBoxData):
            callbacks.append(RoundMetrics())
        if config.barebones:
            kwargs["log_every_n_steps"] = None  # whatever the default is: it logs nothing
        elif config.logger is None and self.subcommand != "fit" and not writable(self.folder):
            kwargs["logger"] = False
            rank_zero_info(f"nothing is logged: {self.folder} cannot be written")
        elif config.logger is None:
            kwargs["logger"] = StageLogger(self.folder, stage_of(self.model, self.datamodule))
        if self.subcommand == "fit":
            callbacks.append(Continuation(self.resolved()))
        bar = sys.stdout.isatty() and multiprocessing.parent_process() is None  # no room for those of several fits
        if config.enable_progress_bar is None and not bar and not config.barebones:
            kwargs["enable_progress_bar"] = False  # its bar would fill a file with one line of thousands of characters
            callbacks.append(EpochLines(self.title or str(self.folder)))
        if self.subcommand == "fit" and config.enable_checkpointing is not False and not config.barebones:
            callbacks.append(
                ModelCheckpoint(self.folder, LAST[:-5], save_on_train_epoch_end=True, enable_version_counter=False)
            )
        own = config.callbacks or []
        kwargs["callbacks"] = [*(own if isinstance(own, list) else [own]), *callbacks]
        trainer = super().instantiate_trainer(**kwargs)
        trainer.strategy.checkpoint_io = atomic(trainer.strategy.checkpoint_io)
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        flags = self.config[subcommand]
        writes = subcommand == "fit" and self.trainer.is_global_zero and not flags.trainer.fast_dev_run
        with named_log(self.folder), restored(flags.ckpt_path), alone(self.folder) if writes else nullcontext():
            if writes:
                self._check_folder(flags.ckpt_path)  # again: another process may have ended since
            super()._run_subcommand(subcommand)

    def before_fit(self) -> None:
        """Write the config with all defaults, which `--config` accepts."""
        if self.trainer.is_global_zero and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            write_text(self.folder / CONFIG, self.resolved())
            for logger in stage_loggers(self.trainer):
                lines = [line for line in self.resolved().splitlines() if not line.endswith(": null")]
                logger.experiment.add_text("config", code("\n".join(lines)), 0)

    def after_fit(self) -> None:
        """Calibrate a detector, and write the finished model."""
        if self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        model, data = self.model, self.datamodule
        self._refuse_diverged()
        if isinstance(model, Detector) and isinstance(data, PairData):
            device = self.trainer.strategy.root_device
            model.calibrate(clean_scores(model.to(device), data.calibration_dataloader(), device))
        if self.trainer.is_global_zero:
            done = {"epoch": self.trainer.current_epoch, "global_step": self.trainer.global_step}
            save(model, self.folder / DONE, **done, class_names=_class_names(data))
        self.trainer.strategy.barrier()

    def resolved(self) -> str:
        """Return the config with all defaults filled in, as YAML, without the options of a single call."""
        if not self._resolved:
            config = self.config[self.subcommand].clone()
            for key in ("config", "ckpt_path", "weights_only"):
                config.pop(key, None)
            self._resolved = self._parser(self.subcommand).dump(config, skip_unset=False)
        return self._resolved

    def _refuse_diverged(self) -> None:
        if not all(bool(parameter.isfinite().all()) for parameter in self.model.parameters()):
            msg = (
                f"the fit of {type(self.model).__name__} diverged: its weights are not finite; delete {self.folder} "
                "and use a lower learning_rate, or mend what gives values that are not finite"
            )
            raise InputError(msg)

    def _refuse_untrained(self) -> None:
        """Refuse a fit after which a layer would still have random weights although the network was given weights."""
        flags = self.config[self.subcommand].trainer
        nothing = 0 in {flags.max_epochs, flags.max_steps, flags.limit_train_batches}
        for module in self.model.modules():
            untrained = module.untrained if isinstance(module, ForeignNetwork) else None
            if untrained and (nothing or not any(parameter.requires_grad for parameter in module.parameters())):
                msg = f"{untrained}; this fit does not train it: give weights that fit, or train the network first"
                raise InputError(msg)

    def _go_on(self, path: str) -> None:
        """Load the weights of the interrupted fit, if this is the same fit."""
        contents = read(path, self._anew)
        check_continuation(contents, Path(path), yaml.safe_load(self.resolved()), with_defaults)
        put_weights(self.model, contents, path)
        self._refuse_diverged()

    def _check_folder(self, ckpt_path: str | None) -> None:
        if (self.folder / DONE).exists():
            contents = "a finished model: choose another --trainer.default_root_dir, or delete that folder if you no "
            contents += "longer need it"
        elif (self.folder / LAST).exists() and ckpt_path is None:
            contents = f"an unfinished fit: continue it with --ckpt_path {self.folder / LAST}, choose another "
            contents += "--trainer.default_root_dir, or delete that folder"
        else:
            return
        msg = f"{self.folder} holds {contents}"
        raise FileExistsError(msg)

    def _check_writable(self, ckpt_path: str | None) -> None:
        if self.subcommand == "predict" and not writable(self.folder):
            msg = (
                f"predict writes into {self.folder}, which cannot be written: give another folder, "
                f"--trainer.default_root_dir FOLDER --ckpt_path {ckpt_path}"
            )
            raise PermissionError(msg)

    def _trained(self) -> Path:
        path = self.folder / DONE
        if not path.exists():
            msg = (
                f"{self.subcommand} needs trained weights, and there are none in {self.folder}: give --ckpt_path, or "
                "--trainer.default_root_dir of a finished fit"
            )
            raise FileNotFoundError(msg)
        return path


def _class_names(data: lightning.LightningDataModule | None) -> list[str] | None:
    """Return the names of the classes by number, as a folder of images has them; None where the data have none."""
    names = getattr(getattr(data, "images", data), "class_names", None)
    return None if names is None else list(names)


_PRECISIONS: Final = ("32-true", "16-mixed", "bf16-mixed")


def _check_trainer(flags: Namespace) -> None:
    """Refuse flags that Lightning accepts: weights that are not float32, no folder, no batch in a step."""
    if str(flags.precision or 32) not in {*_PRECISIONS, *(name.partition("-")[0] for name in _PRECISIONS)}:
        msg = (
            f"trainer.precision must be one of {', '.join(_PRECISIONS)}, got {flags.precision}: images, attacks and "
            "saved weights are float32"
        )
        raise InputError(msg)
    if flags.default_root_dir is None:
        msg = "trainer.default_root_dir must be the folder of the fit's files, got null"
        raise InputError(msg)
    folder_of("trainer.default_root_dir", flags.default_root_dir)
    at_least(1, **{"trainer.accumulate_grad_batches": flags.accumulate_grad_batches})


def _ignore_intended() -> None:
    """Ignore Lightning's warnings about things done on purpose, and its advertisements."""
    for message in (
        "LightningCLI's args parameter is intended",  # the scripts pass their arguments on
        "Checkpoint directory .* exists and is not empty",  # a stage has one folder
        "Found .* module.* in eval mode at the start of training",  # frozen parts
        "The '.*_dataloader' does not have many workers",  # images lie in memory
        "The number of training batches .* is smaller than the logging interval",
        "You are trying to `self.log\\(\\)` but `Trainer\\(barebones=True\\)`",
        "`isinstance\\(treespec, LeafSpec\\)` is deprecated",  # Lightning 2.6 on torch 2.15
    ):
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_advertisement)


def _no_advertisement(record: logging.LogRecord) -> bool:
    return "litlogger" not in record.getMessage() and "litmodels" not in record.getMessage()


class Fit(ModelCLI):
    """ModelCLI without the other subcommands, for a config in memory: all fits of a process share one parser."""

    _anew = "delete it, and run the pipeline again: the stage begins anew"
    _shared: ClassVar[dict[str, Any]] = {}

    def setup_parser(self, *args: Any) -> None:
        """Build the parser, unless a fit of this process has built it."""
        if not self._shared:
            super().setup_parser(*args)
            parts = ("parser", "_subcommand_parsers", "_subcommand_method_arguments")
            self._shared.update({name: getattr(self, name) for name in parts})
        vars(self).update(self._shared)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the only subcommand."""
        return {"fit": LightningCLI.subcommands()["fit"]}


class ConfigCheck(Fit):
    """Parses and resolves a stage's config as ModelCLI does; builds and runs nothing."""

    def _set_seed(self) -> None:
        """Leave the random state alone."""

    def before_instantiate_classes(self) -> None:
        """Check the trainer's flags, but no paths: earlier stages may still be missing.

        Raises:
            ValueError: If a flag cannot be used, or leaves no model to later stages.
        """
        flags = self.config[self.subcommand].trainer
        _check_trainer(flags)
        if flags.fast_dev_run:
            msg = (
                "trainer.fast_dev_run leaves no model, and later stages need it: to try a pipeline quickly, use "
                "--trainer.max_epochs 1 --trainer.limit_train_batches 2 and another --run"
            )
            raise InputError(msg)

    def instantiate_classes(self) -> None:
        """Build nothing."""

    def after_instantiate_classes(self) -> None:
        """Check nothing: nothing was built."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""


def with_defaults(config: dict[str, Any]) -> Any:
    """Return the config of a fit with all defaults filled in.

    Raises:
        UsageError: If it is not accepted.
    """
    return yaml.safe_load(ConfigCheck({"subcommand": "fit", "fit": config}).resolved())
