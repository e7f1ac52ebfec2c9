"""The runs that repeat one experiment: found, read, and refused where they are not alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from data.store.identity import of_file
from experiments.claims.paper import JUDGED, Found
from experiments.results.result import read_result
from experiments.training.layout import SETTINGS
from experiments.training.run_folder import Run
from experiments.training.run_inputs import DATA_RECORD, FREE, difference
from saliency.files import read_yaml

NEEDED: Final = "transfer"
"""The protocol without which there is nothing to compare."""

_OWN: Final = frozenset({"run", "seeds", "pipelines", "store", "train_on"})
"""Sections of a pipeline file in which repetitions may differ; `train_on` is compared with its default filled in."""

_OF_DATA: Final = frozenset({"root", "cache", "workers", "split_seed"})
"""Arguments of the data in which they may differ: where the images lie, and how they are split."""

_OF_TRAINER: Final = FREE - {"callbacks"}


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
        ValueError: If two are the same, share a seed, or differ in more than seeds; or a run is not any more what was
            evaluated.
    """
    others = _beside(run) if others is None else others
    runs = [run, *(Run(folder, trusted=run.trusted) for folder in others)]
    if len(runs) == 1:
        msg = (
            f"{run.folder} stands alone: train it with other seeds as well, `python train.py pipeline "
            f"{run.resumed} --pipelines 3`, or name runs that repeat it, --others "
            "'[FOLDER, FOLDER]'"
        )
        raise FileNotFoundError(msg)
    for first, second in combinations(runs, 2):
        _check_apart(first, second)
    for other in runs[1:]:
        _check_alike(run, other)
    return [Repetition(name, each, _read(each)) for name, each in zip(_names(runs), runs, strict=True)]


def inputs(repetition: Repetition) -> dict[str, str]:
    """Return the of_file of each report that was read, by the protocol's name."""
    return {name: of_file(_path(repetition.run.report, name)) for name in repetition.found}


def outdated(report: Path, meta: Mapping[str, Any]) -> bool:
    """Tell whether a report that was judged together with others has changed since.

    Args:
        report: Folder of the first run's report, wherever it was moved to.
        meta: Of what was found on all together. A folder that is not there any more is taken as it was.
    """
    folders = [report, *(Path(each["folder"]) / "report" for each in list(meta["runs"].values())[1:])]
    return any(
        path.is_file() and of_file(path) != was
        for folder, each in zip(folders, meta["runs"].values(), strict=True)
        for path, was in ((_path(folder, name), was) for name, was in each["inputs"].items() if name in JUDGED)
    )


def _path(report: Path, protocol: str) -> Path:
    return report / f"{protocol}.json"


def _beside(run: Run) -> list[str]:
    folder = run.folder.resolve()
    numbers = [
        int(path.name.removeprefix(f"{folder.name}_"))
        for path in folder.parent.iterdir()
        if path.name.startswith(f"{folder.name}_")
        and path.name.removeprefix(f"{folder.name}_").isdecimal()
        and (path / SETTINGS).is_file()
    ]
    return [str(folder.with_name(f"{folder.name}_{number}")) for number in sorted(numbers)]


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the folders' names; where two are the same, the paths."""
    names = [run.folder.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]


def _check_apart(first: Run, second: Run) -> None:
    if first.folder.resolve() == second.folder.resolve():
        msg = f"{first.folder} was named twice: give each run once"
        raise ValueError(msg)
    shared = sorted(_networks(first) & _networks(second))
    if shared:
        msg = (
            f"{first.folder} and {second.folder} share the seed {', '.join(map(str, shared))}: the first seed of a run "
            "is its classifier's as well, the one after it the second classifier's, so that they do not repeat each "
            "other; train one with --seeds of its own"
        )
        raise ValueError(msg)


def _networks(run: Run) -> set[int]:
    """Return the seeds of all that a run trains."""
    seeds = run.settings.seeds
    return {*seeds, seeds[0] + 1}


def _check_alike(first: Run, second: Run) -> None:
    found = difference(_compared(first), _compared(second))
    if found is not None:
        msg = (
            f"{second.folder} does not repeat {first.folder}: {found.key} is {found.second} there, {found.first} here; "
            "pipelines that are judged together differ in their seeds only"
        )
        raise ValueError(msg)


def _compared(run: Run) -> dict[str, Any]:
    """Return what must be the same in all repetitions: settings, and which images there are."""
    sections = {key: _computing(value) for key, value in run.settings.sections.items() if key not in _OWN}
    arguments = sections["data"].get("init_args") or {}
    sections["data"] = {
        **sections["data"],
        "init_args": {key: value for key, value in arguments.items() if key not in _OF_DATA},
    }
    sections["trainer"] = _kept(sections["trainer"] or {})
    return sections | {"train_on": run.settings.train_on, "images": _fingerprint(run)}


def _computing(section: Any) -> Any:
    """Return a section without what its trainers may differ in."""
    if not isinstance(section, dict):
        return section
    return {key: _kept(value) if key == "trainer" else _computing(value) for key, value in section.items()}


def _kept(trainer: Any) -> Any:
    """Return the flags of a trainer that change what is computed."""
    if not isinstance(trainer, dict):
        return trainer
    return {key: value for key, value in trainer.items() if key not in _OF_TRAINER}


def _fingerprint(run: Run) -> str:
    path = run.folder / DATA_RECORD
    kept = read_yaml(path) if path.is_file() else None
    if not isinstance(kept, dict) or "fingerprint" not in kept:
        msg = f"{path} is missing or damaged: run `python train.py pipeline {run.resumed} --pipelines 1` again"
        raise ValueError(msg)
    return str(kept["fingerprint"])


def _read(run: Run) -> dict[str, Any]:
    """Return what the protocols found on a run.

    Raises:
        FileNotFoundError: If the needed one was not run.
        ValueError: If a file is damaged, or the run is not any more what was evaluated.
    """
    paths = {name: _path(run.report, name) for name in JUDGED}
    if not paths[NEEDED].is_file():
        msg = f"{run.folder} was not evaluated: run `python evaluate.py all {run.named}` first"
        raise FileNotFoundError(msg)
    found = {name: read_result(path) for name, path in paths.items() if path.is_file()}
    digests = {str(path.relative_to(run.folder)): of_file(path) for path in run.finished()}
    for name, contents in found.items():
        changed = _changed(run, contents["meta"], digests)
        if changed:
            msg = f"{changed} since `{name}` was run: run `python evaluate.py {name} {run.named}` again"
            raise ValueError(msg)
    return found


def _changed(run: Run, meta: Mapping[str, Any], digests: Mapping[str, str]) -> str | None:
    """Return what of a run is not any more as a protocol found it, in words; None if all is.

    Args:
        run: The run.
        meta: Of the protocol.
        digests: Of the finished checkpoints, by their paths in the run.
    """
    settings = run.settings
    if meta.get("seeds") != settings.seeds:
        return f"the seeds of {run.folder} became {settings.seeds}, from {meta.get('seeds')},"
    if meta.get("attacks") != {name: repr(attack) for name, attack in settings.attacks.items()}:
        return f"the attacks of {run.folder} changed"
    kept = meta.get("checkpoints", {})
    other = next((path for path, now in digests.items() if kept.get(path, now) != now), None)
    gone = next((path for path in kept if path not in digests), None)
    new = next((path for path in digests if path not in kept and not path.startswith("retrained")), None)
    if other or new:
        return f"{run.folder / (other or new or '')} was trained{' anew' if other else ''}"
    return f"{run.folder / gone} went missing" if gone else None
