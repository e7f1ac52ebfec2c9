"""Tables as text."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

Row = Mapping[str, Any]

SMALL: Final = "The 95 % interval of a value from n pairs or images reaches at most about 1 / sqrt(n) to either side."
"""In the note of every table of rates without intervals."""


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows under a header; null is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table of Markdown; see `cell` for how values are written."""
    lines = [header, ["---"] * len(header), *([cell(value).replace("|", "\\|") for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(value: Any) -> str:
    """Return a value as text: three decimals for a fraction, a dash for null."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
