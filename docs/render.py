"""Write README.md and the pages of results from templates and from the results in docs/results: no number is typed.

`make docs-results` writes the pages. `python -m docs.render --keep RUN --study NAME` first keeps what the protocols
of an evaluated run printed: docs/results/NAME.json, with their charts beside it.
"""

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from docs.speed import Speed
from experiments.claims.evidence import Reports
from experiments.claims.paper import judge
from experiments.results.text import cell, markdown_table
from saliency.files import write_text

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "docs" / "results"
TEMPLATES: Final = ROOT / "docs" / "templates"

_STUDIED: Final = ("digits", "mnist", "cifar10", "cifar10_own", "assira", "photographs")

PAGES: Final = {
    "README.md": ROOT / "README.md",
    "results.md": ROOT / "docs" / "results.md",
    "benchmarks.md": ROOT / "docs" / "benchmarks.md",
    **{f"results/{data}.md": RESULTS / f"{data}.md" for data in _STUDIED},
}
"""The pages by their templates, which are called `<page>.j2`."""

Protocol = Mapping[str, Any]
"""What a protocol printed: its command, finding, tables and flags, and its charts' digests by file name."""


class Results:
    """What the kept studies printed, as templates ask for it.

    A protocol is named `<study>/<protocol>`, a table by its title, a column by its header.
    """

    def __init__(self, folder: Path, page: Path) -> None:
        self._folder, self._page = folder, page
        self._studies = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}

    def about(self, name: str) -> Protocol:
        """Return a protocol's command, finding, meta data, tables and flags."""
        study, protocol = name.split("/")
        return self._studies[study][protocol]  # type: ignore[no-any-return]

    def table(
        self,
        name: str,
        title: str,
        columns: Sequence[str] = (),
        where: Mapping[str, Sequence[Any]] | None = None,
        *,
        note: bool = False,
        turned: int = 0,
    ) -> str:
        """Return a table in Markdown.

        Args:
            name: The protocol.
            title: The table's.
            columns: Those shown; none: all.
            where: The values that are shown of some columns.
            note: Whether the table's note follows.
            turned: The number of first columns whose cells become the header, while the other columns become rows; 0:
                the table is not turned.
        """
        table = self._table(name, title)
        places = [table["header"].index(name) for name in columns] or range(len(table["header"]))  # names may recur
        rows = [[cell(row[place]) for place in places] for row in _chosen(table, where or {})]
        header = [table["header"][place] for place in places]
        text = markdown_table(*(_turned(header, rows, turned) if turned else (header, rows)))
        return f"{text}\n{table['note']}\n" if note else text

    def value(self, name: str, title: str, column: str, **where: Any) -> str:
        """Return a cell of the one row that has the values `where`, by column; `_` in its name stands for a space."""
        table = self._table(name, title)
        rows = _chosen(table, {key.replace("_", " "): [wanted] for key, wanted in where.items()})
        if len(rows) != 1:
            msg = f"{len(rows)} rows of {name}, {title!r}, have {where}; one is needed"
            raise LookupError(msg)
        return cell(rows[0][table["header"].index(column)])

    def verdicts(self, data: Mapping[str, Sequence[str]]) -> str:
        """Return the paper's claims with the verdict on each data set, in Markdown.

        Args:
            data: The studies of each data set, by its name; the first verdict that decides a claim counts.
        """
        found = {name: list(map(self._verdicts, studies)) for name, studies in data.items()}
        texts = {number: text for verdicts in found.values() for number, (text, _) in verdicts[0].items()}
        rows = [
            [number, text, *(_decided([verdicts[number][1] for verdicts in found[name]]) for name in data)]
            for number, text in texts.items()
        ]
        return markdown_table(["", "claim", *data], rows)

    def _verdicts(self, study: str) -> dict[str, tuple[str, str]]:
        rows = self._table(f"{study}/claims", "Claims")["rows"]
        return {number: (text, verdict) for number, text, verdict, _ in rows}

    def chart(self, name: str, about: str, part: str = "") -> str:
        """Return a chart as an image in Markdown.

        Args:
            name: The protocol.
            about: What a reader who cannot see it should know.
            part: The chart's name, where a protocol has several.
        """
        study, protocol = name.split("/")
        file = f"{protocol}_{part}.png" if part else f"{protocol}.png"
        if file not in self.about(name)["charts"]:
            msg = f"{name} has no chart {file}"
            raise LookupError(msg)
        path = self._folder / f"{study}_{file}"
        if not path.is_file():
            msg = f"{path} was not kept, since no page showed it: keep {study} again"
            raise FileNotFoundError(msg)
        return f"![{about}]({os.path.relpath(path, self._page.parent)})"

    def _table(self, name: str, title: str) -> Mapping[str, Any]:
        tables: dict[str, Mapping[str, Any]] = {table["title"]: table for table in self.about(name)["tables"]}
        return tables[title]


