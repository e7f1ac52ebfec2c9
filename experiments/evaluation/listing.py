"""`evaluate.py list`: what a run has, what can be evaluated, and what was: by names of files, without torch."""

import argparse
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from attacks.errors import InputError
from experiments.errors import UsageError
from experiments.evaluation.protocols import PROTOCOLS, Needs
from experiments.results.result import read_result
from experiments.training.layout import DONE, LAST, SALIENCY_PARTS, SETTINGS, stage_folders
from saliency.files import expanded, read_yaml

_REPORT: Final = "report"


@dataclass(frozen=True)
class RunFiles:
    """A run, as its files tell.

    Attributes:
        folder: The run folder.
        report: Folder of its reports.
        sections: Its settings.
        missing: Folders of the stages that are not finished.
    """

    folder: Path
    report: Path
    sections: dict[str, Any]
    missing: list[str]

    @property
    def train(self) -> str:
        """The command that trains missing parts."""
        return shlex.join(
            ["python", "train.py", "pipeline", "--config", str(self.folder / SETTINGS), "--run", str(self.folder)]
        )

    @property
    def train_on(self) -> list[str]:
        """The attacks that detectors are trained on."""
        return list(self.sections["train_on"] or self.sections["attacks"])


def run_list(arguments: list[str]) -> None:
    """Print what a run has, by the arguments of `evaluate.py list`.

    Raises:
        UsageError: If they are not accepted.
        FileNotFoundError: If there is no such run.
        ValueError: If its settings cannot be read.
    """
    options = _parser().parse_args(arguments)
    folder = Path(expanded(options.run))
    run = run_files(folder, Path(expanded(options.report)) if options.report else folder / _REPORT)
    text = "\n".join([*_about(run), "", *_stages(run), "", *_protocols(run), "", *_reports(run)])
    sys.stdout.write("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text) + "\n")


class _ListParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _ListParser(
        prog="evaluate.py list",
        description="Say what a run has, what can be evaluated, and what was evaluated already.",
        epilog="Example: python evaluate.py list runs/digits",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="The run folder that `train.py pipeline` made.")
    parser.add_argument("--report", default="", help="Folder of its reports; RUN/report unless given.")
    return parser


def run_files(folder: Path, report: Path) -> RunFiles:
    """Return a run, as its files tell.

    Raises:
        FileNotFoundError: If there is no such folder, or no pipeline made it.
        ValueError: If its settings cannot be read.
    """
    path = folder / SETTINGS
    if not path.is_file():
        lacks = f"holds no {SETTINGS}" if folder.is_dir() else "does not exist"
        runs = sorted(str(file.parent) for file in folder.glob(f"*/{SETTINGS}"))
        advice = f"give one of {', '.join(runs)}" if runs else "give a folder that `python train.py pipeline` made"
        msg = f"the run folder {folder} {lacks}: {advice}"
        raise FileNotFoundError(msg)
    sections = read_yaml(path)
    try:
        stages = stage_folders(sections)
        missing = [stage for stage in stages if not (folder / stage / DONE).is_file()]
        return RunFiles(folder, report, sections, missing)
    except (AttributeError, KeyError, TypeError, IndexError) as error:
        msg = f"{path} is not the settings of a whole run: run `python train.py pipeline` again with --run {folder}"
        raise InputError(msg) from error


def _about(run: RunFiles) -> Iterator[str]:
    sections = run.sections
    yield str(run.folder)
    yield f"  data           {_called(sections['data'])}"
    for number, (name, attack) in enumerate(sections["attacks"].items()):
        yield f"  {'' if number else 'attacks':<15}{name}: {_called(attack)}"
    if sections.get("training_free"):
        yield f"  training-free  {', '.join(sections['training_free'])}"


def _called(section: Any) -> str:
    """Return a class with its arguments, as `attacks.FGSM(epsilon=0.1)`."""
    options = {
        key: value
        for key, value in (section.get("init_args") or {}).items()
        if value is not None and value is not False
    }
    return f"{section['class_path']}({', '.join(f'{key}={value}' for key, value in options.items())})"


def _stages(run: RunFiles) -> Iterator[str]:
    """Yield a line for each model of the run: whether it is trained, by seed where it has some."""
    states: dict[str, list[str]] = {}
    for stage in stage_folders(run.sections):
        model, _, seed = stage.rpartition("/seed_")
        states.setdefault(model or stage, []).append(f"seed {seed} " * bool(model) + _state(run, stage))
    yield "Models:"
    width = max(map(len, states))
    yield from (f"  {model:<{width}}  {', '.join(names)}" for model, names in states.items())
    if run.missing:
        count = len(stage_folders(run.sections))
        yield f"{len(run.missing)} of {count} are not trained. Go on with `{run.train}`."


def _state(run: RunFiles, stage: str) -> str:
    if stage not in run.missing:
        return "trained"
    return "begun" if (run.folder / stage / LAST).is_file() else "missing"


def _protocols(run: RunFiles) -> Iterator[str]:
    yield f"Can be evaluated, with `python evaluate.py NAME {shlex.join(_named(run))}`:"
    lacking = {name: lacks(run, protocol.needs) for name, protocol in PROTOCOLS.items()}
    yield from (f"  {name:<12} {PROTOCOLS[name].help}" for name, what in lacking.items() if not what)
    if any(lacking.values()):
        yield "Cannot be evaluated:"
        yield from (f"  {name:<12} {what}" for name, what in lacking.items() if what)


def _named(run: RunFiles) -> list[str]:
    apart = [] if run.report == run.folder / _REPORT else ["--report", str(run.report)]
    return ["--run", str(run.folder), *apart]


def lacks(run: RunFiles, needs: Needs) -> str:
    """Return the missing parts of a run in words; empty if it is complete."""
    missing = [stage for stage in run.missing if stage in _needed(run, needs)]
    if missing:
        more = f" and {len(missing) - 1} more" * (len(missing) > 1)
        return f"lacks {missing[0]}{more}"
    if needs == "detectors of an epsilon" and not any(map(_has_epsilon, _trained_attacks(run))):
        return "no detector is trained on an attack with an epsilon"
    return _lacks_runs(run) if needs == "runs" else ""


def _needed(run: RunFiles, needs: Needs) -> list[str]:
    """Return the stages without which a protocol cannot run."""
    classifier, *others = stage_folders(run.sections)
    maps = [stage for stage in others if stage == f"saliency/{SALIENCY_PARTS[-1]}"]
    detectors = [stage for stage in others if stage.startswith("detectors/")]
    start = (run.sections.get("retrain") or {}).get("start") or run.train_on[0]
    of: Mapping[Needs, list[str]] = {
        "classifier": [classifier],
        "maps": [classifier, *maps],
        "detectors": [classifier, *maps, *detectors],
        "detectors of an epsilon": [classifier, *maps, *detectors],
        "detectors of one attack": [classifier, *maps, *(path for path in detectors if f"/{start}/" in path)],
        "runs": [],
    }
    return of[needs]


def _trained_attacks(run: RunFiles) -> list[Mapping[str, Any]]:
    attacks = run.sections["attacks"]
    return [attacks[name] for name in run.train_on if name in attacks]


def _has_epsilon(attack: Mapping[str, Any]) -> bool:
    return ((attack.get("init_args") or {}).get("epsilon") or 0) > 0


def _lacks_runs(run: RunFiles) -> str:
    """Return which runs, or reports of them, are missing for several to be judged together; empty: none."""
    folder = run.folder.resolve()
    beside = [path.parent for path in folder.parent.glob(f"*/{SETTINGS}")]
    others = [path for path in beside if re.fullmatch(rf"{re.escape(folder.name)}_\d+", path.name)]
    if not others:
        return f"there is no {run.folder}_1 beside it; make it with `{run.train} --pipelines 3`"
    reports = [run.report, *(path / _REPORT for path in sorted(others))]
    unread = [str(path.parent) for path in reports if not (path / "transfer.json").is_file()]
    return f"evaluate.py transfer was not run on {', '.join(unread)}" if unread else ""


def _reports(run: RunFiles) -> Iterator[str]:
    files = [
        path for name in PROTOCOLS for path in [run.report / f"{name}.json", *sorted(run.report.glob(f"{name}-*.json"))]
    ]
    files = [path for path in files if path.is_file()]
    yield f"Was evaluated, in {run.report}:" if files else "Nothing was evaluated yet."
    yield from (f"  {path.stem:<12} {_of_report(path)}" for path in files)


def _of_report(path: Path) -> str:
    """Return the date and the options of a report; of one made before options were kept, its command."""
    date = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
    try:
        meta = read_result(path)["meta"]
    except InputError as error:
        return str(error)
    if "options" not in meta:
        return f"{date}  `{meta['command']}`"
    return f"{date}  {', '.join(f'{key} {value}' for key, value in meta['options'].items() if value is not None)}"
