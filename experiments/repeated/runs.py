"""The runs that repeat one experiment: found, read, and refused where they are not alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from experiments import results
from experiments.claims import JUDGED, Found
from experiments.data_record import RECORD
from experiments.differences import difference, without
from experiments.provenance import digest
from experiments.run import Run
from experiments.tables import read_yaml

NEEDED: Final = "transfer"
"""The protocol without which there is nothing to compare."""

_OWN: Final = frozenset({"run", "seeds", "pipelines", "split_seed"})
"""Keys of a pipeline file in which repetitions may differ: who they are, and how the images are split."""


@dataclass(frozen=True)
class Repetition:
    """One whole pipeline, evaluated.

    Attributes:
        name: Of its column.
        run: The run folder.
        found: The contents of each protocol's JSON, by its name.
    """

    name: str
    run: Run
    found: Found


def repetitions(run: Run, others: Sequence[str] | None) -> list[Repetition]:
    """Return a run and those that repeat it, in that order.

    Args:
        run: The first.
        others: Folders of the others; None: all beside it that `train.py pipeline --pipelines` names so: `RUN_1`, ...

    Raises:
        FileNotFoundError: If there is no other, one is no run, or one was not evaluated; says which command helps.
        ValueError: If two are the same, share a seed, or differ in more than seeds; or a run was trained anew after its
            evaluation.
    """
    runs = [run, *(Run(folder) for folder in (_beside(run) if others is None else others))]
    if len(runs) == 1:
        msg = (
            f"{run.folder} stands alone: train it with other seeds as well, `python train.py pipeline --config "
            f"{run.folder}/pipeline.yaml --pipelines 3`, or name runs that repeat it, --others '[FOLDER, FOLDER]'"
        )
        raise FileNotFoundError(msg)
    for first, second in combinations(runs, 2):
        _check_apart(first, second)
    for other in runs[1:]:
        _check_alike(run, other)
    return [Repetition(name, each, _read(each)) for name, each in zip(_names(runs), runs, strict=True)]


def _beside(run: Run) -> list[str]:
    numbered = [
        (int(path.name.removeprefix(f"{run.folder.name}_")), str(path))
        for path in run.folder.resolve().parent.glob(f"{run.folder.resolve().name}_*")
        if path.name.removeprefix(f"{run.folder.name}_").isdecimal()
    ]
    return [path for _, path in sorted(numbered)]


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the folders' names; where two are the same, the paths."""
    names = [run.folder.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]


def _check_apart(first: Run, second: Run) -> None:
    if first.folder.resolve() == second.folder.resolve():
        msg = f"{first.folder} was named twice: give each run once"
        raise ValueError(msg)
    shared = sorted({*first.settings.seeds} & {*second.settings.seeds})
    if shared:
        msg = (
            f"{first.folder} and {second.folder} share the seed {', '.join(map(str, shared))}: the first seed is the "
            "classifier's as well, so that they do not repeat each other; train one with --seeds of its own"
        )
        raise ValueError(msg)


def _check_alike(first: Run, second: Run) -> None:
    differs = difference(without(first.settings.sections, _OWN), without(second.settings.sections, _OWN))
    if differs is None:
        prints = [read_yaml(run.folder / RECORD)["fingerprint"] for run in (first, second)]
        differs = None if prints[0] == prints[1] else f"the images of {RECORD} are others"
    if differs is not None:
        msg = (
            f"{second.folder} does not repeat {first.folder}: {differs}; pipelines that are judged together differ in "
            "their seeds only"
        )
        raise ValueError(msg)


def _read(run: Run) -> dict[str, Any]:
    """Return what the protocols found on a run.

    Raises:
        FileNotFoundError: If the needed one was not run.
        ValueError: If a file is damaged, or a checkpoint is another one than was evaluated.
    """
    paths = {name: run.report / f"{name}.json" for name in JUDGED}
    if not paths[NEEDED].is_file():
        msg = f"{run.folder} was not evaluated: run `python evaluate.py all --run {run.folder}` first"
        raise FileNotFoundError(msg)
    found = {name: results.read(path) for name, path in paths.items() if path.is_file()}
    digests: dict[Path, str] = {}
    for name, contents in found.items():
        _check_current(run, name, contents["meta"]["checkpoints"], digests)
    return found


def _check_current(run: Run, name: str, kept: Mapping[str, str], digests: dict[Path, str]) -> None:
    for relative, was in kept.items():
        path = run.folder / relative
        if path.is_file() and path not in digests:
            digests[path] = digest(path)
        if digests.get(path, was) != was:
            msg = f"{path} was trained anew after `{name}`: run `python evaluate.py {name} --run {run.folder}` again"
            raise ValueError(msg)
