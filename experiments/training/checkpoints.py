"""The checkpoints of a fit: written atomically; only the fit that wrote one resumes from it."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import lightning
import yaml
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.plugins import AsyncCheckpointIO, TorchCheckpointIO
from lightning.pytorch.trainer.connectors import checkpoint_connector

from attacks.errors import InputError
from experiments.training.layout import CONFIG
from experiments.training.run_inputs import changed
from saliency.files import read_yaml, write_tensors

_LENGTH: Final = frozenset({"max_epochs", "min_epochs", "max_steps", "min_steps", "max_time"})
"""How long a fit lasts: it may go on for longer than it was meant to, unless its schedule spans the whole fit."""

_BEGIN: Final = "or begin a new fit with its weights: --start_from"


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes each checkpoint beside its target and renames it; Lightning would copy it from another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; a remote one, as s3://..., in Lightning's way.

        Raises:
            UnwrittenError: If it cannot be written; an earlier file at the path is kept.
        """
        if storage_options is None and "://" not in str(path):
            write_tensors(Path(path), checkpoint)
        else:
            super().save_checkpoint(checkpoint, path, storage_options)


def atomic(plugin: CheckpointIO) -> CheckpointIO:
    """Return `AtomicCheckpoints` for Lightning's usual plugin, also inside another; a user's own plugin as it is."""
    if type(plugin) is AsyncCheckpointIO and plugin.checkpoint_io is not None:
        return AsyncCheckpointIO(atomic(plugin.checkpoint_io))
    return AtomicCheckpoints() if type(plugin) is TorchCheckpointIO else plugin


class Continuation(lightning.Callback):
    """Keeps the config of a fit, as YAML, in its checkpoints, and refuses the optimisers of another module."""

    def __init__(self, config: str) -> None:
        self.config = config
        self._optimizers = 0

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002 - Lightning's signature
        pl_module: lightning.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Add the config."""
        checkpoint[CONFIG] = self.config

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002 - Lightning's signature
        pl_module: lightning.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Count the optimisers: Lightning would leave out those that are too many."""
        self._optimizers = len(checkpoint["optimizer_states"])

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Refuse the state of other optimisers than those of the module.

        Raises:
            ValueError: If their number or their settings differ.
        """
        path = trainer.ckpt_path
        if path is None:
            return
        groups = [(optimizer, group) for optimizer in trainer.optimizers for group in optimizer.param_groups]
        lacks = [name for optimizer, group in groups for name in optimizer.defaults if name not in group]
        if self._optimizers != len(trainer.optimizers) or lacks:
            differs = f"its {lacks[0]} is missing" if lacks else f"it has {self._optimizers}"
            msg = (
                f"{path} holds the state of other optimisers than {type(pl_module).__name__} has now "
                f"({', '.join(type(optimizer).__name__ for optimizer in trainer.optimizers)}; {differs}): go on with "
                f"the code that wrote it, {_BEGIN} {path}"
            )
            raise InputError(msg)


def check_continuation(
    contents: dict[str, Any], path: Path, planned: dict[str, Any], with_defaults: Callable[[dict[str, Any]], Any]
) -> None:
    """Refuse to continue from a checkpoint that another fit wrote.

    Args:
        contents: The contents of the checkpoint at the path.
        path: For the messages, and to look for a config beside it.
        planned: The config of the fit that shall go on, with its defaults.
        with_defaults: Fills the defaults into a config.

    Raises:
        ValueError: If the checkpoint holds no unfinished fit, more epochs or steps are done than asked for, or the
            fit was started with another config.
    """
    for unit, done in _done(contents, path).items():
        name, most = f"max_{unit}", planned["trainer"][f"max_{unit}"]
        if most is not None and 0 <= most < done:
            msg = f"{path} was written after {done} {unit}, and {name} is {most}: give at least {done}"
            raise InputError(msg)
    started, spans = _started(contents, path), any("total_steps" in state for state in contents["lr_schedulers"])
    free = {"start_from", *(() if spans else _LENGTH)}
    differs = None if started is None else changed(started, planned, with_defaults, free)
    if differs:
        key, was, now = differs
        why = "; its schedule spans the whole fit" if key.rpartition(".")[2] in _LENGTH else ""
        msg = (
            f"{path} was written by a fit with another config ({key} was {was}, now {now}{why}): give what it was, "
            f"{_BEGIN} {path}"
        )
        raise InputError(msg)


def _done(contents: dict[str, Any], path: Path) -> dict[str, int]:
    """Return how many epochs and steps an unfinished fit has behind it."""
    try:
        states = [*contents["optimizer_states"], *contents["lr_schedulers"]]
        if all(isinstance(state, dict) for state in states):
            epochs = int(contents["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
            return {"epochs": epochs, "steps": int(contents["global_step"])}
    except (KeyError, TypeError, ValueError):
        pass
    msg = f"{path} holds no unfinished fit: a fit goes on from a last.ckpt, {_BEGIN} {path}"
    raise InputError(msg)


def _started(contents: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """Return the config that a fit was started with; None if it is not known.

    Older checkpoints have it in a file beside them.
    """
    try:
        config = yaml.safe_load(contents[CONFIG]) if CONFIG in contents else read_yaml(path.with_name(CONFIG))
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, AttributeError):
        config = None
    if not isinstance(config, dict):
        msg = f"the config in {path} is damaged: begin a new fit with its weights, --start_from {path}"
        raise InputError(msg)
    return config


@contextmanager
def restored(path: str | None) -> Iterator[None]:
    """Say that a checkpoint does not fit where Lightning or torch fails in restoring it.

    Raises:
        ValueError: If it does not fit.
    """
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        names = [frame.name for frame in frames if frame.filename == checkpoint_connector.__file__]
        if not any("restore" in name or "resume" in name for name in names):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        msg = f"{path} does not fit this model and trainer ({reason}): give the checkpoint that they wrote"
        raise InputError(msg) from error
