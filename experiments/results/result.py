"""The result of a protocol: rows, tables, figures, flags and a finding; and its files in the report folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from attacks.errors import InputError
from experiments.results.text import as_csv, cell, markdown_table
from saliency.files import write_bytes, write_text


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        rows: Plain values; None is shown as a dash, a fraction with three decimals.
        note: Under it: units, counts, where the values come from.
        bold: (row, column) of cells that stand out, and `note` says why.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    bold: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True)
class Flag:
    """A check of the evaluation itself (PROTOCOL D).

    Attributes:
        name: The check, in a few words.
        raised: Whether something is wrong; None: it could not be checked.
        sentence: The comparison with its numbers.
    """

    name: str
    raised: bool | None
    sentence: str


@dataclass(frozen=True)
class Result:
    """What a protocol yields.

    Attributes:
        protocol: Name of the protocol and of its files.
        question: The protocol's question, in a sentence.
        finding: The answer, computed from the numbers.
        meta: Plain values that reproduce the result.
        rows: Plain values under the same keys; None is "there is none", NaN is not allowed.
        tables: The first one is printed.
        figures: PNG by name; "" is `<protocol>.png`, another name `<protocol>_<name>.png`.
        flags: Checks of the evaluation itself.
    """

    protocol: str
    title: str
    question: str
    finding: str
    meta: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    tables: Sequence[Table] = ()
    figures: Mapping[str, bytes] = field(default_factory=dict)
    flags: Sequence[Flag] = ()


def write_result(result: Result, folder: Path) -> None:
    """Write `<protocol>.{json,csv,md,png}`, each atomically; the JSON, by which a result counts as done, comes last."""
    files = {file_of(result.protocol, name): png for name, png in result.figures.items()}
    for name, png in files.items():
        write_bytes(folder / name, png)
    report = {
        "title": result.title,
        "question": result.question,
        "finding": result.finding,
        "tables": [asdict(table) for table in result.tables],
        "figures": list(files),
        "flags": [asdict(flag) for flag in result.flags],
    }
    write_text(folder / f"{result.protocol}.csv", as_csv(result.rows))
    write_text(folder / f"{result.protocol}.md", as_markdown(report, result.meta))
    contents = {"meta": result.meta, "rows": list(result.rows), "report": report}
    write_text(folder / f"{result.protocol}.json", json.dumps(contents, indent=2, allow_nan=False) + "\n")


def file_of(protocol: str, figure: str) -> str:
    """Return the file name of a figure."""
    return f"{protocol}_{figure}.png" if figure else f"{protocol}.png"


def read_result(path: Path) -> dict[str, Any]:
    """Return the contents of a protocol's JSON: meta, rows and report.

    Raises:
        ValueError: If it is damaged, of another version, or names a figure that is no PNG beside it; names it.
    """
    try:
        contents = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} is damaged: delete it, and evaluate again"
        raise InputError(msg) from error
    report = contents.get("report") if isinstance(contents, dict) else None
    if not isinstance(contents, dict) or not isinstance(report, dict) or not {"meta", "rows"} <= contents.keys():
        msg = f"{path} is of an older version: delete it, and evaluate again"
        raise InputError(msg)
    if not _is_whole(report, contents["meta"]):
        msg = f"{path} is damaged, or of another version: delete it, and evaluate again"
        raise InputError(msg)
    for figure in report["figures"]:
        if not _beside(path, figure):
            msg = f"{path} names the figure {figure!r}, which is no PNG beside it: delete it, and evaluate again"
            raise InputError(msg)
    return contents


def _is_whole(report: Mapping[str, Any], meta: Any) -> bool:
    """Whether a report holds all that its page shows."""
    try:
        as_markdown(report, meta)
        texts = [meta["command"], *(report[key] for key in ("title", "question", "finding"))]
        texts += [table[key] for table in report["tables"] for key in ("title", "note")]
        texts += [flag[key] for flag in report["flags"] for key in ("name", "sentence")]
    except (AttributeError, LookupError, TypeError):
        return False
    return all(isinstance(text, str) for text in texts)


def _beside(path: Path, figure: Any) -> bool:
    """Whether a figure is the plain name of a PNG beside the page, and no link."""
    if not isinstance(figure, str) or Path(figure).name != figure or Path(figure).suffix != ".png":
        return False
    return not path.with_name(figure).is_symlink()


def as_markdown(report: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
    """Return the report of one protocol, from the `report` and the `meta` part of its JSON."""
    parts = [
        f"# {report['title']}\n\n{report['question']}\n\n**{report['finding']}**\n\nMade by `{meta['command']}`.\n"
    ]
    parts += [f"\n![{report['title']}]({name})\n" for name in report["figures"]]
    for table in report["tables"]:
        bold = {tuple(cell) for cell in table["bold"]}
        rows = [
            [f"**{cell(value)}**" if (y, x) in bold else value for x, value in enumerate(row)]
            for y, row in enumerate(table["rows"])
        ]
        note = f"\n{table['note']}\n" if table["note"] else ""
        parts.append(f"\n## {table['title']}\n\n{markdown_table(table['header'], rows)}{note}")
    if report["flags"]:
        lines = [f"- {state(flag)}: {flag['name']}. {flag['sentence']}\n" for flag in report["flags"]]
        parts.append("\n## Flags\n\n" + "".join(lines))
    return "".join(parts)


def state(flag: Mapping[str, Any]) -> str:
    """Return a flag's state in a word or two."""
    return {True: "RAISED", False: "not raised", None: "not checked"}[flag["raised"]]
