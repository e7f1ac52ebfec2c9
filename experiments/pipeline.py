"""`train.py pipeline`: every missing stage of an experiment, in order."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from experiments.data_record import keep_record
from experiments.fitting import CONFIG, LAST, ConfigCheck, ModelCLI
from experiments.messages import UsageError
from experiments.run import SETTINGS
from experiments.settings import Settings, read_settings
from experiments.stages import Stage, plan
from experiments.tables import read_yaml, write_text


def run_pipeline(arguments: list[str]) -> None:
    """Run the stages that are missing; name each, skip finished ones, go on with an interrupted one.

    Args:
        arguments: Of `train.py pipeline`.

    Raises:
        UsageError: If the pipeline file or a stage's config is not accepted.
        ValueError: If a stage was made with another config.
    """
    settings = read_settings(arguments)
    stages = plan(settings)
    console = Console(quiet=_is_child())  # under DDP each rank runs this function
    _check_all(stages)
    settings.data.prepare_data()
    settings.data.setup()
    keep_record(Path(settings.run), settings.data)
    write_settings(settings)
    _calm()
    for number, stage in enumerate(stages, 1):
        title = f"[bold][{number}/{len(stages)}][/bold] {stage.name}"
        if stage.model.exists():
            console.print(f"{title}: done already", highlight=False)
            continue
        last = stage.folder / LAST
        resumed = last.exists()
        console.print(f"{title}: {'goes on from its last epoch' if resumed else 'training'}", highlight=False)
        start = time.perf_counter()
        ModelCLI({"subcommand": "fit", "fit": {**stage.config, "ckpt_path": str(last) if resumed else None}})
        console.print(f"{title}: done in {time.perf_counter() - start:.1f} s", highlight=False)
    console.print(
        f"run folder: {settings.run}\nTensorBoard: tensorboard --logdir {settings.run}", highlight=False, soft_wrap=True
    )


def _is_child() -> bool:
    """Tell whether another process of a distributed run does the talking."""
    told = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return next((rank for rank in told if rank is not None), "0") != "0"


def write_settings(settings: Settings) -> None:
    """Write the resolved pipeline file into the run folder, atomically."""
    write_text(Path(settings.run) / SETTINGS, settings.resolved)


_FREE = {"root", "cache", "workers", "store", "callbacks", "logger", "accelerator", "devices", "num_nodes", "strategy"}
_FREE |= {"profiler", "default_root_dir", "log_every_n_steps", "enable_progress_bar", "enable_model_summary"}
"""Keys that may change while a run goes on: where it runs and what it shows, not what it computes."""


def _check_all(stages: list[Stage]) -> None:
    """Parse every stage's config, and compare it with the one that a stage was started with."""
    for stage in stages:
        planned = yaml.safe_load(_resolved(stage))
        path = stage.folder / CONFIG
        if not path.exists() or not (stage.model.exists() or (stage.folder / LAST).exists()):
            continue
        started = read_yaml(path)
        difference = _difference(_without_root(started, stage), _without_root(planned, stage))
        if difference:
            msg = (
                f"{stage.folder} was started with another config ({difference}): choose another --run, or delete that "
                "folder and those of the stages after it"
            )
            raise ValueError(msg)


def _without_root(config: dict[str, Any], stage: Stage) -> Any:
    """Return a stage's config with paths relative to the run folder, which may have moved."""
    root = config["trainer"]["default_root_dir"].removesuffix(stage.name)

    def relative(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: relative(item) for key, item in value.items() if key not in _FREE}
        if isinstance(value, list):
            return [relative(item) for item in value]
        return value.removeprefix(root) if isinstance(value, str) else value

    return relative(config)


def _resolved(stage: Stage) -> str:
    try:
        return ConfigCheck({"subcommand": "fit", "fit": stage.config}).resolved()
    except UsageError as error:
        msg = f"stage {stage.name}: {error}"
        raise UsageError(msg) from error


def _difference(old: object, new: object, key: str = "") -> str | None:
    """Return the first key whose values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            found = _difference(old.get(name), new.get(name), f"{key}.{name}" if key else name)
            if found:
                return found
        return None
    return None if old == new else f"{key} was {old}, now {new}"


def _calm() -> None:
    """Keep Lightning's notes on the hardware, the same for each stage, out of the list of stages."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
