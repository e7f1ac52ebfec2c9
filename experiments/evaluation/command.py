"""The command line of `evaluate.py`: one subcommand per protocol, and `all`."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Final

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]
from rich.console import Console
from rich.markup import escape
from rich.table import Table as ConsoleTable

from attacks.errors import InputError
from experiments.errors import TooFewError
from experiments.evaluation.lines import Lines
from experiments.evaluation.protocols import ALL, PROTOCOLS
from experiments.evaluation.report import columns_of_words, read_results, write_report
from experiments.evaluation.summary import summarise
from experiments.evaluation.tensorboard import write_charts, write_scores, write_summary
from experiments.explanation.unfinished import forget
from experiments.parser import Parser
from experiments.process import is_helper
from experiments.results.durations import Durations, in_words
from experiments.results.result import Result, write_result
from experiments.results.text import cell
from experiments.study.batches import usable_device
from experiments.study.ranks import first, together
from experiments.study.study import Study, plain
from experiments.training.run_folder import Run
from experiments.training.sections import import_modules
from saliency.files import UnwrittenError, write_text

_FILE_WIDTH: Final = 200
"""Characters of a line where the output goes to a file or a pipe: rich would wrap tables at 80."""

SCORED: Final = "transfer"
"""The protocol whose scores TensorBoard shows."""


def run_evaluation(arguments: list[str]) -> None:
    """Parse the command line and run the protocol that it names.

    Raises:
        UsageError: If they are not accepted.
        FileNotFoundError: If the run, or a stage that the protocol needs, does not exist.
        OSError: If the report's folder cannot be written.
        ValueError: If the device cannot be used, something in the run does not fit together, or the run needs trust.
    """
    parser = _parser(arguments[0])
    config = parser.instantiate(parser.parse_args(arguments))
    options: Namespace = config[config.protocol]
    import_modules(options.imports)
    run = Run(options.run, options.report or None, trusted=options.trust)
    _check_writable(run.report)
    if options.devices > 1 and sys.argv[-len(arguments) :] != arguments:
        msg = "--devices starts the command line anew in other processes: give it to evaluate.py there, not in Python"
        raise InputError(msg)
    with together(options.device, options.devices) as own:
        if own is not None and run.store() is None:
            msg = f"{run.named} keeps no scores (store: null) that processes could share: evaluate it with one process"
            raise InputError(msg)
        device = own or usable_device(options.device)
        console = Console(quiet=is_helper())
        if not console.is_terminal:
            console.width = max(console.width, _FILE_WIDTH)
        with Lines(transient=True, console=console) as progress:
            detectors = options.pop(_DETECTORS) if config.protocol in _OF_DETECTORS else None
            study = Study(run, device, progress, ["python", "evaluate.py", *arguments], detectors)
            if config.protocol == ALL:
                _all(study, console)
            else:
                of_protocol = {name: value for name, value in options.items() if name not in _OF_EVERY}
                result = _run(config.protocol, study, of_protocol)
        if config.protocol != ALL:
            _show(result, console)
        first(lambda: _report(run, console, every=config.protocol == ALL))


def _report(run: Run, console: Console, *, every: bool) -> None:
    """Write the report of all results, and print its path."""
    report = write_report(run, list(PROTOCOLS))
    summary = summarise(read_results(run, list(PROTOCOLS)), run.named)
    texts = {heading: [statement.text for statement in statements] for heading, statements in summary.items()}
    write_summary(run.report, texts, run.settings.resolved)
    if every:
        _show_summary(texts, console)
    logs = shlex.quote(str(run.folder if run.apart is None else run.apart))
    paths = f"report: {report} (and {run.report}/*.md, *.json, *.csv, *.png)\nTensorBoard: tensorboard --logdir {logs}"
    console.print(paths, highlight=False, markup=False, soft_wrap=True)


_DETECTORS: Final = "detectors"
_OF_DETECTORS: Final = [name for name, protocol in PROTOCOLS.items() if protocol.of_detectors]

_ABOUT_ALL: Final = "Run every protocol that needs no other run and does not take long; name those that are left out."

_OF_EVERY: Final = ("run", "report", "imports", "trust", "device", "devices", "config")
"""Options that every subcommand has."""


def _run(name: str, study: Study, of_protocol: Mapping[str, Any]) -> Result:
    """Run a protocol, write its files, and return its result, whose meta data name the options."""
    protocol = PROTOCOLS[name]
    defaults = {option: about.default for option, about in list(signature(protocol.run).parameters.items())[1:]}
    chosen = {_DETECTORS: study.detectors} if protocol.of_detectors and study.detectors is not None else {}
    options = {option: plain(value) for option, value in {**defaults, **of_protocol, **chosen}.items()}
    result = protocol.run(study, **of_protocol)
    result = replace(result, meta={**result.meta, "options": options})
    first(lambda: _write(name, study, result))
    return result


def _write(name: str, study: Study, result: Result) -> None:
    write_result(result, study.run.report)
    write_charts(study.run.report, result)
    if name == SCORED:
        write_scores(study, result.rows)
    forget(study.run.report, result.protocol)


_ON_THE_DEMO: Final = {
    "transfer": 36.0,
    "strength": 4.0,
    "shift": 3.0,
    "threshold": 61.0,
    "corruptions": 38.0,
    "speed": 3.0,
    "gallery": 3.0,
}
"""Seconds of each protocol on the demo's run, on two cores."""


