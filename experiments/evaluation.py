"""The command line of `evaluate.py`: one subcommand per protocol."""

from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import Namespace
from rich.console import Console
from rich.table import Table

from experiments import tables
from experiments.figures import heat_maps
from experiments.messages import Parser
from experiments.run import Run
from experiments.transfer import UNTRAINED, summary, transfer


def run_evaluation(arguments: list[str]) -> None:
    """Parse the command line and run the protocol that it names.

    Args:
        arguments: Of `evaluate.py`.

    Raises:
        UsageError: If they are not accepted.
        FileNotFoundError: If the run, or a stage of it, does not exist.
    """
    parser = Parser(prog="evaluate.py", description="Evaluate the detectors of a run folder.")
    protocols = parser.add_subcommands(dest="protocol")
    matrix = Parser(description="Detectors x trained on x tested on: RUN/report/transfer.{json,csv,md,png}.")
    matrix.add_argument("--run", type=str, required=True, help="The run folder that `train.py pipeline` made.")
    matrix.add_argument(
        "--device", type=str, default="auto", help="cpu, cuda, cuda:1, ...; auto: a GPU if there is one."
    )
    protocols.add_subcommand("transfer", matrix, help="detectors x trained on x tested on")
    config = parser.parse_args(arguments)
    {"transfer": _transfer}[config.protocol](config[config.protocol], ["python", "evaluate.py", *arguments])


def _transfer(options: Namespace, command: list[str]) -> None:
    run = Run(options.run)
    _check_writable(run.report)
    meta, rows = transfer(run, _device(options.device), command)
    table = summary(rows)
    attacks = list(run.attacks())
    by_detector: dict[str, dict[str, Any]] = {}
    for (detector, trained_on), cells in table.items():
        free = trained_on == UNTRAINED
        by_detector.setdefault("training-free" if free else detector, {})[detector if free else trained_on] = cells
    for name, contents in {
        "transfer.json": tables.as_json(meta, rows),
        "transfer.csv": tables.as_csv(rows),
        "transfer.md": _markdown(meta, rows, attacks),
    }.items():
        tables.write_text(run.report / name, contents)
    title = f"AUROC on all pairs, {meta['data']}, seeds {', '.join(map(str, meta['seeds']))}"
    tables.write_bytes(run.report / "transfer.png", heat_maps(title, by_detector))
    console = Console()
    console.print(_console_table(rows, attacks))
    console.print(
        f"classifier accuracy {meta['classifier_accuracy']:.3f}; {meta['test_images']} test images, "
        f"{meta['calibration_images']} for calibration; means over {len(meta['seeds'])} seed(s)\n"
        f"report: {run.report}/transfer.md (.json, .csv, .png)\nTensorBoard: tensorboard --logdir {run.folder}",
        highlight=False,
        soft_wrap=True,
    )


def _console_table(rows: list[dict[str, Any]], attacks: list[str]) -> Table:
    table = Table(title="AUROC (TPR at 5 % FPR) on all pairs")
    table.add_column("detector")
    table.add_column("trained on")
    for attack in attacks:
        table.add_column(f"tested on {attack}", justify="right")
    rates = summary(rows, "tpr_at_5_fpr")
    for (detector, trained_on), cells in summary(rows).items():
        found = rates[detector, trained_on]
        table.add_row(detector, trained_on, *(f"{tables.cell(cells[a])} ({tables.cell(found[a])})" for a in attacks))
    return table


_SECTIONS = {
    "auroc": "AUROC",
    "tpr_at_5_fpr": "TPR at 5 % FPR (threshold from the calibration split)",
    "accuracy": "Balanced accuracy at probability .5 (the paper's number)",
}


def _markdown(meta: dict[str, Any], rows: list[dict[str, Any]], attacks: list[str]) -> str:
    parts = [
        f"# Detectors x trained on x tested on\n\n{meta['data']}, splits: {meta['splits']}; classifier accuracy "
        f"{meta['classifier_accuracy']:.3f}; {meta['test_images']} test images, {meta['calibration_images']} for "
        f"calibration; means over seeds {meta['seeds']}. {meta['knowledge'].capitalize()}.\n\n"
        f"Made by `{meta['command']}`.\n"
    ]
    sizes = {(row["tested_on"], row["subset"]): row for row in rows}
    header = ["attack", "success rate", *(f"{subset} pairs" for subset in ("all", "successful", "failed"))]
    counts = [
        [a, sizes[a, "all"]["attack_success_rate"], *(sizes[a, s]["n"] for s in ("all", "successful", "failed"))]
        for a in attacks
    ]
    parts.append(f"\n## Attacks\n\n{tables.as_markdown(header, counts)}")
    for value, heading in _SECTIONS.items():
        for subset in ("all", "successful"):
            lines = [[*key, *(cells[a] for a in attacks)] for key, cells in summary(rows, value, subset).items()]
            body = tables.as_markdown(["detector", "trained on", *attacks], lines)
            parts.append(f"\n## {heading}, {subset} pairs\n\n{body}")
    realised = {(row["detector"], row["trained_on"], row["seed"]): row["realised_fpr"] for row in rows}
    body = tables.as_markdown(
        ["detector", "trained on", "seed", "realised FPR"], [[*k, v] for k, v in realised.items()]
    )
    parts.append(f"\n## Realised false-positive rate of the 5 % threshold\n\n{body}")
    return "".join(parts)


def _device(name: str | Literal["auto"]) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        msg = f"device {name!r} cannot be used here ({str(error).splitlines()[0]}): use cpu, or auto"
        raise ValueError(msg) from error
    return torch.device(name)


def _check_writable(folder: Path) -> None:
    """Fail before the work, not after it."""
    probe = folder / ".probe"
    tables.write_text(probe, "")
    probe.unlink()
