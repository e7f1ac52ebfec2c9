"""A fit that goes on from a `last.ckpt`: it must be the fit that wrote the file."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import lightning
import yaml
from lightning.pytorch.trainer.connectors import checkpoint_connector

from experiments.training.differences import changed
from saliency.files import read_yaml

CONFIG: Final = "config.yaml"
"""Beside the checkpoint, and the key of the same text in it."""

_LENGTH: Final = frozenset({"max_epochs", "min_epochs", "max_steps", "min_steps", "max_time"})
"""How long a fit lasts: it may go on for longer than it was meant to, unless its schedule spans the whole fit."""

_BEFORE: Final = "start_from"
"""Where a fit began does not matter to the one that goes on."""

_BEGIN: Final = "or begin a new fit with its weights: --start_from"


class Continuation(lightning.Callback):
    """Keeps the config of a fit in its checkpoints, and refuses the optimisers of another module.

    Args:
        config: As YAML.
    """

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
            ValueError: If their number or their settings are others.
        """
        path = trainer.ckpt_path
        if path is None:
            return
        groups = [(each, group) for each in trainer.optimizers for group in each.param_groups]
        lacks = [name for optimizer, group in groups for name in optimizer.defaults if name not in group]
        if self._optimizers != len(trainer.optimizers) or lacks:
            found = f"its {lacks[0]} is missing" if lacks else f"it has {self._optimizers}"
            msg = (
                f"{path} holds the state of other optimisers than {type(pl_module).__name__} has now "
                f"({', '.join(type(each).__name__ for each in trainer.optimizers)}; {found}): go on with the code that "
                f"wrote it, {_BEGIN} {path}"
            )
            raise ValueError(msg)


def check(
    contents: dict[str, Any], path: Path, planned: dict[str, Any], with_defaults: Callable[[dict[str, Any]], Any]
) -> None:
    """Refuse to go on from a checkpoint that another fit wrote, or no fit.

    Args:
        contents: Of the checkpoint.
        path: Of the checkpoint.
        planned: The config of the fit that shall go on, with its defaults.
        with_defaults: Fills the defaults into a config.

    Raises:
        ValueError: If the checkpoint holds no unfinished fit, more epochs or steps are done than asked for, or the
            fit was started with another config.
    """
    for unit, done in _done(contents, path).items():
        name, most = f"max_{unit}", planned["trainer"][f"max_{unit}"]
        if most is not None and 0 <= most < done:
            msg = f"{path} has {done} {unit} behind it, and {name} is {most}: give at least {done}"
            raise ValueError(msg)
    started, spans = _started(contents, path), any("total_steps" in each for each in contents["lr_schedulers"])
    free = {_BEFORE} if spans else {_BEFORE, *_LENGTH}
    found = None if started is None else changed(started, planned, with_defaults, free)
    if found:
        why = "; its schedule spans the whole fit" if found.key.rpartition(".")[2] in _LENGTH else ""
        msg = (
            f"{path} was written by a fit with another config ({found.key} was {found.first}, now {found.second}{why}):"
            f" give what it was, {_BEGIN} {path}"
        )
        raise ValueError(msg)


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
    raise ValueError(msg)


def _started(contents: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """Return the config that a fit was started with; None if it is not known.

    Checkpoints from before they kept it have it beside them.
    """
    try:
        found = yaml.safe_load(contents[CONFIG]) if CONFIG in contents else read_yaml(path.with_name(CONFIG))
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, AttributeError):
        found = None
    if not isinstance(found, dict):
        msg = f"the config in {path} is damaged: begin a new fit with its weights, --start_from {path}"
        raise ValueError(msg)  # noqa: TRY004 - the file is wrong, not the caller
    return found


@contextmanager
def restored(path: str | None) -> Iterator[None]:
    """Say that a checkpoint does not fit where Lightning or torch fails in restoring it.

    Args:
        path: Of the checkpoint; None: there is none.

    Raises:
        ValueError: If it does not fit.
    """
    try:
        yield
    except Exception as error:
        if not any(map(_restores, traceback.extract_tb(error.__traceback__))):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        msg = f"{path} does not fit this model and trainer ({reason}): give the checkpoint that they wrote"
        raise ValueError(msg) from error


def _restores(frame: traceback.FrameSummary) -> bool:
    return frame.filename == checkpoint_connector.__file__ and ("restore" in frame.name or "resume" in frame.name)