def _decided(verdicts: Sequence[str]) -> str:
    return next((verdict for verdict in verdicts if verdict != "not decided"), "not decided")


def _chosen(table: Mapping[str, Any], where: Mapping[str, Sequence[Any]]) -> list[Sequence[Any]]:
    places = {table["header"].index(column): wanted for column, wanted in where.items()}
    return [row for row in table["rows"] if all(row[place] in wanted for place, wanted in places.items())]


def _turned(header: Sequence[str], rows: Sequence[Sequence[str]], first: int) -> tuple[list[str], list[list[str]]]:
    names = [" ".join(name for name in row[:first] if name != cell(None)) for row in rows]
    return ["", *names], [[header[place], *(row[place] for row in rows)] for place in range(first, len(header))]


def render(template: str, page: Path, folder: Path = RESULTS) -> str:
    """Return a page.

    Args:
        template: Name of its file, without `.j2`.
        page: Where it will lie: charts are named from there.
        folder: Of the kept results.
    """
    environment = Environment(
        autoescape=False,  # noqa: S701 - Markdown
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    results = Results(folder, page)
    environment.globals |= {name: getattr(results, name) for name in ("about", "table", "value", "chart", "verdicts")}
    return environment.get_template(f"{template}.j2").render(speed=Speed())


def keep(run: Path, study: str, folder: Path = RESULTS) -> None:
    """Keep what the protocols of a run printed, and their charts, in place of what was kept of the study before.

    Args:
        run: An evaluated run.
        study: The name that pages call it by.
        folder: Where it is kept.

    Raises:
        FileNotFoundError: If the run was not evaluated.
    """
    paths = sorted((run / "report").glob("*.json"))
    if not paths:
        msg = f"{run} holds no report: run `python evaluate.py all --run {run}` first"
        raise FileNotFoundError(msg)
    folder.mkdir(exist_ok=True)
    for old in _charts(folder, study):
        old.unlink(missing_ok=True)
    contents_of = {path: json.loads(path.read_text()) for path in paths}
    kept = {"claims": _claims({path.stem: contents for path, contents in contents_of.items()})}
    for path, contents in contents_of.items():
        meta, report = contents["meta"], contents["report"]
        charts = {name: digest(path.with_name(name)) for name in report["figures"]}
        for name in charts:
            shutil.copyfile(path.with_name(name), folder / f"{study}_{name}")
        known = {key: meta[key] for key in _META if key in meta}
        kept[path.stem] = {**known, **{key: report[key] for key in ("finding", "tables", "flags")}, "charts": charts}
    write_text(folder / f"{study}.json", json.dumps(kept, indent=1) + "\n")


def _charts(folder: Path, study: str) -> list[Path]:
    """Return where the charts of a study lie that was kept before."""
    path = folder / f"{study}.json"
    protocols = json.loads(path.read_text()).values() if path.is_file() else ()
    return [folder / f"{study}_{name}" for protocol in protocols for name in protocol["charts"]]


def _claims(reports: Reports) -> dict[str, Any]:
    """Return the verdicts on the paper's claims, in the form of a protocol's results."""
    rows = [[claim.number, claim.text, claim.verdict, claim.statistic] for claim in judge(reports)]
    table = {"title": "Claims", "header": ["", "claim", "verdict", "statistic"], "rows": rows, "note": ""}
    return {"finding": "", "tables": [table], "flags": [], "charts": {}}


_META: Final = (
    "command", "versions", "seeds", "attacks", "data", "test_images", "calibration_images", "classifier_accuracy",
)  # fmt: skip


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Keep a run's results if one is named, then write all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="RUN", help="an evaluated run whose results are kept first")
    parser.add_argument("--study", help="the name that they are kept under")
    options = parser.parse_args()
    if options.keep is not None:
        keep(options.keep, options.study or options.keep.name)
    pages = {page: render(template, page) for template, page in PAGES.items()}
    for page, text in pages.items():
        write_text(page, text)
    for chart in RESULTS.glob("*.png"):
        if not any(chart.name in text for text in pages.values()):
            chart.unlink()


if __name__ == "__main__":
    main()
