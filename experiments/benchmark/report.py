"""The report of a benchmark: its figures, the card, and the results of the protocols."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from experiments.results.bootstrap import clopper_pearson
from experiments.results.records import Rows
from experiments.results.result import Result, write_result
from experiments.results.text import cell, markdown_table
from saliency.files import write_text

CARD: Final = "card.json"


@dataclass(frozen=True)
class Figure:
    """A number of the benchmark; see `MEANINGS`.

    Attributes:
        name: A key of `MEANINGS`.
        under: The attack or corruption; None: it is about none.
        value: None where it is not defined.
        low, high: 95 % interval over images; None: there is none.
        n: Images behind a share or a ranking; None: it is about time.
    """

    name: str
    under: str | None
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


MEANINGS: Final = {
    "auroc": "attacks that do not know the detector: adversarial images against clean ones",
    "tpr_at_5_fpr": "share of these adversarial images that is flagged at 5 % false positives",
    "attack_success_rate": "of the images classified right, the share that the attack turns wrong",
    "false_positives": "share of benign images flagged at 5 % false positives; a mean over five severities, whose "
    "interval counts each image once",
    "worst_case_sr_at_5": "attacks that know the detector: of the images classified right, the share that any of them "
    "gets wrong and past the detector at 5 % false positives",
    "clean_right_and_accepted": "share of clean images that is classified right and accepted",
    "latency_ms": "median time of one image with the detector, in milliseconds",
    "latency_ratio": "the same over that of the classifier alone",
}


@dataclass(frozen=True)
class Report:
    """The result of `benchmark`.

    Attributes:
        card: Detector, classifier, data, threat model, figures, versions; see `card.schema.json`.
        results: Results of the protocols, by name, with all their tables and flags.
    """

    detector: str
    figures: Sequence[Figure]
    card: Mapping[str, Any]
    results: Mapping[str, Result]

    def table(self) -> str:
        """Return the figures as a table of Markdown."""
        rows = [[figure.name, figure.under, figure.value, _ends(figure), figure.n] for figure in self.figures]
        return markdown_table(["figure", "under", self.detector, "95 % interval", "n"], rows)

    def to_json(self) -> str:
        """Return the card as JSON."""
        return json.dumps(self.card, indent=2, allow_nan=False) + "\n"

    def save(self, folder: str | Path) -> Path:
        """Write the card, `card.json` and `card.md`, and the protocols' files; return the card's path."""
        folder = Path(folder)
        for result in self.results.values():
            write_result(result, folder)
        meanings = "".join(f"- {name}: {meaning}\n" for name, meaning in MEANINGS.items())
        write_text(folder / "card.md", f"# {self.detector}\n\n{self.table()}\n{meanings}")
        write_text(folder / CARD, self.to_json())
        return folder / CARD


def _ends(figure: Figure) -> str:
    return cell(None) if figure.low is None else f"[{cell(figure.low)}, {cell(figure.high)}]"


def figures_of(results: Mapping[str, Result]) -> list[Figure]:
    """Return the figures of one detector in the protocols' results."""
    rows = {name: result.rows for name, result in results.items()}
    return [
        *_unaware(rows["transfer"]),
        *_benign(rows["corruptions"]),
        *_white_box(rows["white-box"]),
        *(Figure(name, None, rows["speed"][-1][name]) for name in ("latency_ms", "latency_ratio")),
    ]


def _unaware(rows: Rows) -> Iterator[Figure]:
    for row in rows:
        if row["subset"] == "all":
            under, n = row["tested_on"], row["n"]
            yield Figure("auroc", under, row["auroc"], row["auroc_low"], row["auroc_high"], n)
            yield _share("tpr_at_5_fpr", under, row["tpr_at_5_fpr"], n)
            yield Figure("attack_success_rate", under, row["attack_success_rate"])


def _benign(rows: Rows) -> Iterator[Figure]:
    for name in dict.fromkeys(row["corruption"] for row in rows):
        alike = [row for row in rows if row["corruption"] == name]
        yield _share("false_positives", name, sum(row["flagged"] for row in alike) / len(alike), alike[0]["n"])


def _white_box(rows: Rows) -> Iterator[Figure]:
    worst = rows[-1]
    ends = worst["sr_at_5"], worst["sr_at_5_low"], worst["sr_at_5_high"]
    yield Figure("worst_case_sr_at_5", None, *ends, n=worst["n_right"])
    yield _share("clean_right_and_accepted", None, worst["clean_right_and_accepted"], worst["n"])


def _share(name: str, under: str | None, value: float | None, n: int) -> Figure:
    if value is None:
        return Figure(name, under, None, n=n)
    ends = clopper_pearson(value, n)
    return Figure(name, under, value, ends.low, ends.high, n)
