"""`train.py pipeline`: every missing stage of an experiment, in order."""

import logging
import os
import shlex
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from experiments.continued import CONFIG
from experiments.data_record import keep_record
from experiments.differences import changed
from experiments.fitting import LAST, Fit, with_defaults
from experiments.messages import UsageError
from experiments.run import SETTINGS
from experiments.settings import Settings, read_settings
from experiments.stages import Stage, plan
from experiments.tables import read_yaml
from experiments.weights_record import check_weights, keep_weights
from saliency.files import write_text


def run_pipeline(arguments: list[str]) -> None:
    """Run the stages that are missing; name each, skip finished ones, go on with an interrupted one.

    Args:
        arguments: Of `train.py pipeline`.

    Raises:
        UsageError: If the pipeline file or a stage's config is not accepted.
        ValueError: If a stage was made with another config.
    """
    first = read_settings(arguments)
    others = [read_settings([*arguments, *first.repetition(number)]) for number in range(1, first.pipelines)]
    console = Console(quiet=_is_child())  # under DDP each rank runs this function
    planned = [(settings, plan(settings)) for settings in [first, *others]]
    for _, stages in planned:
        _check_all(stages)
    _calm()
    for settings, stages in planned:
        if others:
            console.print(
                f"[bold]{escape(settings.run)}[/bold], seeds {settings.seeds}", highlight=False, soft_wrap=True
            )
        _run(settings, stages, console)


def _run(settings: Settings, stages: list[Stage], console: Console) -> None:
    settings.data.prepare_data()
    settings.data.setup()
    keep_record(Path(settings.run), settings.data)
    write_settings(settings)
    for number, stage in enumerate(stages, 1):
        title = f"[bold][{number}/{len(stages)}][/bold] {stage.name}"
        if stage.model.exists():
            console.print(f"{title}: done already", highlight=False)
            continue
        last = stage.folder / LAST
        resumed = last.exists()
        console.print(f"{title}: {'goes on from its last epoch' if resumed else 'training'}", highlight=False)
        start = time.perf_counter()
        Fit({"subcommand": "fit", "fit": {**stage.config, "ckpt_path": str(last) if resumed else None}})
        keep_weights(stage)
        console.print(f"{title}: done in {time.perf_counter() - start:.1f} s", highlight=False)
    told = f"run folder: {settings.run}\nTensorBoard: tensorboard --logdir {shlex.quote(settings.run)}"
    console.print(told, highlight=False, markup=False, soft_wrap=True)


def _is_child() -> bool:
    """Tell whether another process of a distributed run does the talking."""
    told = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return next((rank for rank in told if rank is not None), "0") != "0"


def write_settings(settings: Settings) -> None:
    """Write the resolved pipeline file into the run folder, atomically."""
    write_text(Path(settings.run) / SETTINGS, settings.resolved)


def _check_all(stages: list[Stage]) -> None:
    """Parse every stage's config; compare it, and the weights that it names, with what a stage was started with."""
    for stage in stages:
        planned, path = _planned(stage), stage.folder / CONFIG
        if not path.exists() or not (stage.model.exists() or (stage.folder / LAST).exists()):
            continue
        differs = changed(read_yaml(path), planned, with_defaults)
        if differs:
            msg = (
                f"{stage.folder} was started with another config ({differs.key} was {differs.first}, now "
                f"{differs.second}): choose another --run, or delete that "
                "folder and those of the stages after it"
            )
            raise ValueError(msg)
        check_weights(stage)


def _planned(stage: Stage) -> Any:
    try:
        return with_defaults(stage.config)
    except UsageError as error:
        msg = f"stage {stage.name}: {error}"
        raise UsageError(msg) from error


def _calm() -> None:
    """Keep Lightning's notes on the hardware, the same for each stage, out of the list of stages."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
