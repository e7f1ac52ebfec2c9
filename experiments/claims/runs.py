"""The runs that repeat one experiment: found, read, and refused where they are not alike."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from attacks.errors import InputError
from data.store.identity import of_file
from experiments.claims.evidence import Reports
from experiments.claims.paper import JUDGED
from experiments.results.result import read_result
from experiments.training.layout import SETTINGS
from experiments.training.run_folder import Run
from experiments.training.run_inputs import DATA_RECORD, FREE, difference
from saliency.files import read_yaml

NEEDED: Final = "transfer"
"""The protocol that every comparison needs."""

_OWN: Final = frozenset({"run", "seeds", "pipelines", "store", "train_on"})
"""Sections of a pipeline file in which repetitions may differ; `train_on` is compared with its default filled in."""

_OF_DATA: Final = frozenset({"root", "cache", "workers", "split_seed"})
"""Arguments of the data in which they may differ: where the images lie, and how they are split."""

_OF_TRAINER: Final = FREE - {"callbacks"}


@dataclass(frozen=True)
class Repetition:
    """One whole pipeline, evaluated.

    Attributes:
        name: The title of its column.
        reports: The contents of each protocol's JSON, by its name.
    """

    name: str
    run: Run
    reports: Reports


def repetitions(run: Run, others: Sequence[str] | None) -> list[Repetition]:
    """Return a run and those that repeat it, in that order.

    Args:
        run: The first.
        others: Folders of the others; None: all beside it that `train.py pipeline --pipelines` names so: `RUN_1`, ...

    Raises:
        FileNotFoundError: If there is no other, one is no run, or one was not evaluated; says which command helps.
        ValueError: If two are the same, share a seed, or differ in more than seeds; or a run changed since it was
            evaluated.
    """
    others = _beside(run) if others is None else others
    runs = [run, *(Run(folder, trusted=run.trusted) for folder in others)]
    if len(runs) == 1:
        msg = (
            f"{run.folder} stands alone: train it with other seeds as well, `python train.py pipeline {run.resumed} "
            "--pipelines 3`, or name runs that repeat it, --others '[FOLDER, FOLDER]'"
        )
        raise FileNotFoundError(msg)
    for first, second in combinations(runs, 2):
        _check_apart(first, second)
    for other in runs[1:]:
        _check_alike(run, other)
    return [Repetition(name, folder, _read(folder)) for name, folder in zip(_names(runs), runs, strict=True)]


def digests_of(repetition: Repetition) -> dict[str, str]:
    """Return the digest of each report that was read, by the protocol's name."""
    return {name: of_file(_path(repetition.run.report, name)) for name in repetition.reports}


def outdated(report: Path, meta: Mapping[str, Any]) -> bool:
    """Whether a report that was judged together with others changed since.

    Args:
        report: Folder of the first run's report, wherever it was moved to.
        meta: Meta data of the joint result. A folder that no longer exists counts as unchanged.
    """
    first, *others = meta["runs"].values()
    folders = [(report, first), *((Path(other["folder"]) / "report", other) for other in others)]
    inputs = [
        (_path(folder, name), digest)
        for folder, each in folders
        for name, digest in each["inputs"].items()
        if name in JUDGED
    ]
    return any(path.is_file() and of_file(path) != digest for path, digest in inputs)


def _path(report: Path, protocol: str) -> Path:
    return report / f"{protocol}.json"


def _beside(run: Run) -> list[str]:
    """Return the runs named like this one with a number, in the numbers' order."""
    folder = run.folder.resolve()
    names = [path.name.removeprefix(f"{folder.name}_") for path in folder.parent.glob(f"{escape(folder.name)}_*")]
    runs = [folder.with_name(f"{folder.name}_{number}") for number in sorted(int(n) for n in names if n.isdecimal())]
    return [str(other) for other in runs if (other / SETTINGS).is_file()]


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the folders' names; where two are the same, the paths."""
    names = [run.folder.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]


