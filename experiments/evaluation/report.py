"""The report of a run: one page that opens offline, and its text, from the files of all protocols that were run."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from attacks.errors import InputError
from experiments.claims.evidence import Reports
from experiments.claims.paper import JUDGED_FROM, judge
from experiments.claims.runs import outdated
from experiments.evaluation.summary import NOTE, Statement, summarise
from experiments.results.charts import COLOURS
from experiments.results.result import as_markdown, read_result, state
from experiments.results.text import cell, markdown_table
from experiments.training.run_folder import Run
from saliency.files import write_text

TOGETHER: Final = "pipelines"
"""The protocol that judges several whole pipelines."""

_PAPER: Final = "The paper's claims (Schut & Gal)"

_RULE: Final = (
    "A verdict is computed. It is decided if its 95 % interval lies on one side. It is not decided if the interval "
    "crosses, or if a protocol that it needs was not run. It is about this one classifier and saliency model. "
    "Over pipelines: the verdict on which three or more pipelines of other seeds agree (`evaluate.py pipelines`)."
)

_TEMPLATES: Final = Environment(
    autoescape=True, loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined
)


def columns_of_words(table: Mapping[str, Any]) -> list[bool]:
    """Return which columns of a table are aligned left: the first one, and those where a cell starts with a letter."""
    rows = table["rows"]
    named = [any(isinstance(row[x], str) and row[x][:1].isalpha() for row in rows) for x in range(len(table["header"]))]
    return [True, *named[1:]]


_TEMPLATES.filters |= {"cell": cell, "state": state, "words": columns_of_words}


def write_report(run: Run, protocols: Sequence[str]) -> Path:
    """Write `report.html` and `report.md` from what lies in the report's folder, and return the path of the page.

    Args:
        run: The run.
        protocols: Names of all protocols, in the order of the report.

    Raises:
        ValueError: If a protocol's file is damaged; names it.
    """
    results = read_results(run, protocols)
    parts = {
        "name": run.folder.resolve().name,  # also of `.`
        "summary": summarise(results, run.named),
        "missing": _missing(run, protocols, results),
        **_claims(run, results),
        "results": results,
    }
    write_text(run.report / "report.md", _as_markdown(**parts))
    page = run.report / "report.html"
    write_text(page, _as_html(run.report, **parts))
    return page


def read_results(run: Run, protocols: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the contents of each protocol's JSON, also of a user's modules, in the order of the report.

    Raises:
        ValueError: If one is damaged; names it.
    """
    own = sorted(path.stem for name in protocols for path in run.report.glob(f"{name}-*.json"))  # of a user's modules
    paths = {name: run.report / f"{name}.json" for name in [*protocols, *own]}
    results = {name: read_result(path) for name, path in paths.items() if path.is_file()}
    if TOGETHER in results and not {"runs", "claims"} <= results[TOGETHER]["meta"].keys():
        msg = f"{paths[TOGETHER]} is of an older version: delete it, and evaluate again"
        raise InputError(msg)
    return results


def _claims(run: Run, results: Reports) -> dict[str, Any]:
    """Return the header and the rows of the table of claims, and a line on those that lack a protocol."""
    judged = [claim for claim in judge(results) if set(JUDGED_FROM[claim.number]) <= results.keys()]
    header, over = ["", "claim", "verdict", "statistic"], _verdicts_together(run, results)
    rows = [[claim.number, claim.text, claim.verdict, claim.statistic] for claim in judged]
    if over:
        header.insert(3, "over pipelines")
        rows = [[*row[:3], over.get(row[0], "not decided"), row[3]] for row in rows]
    return {"claim_header": header, "claims": rows, "unjudged": _unjudged(results) if rows else ""}


def _unjudged(results: Reports) -> str:
    """Name the claims that are not judged, by the protocols that they lack."""
    lacking: dict[str, list[str]] = {}
    for number, protocols in JUDGED_FROM.items():
        absent = " and ".join(f"`{name}`" for name in protocols if name not in results)
        lacking.setdefault(absent, []).append(number)
    lacking.pop("", None)
    return "".join(f"Not judged without {absent}: {', '.join(numbers)}. " for absent, numbers in lacking.items())


def _verdicts_together(run: Run, results: Reports) -> dict[str, str]:
    """Return the verdict of several pipelines by the claim's number; empty without one that is up to date."""
    if TOGETHER not in results or outdated(run.report, results[TOGETHER]["meta"]):
        return {}
    return {claim["number"]: claim["verdict"] for claim in results[TOGETHER]["meta"]["claims"]}


def _missing(run: Run, protocols: Sequence[str], results: Reports) -> str:
    def commands(names: Iterable[str]) -> str:
        return ", ".join(f"`python evaluate.py {name} {run.named}`" for name in names)

    missing = [name for name in protocols if name not in results and name != TOGETHER]  # that needs several runs
    sentences = f"Not run yet: {commands(missing)}.\n" if missing else ""
    if TOGETHER in results and outdated(run.report, results[TOGETHER]["meta"]):
        sentences += f"A report changed since several pipelines were judged together: {commands([TOGETHER])}.\n"
    return sentences


def _as_markdown(
    name: str,
    summary: Mapping[str, Sequence[Statement]],
    missing: str,
    claim_header: Sequence[str],
    claims: Sequence[Sequence[str]],
    unjudged: str,
    results: Reports,
) -> str:
    parts = [f"# Report on {name}\n"]
    for heading, statements in summary.items():
        parts.append(f"\n## {heading}\n\n" + "".join(f"- {statement.text}\n" for statement in statements))
    parts.append(f"\n{NOTE}\n\n{missing}")
    if claims:
        parts.append(f"\n## {_PAPER}\n\n{markdown_table(claim_header, claims)}\n{unjudged}{_RULE}\n")
    texts = [as_markdown(contents["report"], contents["meta"]) for contents in results.values()]
    return "".join([*parts, *(f"\n#{text.replace(chr(10) + '#', chr(10) + '##')}" for text in texts)])


def _as_html(folder: Path, **parts: Any) -> str:
    def charts(files: Iterable[str]) -> Iterator[tuple[str, str]]:
        for path in map(folder.joinpath, files):
            if path.is_file():
                yield path.stem, base64.b64encode(path.read_bytes()).decode()

    template = _TEMPLATES.get_template("report.html.j2")
    return template.render(**parts, charts=charts, paper=_PAPER, rule=_RULE, note=NOTE, colours=COLOURS) + "\n"
