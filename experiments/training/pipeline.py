"""`train.py pipeline`: every missing stage of an experiment, in order or side by side."""

import logging
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from attacks.errors import InputError
from experiments.errors import UsageError
from experiments.process import is_helper
from experiments.results.durations import Durations, in_words
from experiments.results.levels import DETECTED
from experiments.training.fitting import Fit, with_defaults
from experiments.training.folder_access import alone
from experiments.training.layout import CONFIG, LAST, SETTINGS
from experiments.training.run_inputs import changed, check_weights, keep_record, keep_weights
from experiments.training.settings import Settings, read_settings
from experiments.training.side_by_side import check_devices, side_by_side
from experiments.training.stages import Stage, plan
from saliency.files import read_yaml, write_text


def run_pipeline(arguments: list[str]) -> None:
    """Run the missing stages by the arguments of `train.py pipeline`; an interrupted one goes on.

    Raises:
        UsageError: If the pipeline file or a stage's config is not accepted.
        ValueError: If a stage was made with another config.
    """
    first = read_settings(arguments)
    others = [read_settings([*arguments, *first.repetition(number)]) for number in range(1, first.pipelines)]
    console = Console(quiet=is_helper())  # under DDP each rank runs this function
    planned = [(settings, plan(settings)) for settings in [first, *others]]
    for settings, stages in planned:
        check_devices(stages, settings.jobs)
    finished = [_check_stages(stages) for _, stages in planned]
    for (settings, stages), before in zip(planned, finished, strict=True):
        if others:
            title = f"[bold]{escape(settings.run)}[/bold], seeds {settings.seeds}"
            console.print(title, highlight=False, soft_wrap=True)
        _run(settings, stages, before, console)


def _run(settings: Settings, stages: list[Stage], finished: list[Stage], console: Console) -> None:
    settings.data.prepare_data()
    settings.data.setup()
    with alone(Path(settings.run)):
        if finished != _finished(stages):  # another pipeline has ended since they were checked
            _check_stages(stages)
        keep_record(Path(settings.run), settings.data)
        write_text(Path(settings.run) / SETTINGS, settings.resolved)
        durations = Durations(Path(settings.run), kind_of)
        _show_plan(stages, durations, settings.jobs, console)
        todo = {f"[{number}/{len(stages)}] {stage.name}": stage for number, stage in enumerate(stages, 1)}
        for title, stage in list(todo.items()):
            if stage.model.exists():
                del todo[title]
                console.print(f"[bold]{escape(title)}[/bold]: done already", highlight=False)
        for stage, seconds in _trained(todo, settings.jobs):
            if seconds is not None and not is_helper():
                durations.add(stage.name, seconds)
            left = [stage.name for stage in todo.values() if not stage.model.exists()]
            if left:
                console.print(durations.left(left, settings.jobs), highlight=False)
    where = f"run folder: {settings.run}\nTensorBoard: tensorboard --logdir {shlex.quote(settings.run)}"
    console.print(where, highlight=False, markup=False, soft_wrap=True)


def kind_of(stage: str) -> str:
    """Return the kind of a stage by its name: its attack and seed make little difference to how long it takes."""
    first, second, *_ = stage.split("/")
    return first if first == "classifier" else f"{first}/{second}"


def _show_plan(stages: list[Stage], durations: Durations, jobs: int, console: Console) -> None:
    """Print the stages by kind, how many of each are finished, and the time left."""
    kinds: dict[str, list[bool]] = {}
    for stage in stages:
        kinds.setdefault(kind_of(stage.name), []).append(stage.model.exists())
    todo = [stage.name for stage in stages if not stage.model.exists()]
    console.print(f"{len(stages)} stages, {len(stages) - len(todo)} finished:", highlight=False)
    for kind, done in kinds.items():
        console.print(f"  {kind}: {len(done)}" + f", {sum(done)} finished" * any(done), highlight=False)
    if todo:
        console.print(durations.left(todo, jobs), highlight=False)


def _trained(stages: Mapping[str, Stage], jobs: int) -> Iterator[tuple[Stage, float | None]]:
    """Train stages by their titles; yield each at its end, with its seconds."""
    if min(jobs, len(stages)) > 1:
        yield from side_by_side(stages, jobs, train_stage)
    else:
        for title, stage in stages.items():
            yield stage, train_stage(stage, title)


def train_stage(stage: Stage, title: str) -> float | None:
    """Train a stage, or go on with it; print what happens under the title.

    Returns:
        The seconds that it took; None if it was begun before.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):  # their notes on the hardware are the same for each stage
        logging.getLogger(name).setLevel(logging.WARNING)
    console, bold = Console(quiet=is_helper()), f"[bold]{escape(title)}[/bold]"
    last = stage.folder / LAST
    resumed = last.exists()
    console.print(f"{bold}: {'goes on from its last epoch' if resumed else 'training'}", highlight=False)
    start = time.perf_counter()
    fit = Fit({"subcommand": "fit", "fit": {**stage.config, "ckpt_path": str(last) if resumed else None}}, title)
    keep_weights(stage.folder, stage.config["model"])
    seconds = time.perf_counter() - start
    console.print(f"{bold}: done in {in_words(seconds)}", highlight=False)
    area = fit.trainer.callback_metrics.get("validation/auroc")
    if area is not None and area < DETECTED:
        advice = f"validation AUROC {area:.3f}: it detects little. See Training in docs/troubleshooting.md"
        console.print(f"{bold}: {advice}", highlight=False, soft_wrap=True)
    return None if resumed else seconds


def _finished(stages: list[Stage]) -> list[Stage]:
    return [stage for stage in stages if stage.model.exists()]


def _check_stages(stages: list[Stage]) -> list[Stage]:
    """Refuse a stage whose config or weight files changed since its start; return the finished stages."""
    finished = _finished(stages)
    for stage in stages:
        planned, path = _planned(stage), stage.folder / CONFIG
        if not path.exists() or not (stage.model.exists() or (stage.folder / LAST).exists()):
            continue
        differs = changed(read_yaml(path), planned, with_defaults)
        if differs:
            msg = (
                f"{stage.folder} was started with another config ({differs.key} was {differs.first}, now "
                f"{differs.second}): choose another --run, or delete that folder and those of the stages after it"
            )
            raise InputError(msg)
        check_weights(stage.folder)
    return finished


def _planned(stage: Stage) -> Any:
    try:
        return with_defaults(stage.config)
    except UsageError as error:
        msg = f"stage {stage.name}: {error}"
        raise UsageError(msg) from error