def _check_apart(first: Run, second: Run) -> None:
    if first.folder.resolve() == second.folder.resolve():
        msg = f"{first.folder} was named twice: give each run once"
        raise InputError(msg)
    shared = sorted(_networks(first) & _networks(second))
    if shared:
        msg = (
            f"{first.folder} and {second.folder} share the seed {', '.join(map(str, shared))}, so they do not repeat "
            "each other. The first seed of a run is also its classifier's, the one after it the second classifier's: "
            "train one of the runs with --seeds of its own"
        )
        raise InputError(msg)


def _networks(run: Run) -> set[int]:
    """Return the seeds of all that a run trains."""
    seeds = run.settings.seeds
    return {*seeds, seeds[0] + 1}


def _check_alike(first: Run, second: Run) -> None:
    apart = difference(_compared(first), _compared(second))
    if apart is not None:
        msg = (
            f"{second.folder} does not repeat {first.folder}: {apart.key} is {apart.second} there, {apart.first} here; "
            "pipelines that are judged together differ in their seeds only"
        )
        raise InputError(msg)


def _compared(run: Run) -> dict[str, Any]:
    """Return the settings and the images, which must be the same in all repetitions."""
    sections = {key: _computing(value) for key, value in run.settings.sections.items() if key not in _OWN}
    data = sections["data"]
    sections["data"] = {**data, "init_args": _without(data.get("init_args") or {}, _OF_DATA)}
    sections["trainer"] = _without(sections["trainer"] or {}, _OF_TRAINER)
    return sections | {"train_on": run.settings.train_on, "images": _fingerprint(run)}


def _computing(section: Any) -> Any:
    """Return a section without the trainer options that may differ."""
    if not isinstance(section, dict):
        return section
    return {
        key: _without(value, _OF_TRAINER) if key == "trainer" else _computing(value) for key, value in section.items()
    }


def _without(section: Any, keys: Collection[str]) -> Any:
    """Return a section without some keys of its own; deeper ones stay."""
    return {key: value for key, value in section.items() if key not in keys} if isinstance(section, dict) else section


def _fingerprint(run: Run) -> str:
    path = run.folder / DATA_RECORD
    record = read_yaml(path) if path.is_file() else None
    if not isinstance(record, dict) or "fingerprint" not in record:
        msg = f"{path} is missing or damaged: run `python train.py pipeline {run.resumed} --pipelines 1` again"
        raise InputError(msg)
    return str(record["fingerprint"])


def _read(run: Run) -> dict[str, Any]:
    """Return the reports of a run."""
    paths = {name: _path(run.report, name) for name in JUDGED}
    if not paths[NEEDED].is_file():
        msg = f"{run.folder} was not evaluated: run `python evaluate.py all {run.named}` first"
        raise FileNotFoundError(msg)
    reports = {name: read_result(path) for name, path in paths.items() if path.is_file()}
    digests = {str(path.relative_to(run.folder)): of_file(path) for path in run.finished()}
    for name, contents in reports.items():
        changed = _changed(run, contents["meta"], digests)
        if changed:
            msg = f"{changed} since `{name}` was run: run `python evaluate.py {name} {run.named}` again"
            raise InputError(msg)
    return reports


def _changed(run: Run, meta: Mapping[str, Any], digests: Mapping[str, str]) -> str | None:
    """Describe what changed since the evaluation; None if nothing did.

    Args:
        run: The run.
        meta: Meta data of the protocol's report.
        digests: Digests of the finished checkpoints, by their paths in the run.
    """
    settings = run.settings
    if meta.get("seeds") != settings.seeds:
        return f"the seeds of {run.folder} became {settings.seeds}, from {meta.get('seeds')},"
    if meta.get("attacks") != {name: repr(attack) for name, attack in settings.attacks.items()}:
        return f"the attacks of {run.folder} changed"
    before = meta.get("checkpoints", {})
    for path, digest in digests.items():
        if before.get(path, digest) != digest:
            return f"{run.folder / path} was trained anew"
    for path in digests:
        if path not in before and not path.startswith("retrained"):
            return f"{run.folder / path} was trained"
    gone = next((path for path in before if path not in digests), None)
    return f"{run.folder / gone} went missing" if gone else None
