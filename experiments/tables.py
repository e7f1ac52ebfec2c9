"""Tables on disk and on the console."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Row = Mapping[str, Any]


def write_text(path: Path, text: str) -> None:
    """Write a file atomically; its folder is made."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, contents: bytes) -> None:
    """Write a file atomically; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(contents)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    lines = [header, ["---"] * len(header), *([cell(value) for value in row] for row in rows)]
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