def _all(study: Study, console: Console) -> None:
    """Run every possible protocol on one study, so that nothing is computed twice; say why others cannot run."""
    apart = {name: protocol.apart for name, protocol in PROTOCOLS.items() if protocol.apart}
    left_out = {name: f"{why}: `python evaluate.py {name} {study.run.named}`" for name, why in apart.items()}
    names, durations = [name for name in PROTOCOLS if name not in apart], Durations(study.run.report, demo=_ON_THE_DEMO)
    show = partial(console.print, highlight=False, soft_wrap=True)
    for number, name in enumerate(names):
        title = f"[bold]{escape(f'[{number + 1}/{len(names)}] {name}')}[/bold]"
        show(f"{title}: {PROTOCOLS[name].help}; {durations.left(names[number:])}")
        start = time.perf_counter()
        try:
            finding = _run(name, study, {}).finding
        except (FileNotFoundError, TooFewError) as error:
            left_out[name] = str(error)
        else:
            first(partial(durations.add, name, time.perf_counter() - start))
            show(f"{title} ({in_words(time.perf_counter() - start)}): {escape(finding)}")
            with suppress(InputError):  # a damaged file of an earlier evaluation may yet be replaced
                first(lambda: write_report(study.run, list(PROTOCOLS)))
    for name, reason in left_out.items():
        console.print(f"[bold]{name}[/bold] was left out: {escape(reason)}", highlight=False, soft_wrap=True)


def _parser(name: str) -> Parser:
    """Return the parser of one subcommand: to build all takes seconds."""
    parser = Parser(prog="evaluate.py")
    parser.add_subcommands(dest="protocol").add_subcommand(
        name, _of_run(ALL, _ABOUT_ALL) if name == ALL else _of_protocol(name)
    )
    return parser


def _of_protocol(name: str) -> Parser:
    protocol = PROTOCOLS[name]
    parser = _of_run(name, f"{protocol.help[0].upper()}{protocol.help[1:]}: RUN/report/{name}.{{json,csv,md,png}}.")
    if name in _OF_DETECTORS:
        parser.add_argument(f"--{_DETECTORS}", type=list[str] | None, default=None, help=_ABOUT_DETECTORS)
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="A YAML file of these options.")
    parser.add_function_arguments(protocol.run, as_group=False, skip={"study"})
    return parser


_ABOUT_DETECTORS: Final = (
    "Detectors that are evaluated: names of the run's, and others by class path or checkpoint (.ckpt). A class or "
    "function is called with what it takes of classifier, saliency and second; one whose object has `fit` is fitted to "
    "the clean images that detectors are trained on. null: all of the run."
)


def _of_run(name: str, about: str) -> Parser:
    parser = Parser(description=f"{about} Example: python evaluate.py {name} --run runs/digits")
    parser.add_argument("--run", type=str, required=True, help="The run folder that `train.py pipeline` made.")
    parser.add_argument(
        "--report",
        type=str,
        default="",
        help="Folder for all that is written: report, scores and adversarial sets, which are made anew; by default the "
        "run's own, RUN/report. For a run that cannot be written.",
    )
    parser.add_argument(
        "--imports",
        type=list[str],
        default=[],
        help="Modules of yours to import first, for example [my_nets]: those whose classes the run names.",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="Trust whoever made the run: import every module that it names, follow its links and its store out of "
        "its folder (see SECURITY.md).",
    )
    parser.add_argument(
        "--device", type=str, default="auto", help="cpu, cuda, cuda:1, ...; auto: a GPU if there is one."
    )
    parser.add_argument(
        "--devices",
        type=int,
        default=1,
        help="Processes on this machine that share the work, each on a device of its own. torchrun and srun start "
        "theirs: leave it out there.",
    )
    return parser


def _show_summary(texts: Mapping[str, Sequence[str]], console: Console) -> None:
    """Print the sentences on top of the report."""
    for heading, sentences in texts.items():
        console.print(f"\n[bold]{heading}[/bold]")
        for sentence in sentences:
            console.print(f"- {escape(sentence)}", highlight=False, soft_wrap=True)
    console.print()


def _show(result: Result, console: Console) -> None:
    """Print the first table, the finding, and the raised flags."""
    table = result.tables[0]
    shown = ConsoleTable(title=escape(table.title), caption=escape(table.note) or None)
    for name, words in zip(table.header, columns_of_words(vars(table)), strict=True):
        shown.add_column(escape(name), justify="left" if words else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*(escape(cell(value)) for value in row))
    console.print(shown)
    console.print(escape(result.finding), highlight=False, soft_wrap=True)
    for flag in result.flags:
        if flag.raised:
            console.print(f"[bold red]flag[/bold red] {escape(f'{flag.name}. {flag.sentence}')}", soft_wrap=True)


def _check_writable(folder: Path) -> None:
    """Fail before the work, not after it."""
    probe = folder / ".probe"
    try:
        write_text(probe, "")
    except UnwrittenError as error:
        msg = f"{folder} cannot be written ({error.reason}): give --report FOLDER to have everything written there"
        raise OSError(msg) from error
    probe.unlink(missing_ok=True)  # of another evaluation at the same time
