"""A row for each scanned file, as a table, CSV or JSON lines on standard output."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.decoding.files import shown

Format = Literal["table", "csv", "jsonl"]


@dataclass(frozen=True)
class FileVerdict:
    """A detector's verdict on a file; null if the file is no image, with the reason in `error`.

    Attributes:
        score: Higher = more adversarial.
        probability: Probability that the image is adversarial, if half of all images are.
        is_adversarial: Whether the score exceeds the threshold.
        predicted: The class that the classifier predicts, from 0 on.
        confidence: The softmax of that class.
        error: A sentence; empty for an image.
        class_name: The predicted class by its name, where the detector was trained on a folder of images.
    """

    file: str
    score: float | None = None
    probability: float | None = None
    is_adversarial: bool | None = None
    predicted: int | None = None
    confidence: float | None = None
    error: str = ""
    class_name: str | None = None


def write_table(rows: Iterable[FileVerdict]) -> None:
    """Print a table with a line for each file."""
    table = Table()
    table.add_column("file", overflow="fold")
    for name in ("score", "probability"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for name in ("class", "confidence"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(escape(shown(row.file)), *_cells(row), style="bold red" if row.is_adversarial else None)
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
    console.print(table)


_FILE_WIDTH: Final = 200
"""Characters of a line where the output goes to a file or a pipe."""


def _cells(row: FileVerdict) -> list[str]:
    if row.error:
        return ["-", "-", "no image", "-", "-"]
    verdict = "adversarial" if row.is_adversarial else "clean"
    predicted = str(row.predicted) if row.class_name is None else escape(row.class_name)
    return [f"{row.score:.3f}", f"{row.probability:.3f}", verdict, predicted, f"{row.confidence:.3f}"]


def write_csv(rows: Iterable[FileVerdict]) -> None:
    """Print a header, and a line for each file as soon as it is judged."""
    writer = csv.DictWriter(sys.stdout, [field.name for field in fields(FileVerdict)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(vars(row))


def write_json_lines(rows: Iterable[FileVerdict]) -> None:
    """Print a JSON object for each file as soon as it is judged."""
    for row in rows:
        sys.stdout.write(f"{json.dumps(vars(row))}\n")


WRITERS: Final[Mapping[Format, Callable[[Iterable[FileVerdict]], None]]] = {
    "table": write_table,
    "csv": write_csv,
    "jsonl": write_json_lines,
}
