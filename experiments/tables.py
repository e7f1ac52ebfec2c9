"""Tables as text; YAML files of this project."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Row = Mapping[str, Any]


def as_json(meta: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Return {"meta": ..., "rows": [...]} as strict JSON: a number that is not finite is an error.

    Raises:
        ValueError: If a value is NaN or infinite.
    """
    return json.dumps({"meta": meta, "rows": list(rows)}, indent=2, allow_nan=False) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows under a header; null is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table of Markdown; see `cell` for how values are written."""
    lines = [header, ["---"] * len(header), *([cell(value).replace("|", "\\|") for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(value: Any) -> str:
    """Return a value as text: three decimals for a fraction, a dash for null."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file that this project wrote.

    Args:
        path: Of the file.

    Raises:
        ValueError: If it is damaged; names it.
    """
    try:
        return yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path} is damaged and cannot be read as YAML: restore it, or delete its folder to make it anew"
        raise ValueError(msg) from error
