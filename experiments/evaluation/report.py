"""The report of a run: one page that opens offline, and its text, from the files of all protocols that were run."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from experiments.claims.paper import judge
from experiments.claims.runs import outdated
from experiments.evaluation.protocols import ABOUT_MAPS, LONG, PROTOCOLS
from experiments.results.result import as_markdown, read_result, state
from experiments.results.text import cell, markdown_table
from experiments.results.verdicts import Claim
from experiments.training.run_folder import Run
from saliency.files import write_text


def write_report(run: Run) -> Path:
    """Write `report.html` and `report.md` from what lies in the report's folder, and return the path of the page.

    Args:
        run: The run.

    Raises:
        ValueError: If a protocol's file is damaged; names it.
    """
    own = sorted(path.stem for name in PROTOCOLS for path in run.report.glob(f"{name}-*.json"))  # of the user's modules
    paths = {name: run.report / f"{name}.json" for name in [*PROTOCOLS, *own]}
    found = {name: read_result(path) for name, path in paths.items() if path.is_file()}
    if TOGETHER in found and not {"runs", "claims"} <= found[TOGETHER]["meta"].keys():
        msg = f"{paths[TOGETHER]} is of an older version: delete it, and evaluate again"
        raise ValueError(msg)
    claims = judge(found) if any(not name.startswith(ABOUT_MAPS) for name in found) else []
    write_text(run.report / "report.md", _as_markdown(run, found, claims))
    page = run.report / "report.html"
    write_text(page, _as_html(run, found, claims))
    return page


def _name(run: Run) -> str:
    """Return the name of the run folder, also if it was given as `.`."""
    return run.folder.resolve().name


def _as_markdown(run: Run, found: Mapping[str, Any], claims: list[Claim]) -> str:
    parts = [f"# Report on {_name(run)}\n\n{_missing(run, found)}"]
    over = _together(run, found)
    lines = [[c.number, c.text, c.verdict, *_column(over, c), c.statistic] for c in claims]
    if claims:
        parts.append(f"\n## {_PAPER}\n\n{markdown_table(_head(over), lines)}\n{_RULE}\n")
    texts = [as_markdown(contents["report"], contents["meta"]) for contents in found.values()]
    return "".join([*parts, *(f"\n#{text.replace(chr(10) + '#', chr(10) + '##')}" for text in texts)])


_PAPER = "The paper's claims (Schut & Gal)"

_SENTENCE: Final = 60
"""Characters from which on a cell holds a sentence, and its table is set as text."""

_WORDS: Final = ' class="words"'

TOGETHER: Final = "pipelines"
"""The protocol that judges several whole pipelines."""

_RULE = (
    "A verdict is computed: an interval of 95 % that lies on one side decides; one that does not leaves it undecided; "
    "a claim whose protocol was not run, or needs another run, is not decided. A verdict is about this one "
    "classifier and saliency model; over pipelines: what three or more of other seeds all say "
    "(`evaluate.py pipelines`)."
)


def _together(run: Run, found: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the verdict of several pipelines by the claim's number; empty without one that is up to date."""
    if TOGETHER not in found or outdated(run.report, found[TOGETHER]["meta"]):
        return {}
    return {each["number"]: each["verdict"] for each in found[TOGETHER]["meta"]["claims"]}


def _head(over: Mapping[str, str]) -> Sequence[str]:
    return ["", "claim", "verdict", *(["over pipelines"] if over else []), "statistic"]


def _column(over: Mapping[str, str], claim: Claim) -> Sequence[str]:
    return [over.get(claim.number, "not decided")] if over else []


def _missing(run: Run, found: Mapping[str, Any]) -> str:
    def commands(names: Iterable[str]) -> str:
        return ", ".join(f"`python evaluate.py {name} {run.named}`" for name in names)

    missing = [name for name, protocol in PROTOCOLS.items() if name not in found and protocol.apart in {"", LONG}]
    told = f"Not run yet: {commands(missing)}.\n" if missing else ""
    if TOGETHER in found and outdated(run.report, found[TOGETHER]["meta"]):
        told += f"A report changed since several pipelines were judged together: {commands([TOGETHER])}.\n"
    return told


def _as_html(run: Run, found: Mapping[str, Any], claims: list[Claim]) -> str:
    entries = [(name, each["report"]["title"]) for name, each in found.items()]
    if claims:
        entries.insert(0, ("claims", _PAPER))
    links = "".join(f'<li><a href="#{escape(name)}">{escape(title)}</a></li>' for name, title in entries)
    body = [
        f"<h1>{escape(_name(run))}</h1><p>{_code(_missing(run, found))}</p><nav><ol>{links}</ol></nav>",
        _claims(claims, _together(run, found)) if claims else "",
        *(_section(name, contents, run.report) for name, contents in found.items()),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(_name(run))}: detection of adversarial images</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _claims(claims: list[Claim], over: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(claim.number)}</td><td>{escape(claim.text)}</td>"
        + "".join(map(_verdict, [claim.verdict, *_column(over, claim)]))
        + f"<td>{_code(claim.statistic)}</td></tr>"
        for claim in claims
    )
    head = "".join(f"<th>{name}</th>" for name in _head(over))
    table = f'<table class="words"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    note = f'<p class="note">{_code(_RULE)}</p>'
    return f'<section id="claims"><h2>{escape(_PAPER)}</h2><div class="wide">{table}</div>{note}</section>'


def _verdict(verdict: str) -> str:
    return f'<td class="verdict {escape(verdict.replace(" ", "-"))}">{escape(verdict)}</td>'


def _section(name: str, contents: Mapping[str, Any], folder: Path) -> str:
    told, meta = contents["report"], contents["meta"]
    pictures = "".join(_picture(folder / file, told["title"]) for file in told["figures"])
    first, *more = told["tables"] or [None]
    rest = "".join(map(_table, more))
    folded = f"<details><summary>{len(more)} more tables</summary>{rest}</details>" if more else ""
    return (
        f'<section id="{escape(name)}"><h2>{escape(told["title"])}</h2><p>{escape(told["question"])}</p>'
        f"{_table(first) if first else ''}{pictures}"
        f'<p class="finding">{escape(told["finding"])}</p>{_flags(told["flags"])}{folded}'
        f'<p class="note">Made by <code>{escape(meta["command"])}</code></p></section>'
    )


def _picture(path: Path, title: str) -> str:
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<figure><img alt="{escape(title)}: {escape(path.stem)}" src="data:image/png;base64,{data}"></figure>'


def _table(table: Mapping[str, Any]) -> str:
    bold = {tuple(cell) for cell in table["bold"]}
    head = "".join(f"<th>{escape(str(name))}</th>" for name in table["header"])
    rows = "".join(
        "<tr>" + "".join(_cell(value, (y, x) in bold) for x, value in enumerate(row)) + "</tr>"
        for y, row in enumerate(table["rows"])
    )
    note = f'<p class="note">{escape(table["note"])}</p>' if table["note"] else ""
    words = any(isinstance(value, str) and len(value) > _SENTENCE for row in table["rows"] for value in row)
    return (
        f"<h3>{escape(table['title'])}</h3>"
        f'<div class="wide"><table{_WORDS if words else ""}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        f"</div>{note}"
    )


def _cell(value: Any, bold: bool) -> str:  # noqa: FBT001 - one of two looks
    text = escape(cell(value))
    return f"<td>{f'<b>{text}</b>' if bold else text}</td>"


def _flags(flags: list[Mapping[str, Any]]) -> str:
    if not flags:
        return ""
    lines = "".join(
        f'<li class="{state(flag).lower().replace(" ", "-")}"><b>{escape(state(flag))}</b> '
        f"{escape(flag['name'])}. {escape(flag['sentence'])}</li>"
        for flag in flags
    )
    return f'<ul class="flags">{lines}</ul>'


def _code(text: str) -> str:
    """Return text as HTML, with what stands between backticks as code."""
    return "".join(
        f"<code>{escape(part)}</code>" if number % 2 else escape(part) for number, part in enumerate(text.split("`"))
    )


_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #fff; --soft: #59636e; --line: #d1d9e0; --mark: #f3f6f9;
  --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --back: #0f1318; --soft: #9aa5b1; --line: #2f3742;
  --mark: #181e26; --good: #57c878; --bad: #ff8a80; } }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 5rem; }
h1 { font-size: 1.9rem; } h2 { font-size: 1.45rem; margin: 0; } h3 { font-size: 1.05rem; margin: 1.8rem 0 .5rem; }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: 1.75rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
.words th, .words td { text-align: left; white-space: normal; vertical-align: top; }
.words td.verdict { white-space: nowrap; font-weight: 600; }
td.holds { color: var(--good); } td.does-not-hold { color: var(--bad); } td.not-decided { color: var(--soft); }
.finding { background: var(--mark); border-left: 4px solid var(--good); padding: .8rem 1rem; }
.note { color: var(--soft); font-size: .85rem; } code { font-size: .85em; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0; } img { max-width: 100%; background: #fff; border-radius: 6px; }
.flags { padding-left: 1.1rem; font-size: .92rem; } .flags .raised b { color: var(--bad); }
.flags .not-raised b { color: var(--good); } details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--soft); } nav ol { columns: 2; } a { color: inherit; }
"""
