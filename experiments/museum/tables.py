"""Tables, chart, finding and flags of the museum, from its records."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from experiments.museum.records import AT_MOST, ENOUGH, MARGIN, asked
from experiments.results.bootstrap import Interval
from experiments.results.charts import heat_maps
from experiments.results.records import Record, Rows
from experiments.results.result import Flag, Table
from experiments.results.verdicts import FEWEST, counted

_MEASURED: Final = {
    "AUROC unaware": "auroc",
    "TPR at 5 % FPR unaware": "tpr_at_5_fpr",
    "SR@5, the break": "sr_at_5",
    "SR@5, any attack": "worst_sr_at_5",
}


def tables_of(rows: Rows, meta: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the verdicts, the sources, and the costs of the attacks."""
    yield _verdicts(rows, meta)
    yield _sources(rows, meta)
    yield Table(
        "What the attacks cost",
        ["detector", "attack", "forward passes", "backward passes"],
        [[row["detector"], row["way"], row["forward_passes"], row["backward_passes"]] for row in rows if row["way"]],
        "Passes of classifier and detector together, per image.",
    )


def _verdicts(rows: Rows, meta: Mapping[str, Any]) -> Table:
    left = "".join(f" Left out: {why}." for why in meta["left_out"].values())
    lines = [
        [
            row["detector"],
            row["paper"] or "open",
            _published(row),
            *(row[name] for name in list(_MEASURED.values())[:2]),
            _interval(row),
            row["l2_ratio"],
            row["worst_sr_at_5"],
            asked(row["published_success"]) if row["paper"] else None,
            row["verdict"],
        ]
        for row in rows
    ]
    names = list(_MEASURED)
    header = ["detector", "broken by", "published", *names[:3], "L2 ratio", names[3], "asked for", "verdict"]
    return Table(
        f"Published breaks, on {meta['data']}",
        header,
        lines,
        f"Published: share of images won, on the data named. Unaware: {', '.join(meta['attacks'])}, a mean. SR@5: of "
        f"{counted(min(row['n_right'] for row in rows), 'images')} or more classified right, those misclassified and "
        "accepted at 5 % false positives; brackets are 95 % intervals. The break: our attack that stands for the "
        f"published one, L-inf {meta['epsilon']:.4g} or, in L2, at most {AT_MOST:g} times as long as against the "
        f"classifier alone (L2 ratio: the median). Any attack: also the white-box suite, {meta['preset']}. A break "
        f"counts as reproduced if the interval lies above the published share less {MARGIN:g}, or above {ENOUGH:g} "
        f"where that share could not be checked; with fewer than {FEWEST} images nothing is decided.{left}",
    )


def _published(row: Record) -> str | None:
    if not row["paper"]:
        return None
    if row["published_success"] is None:
        return "broken, figure not checked"
    return f"{row['published_success']:.3f}, {row['published_data']}"


def _interval(row: Record) -> str | None:
    return None if row["sr_at_5"] is None else str(Interval(row["sr_at_5"], row["sr_at_5_low"], row["sr_at_5_high"]))


def _sources(rows: Rows, meta: Mapping[str, Any]) -> Table:
    lines = [
        [row["detector"], row["paper"], row["where"], row["published_attack"], row["way"], row["checked"] or None]
        for row in rows
        if row["paper"]
    ]
    header = ["detector", "broken by", "where", "published attack", "our attack", "figure looked up in"]
    return Table("Sources", header, lines, " ".join(f"{way}: {about}." for way, about in meta["ways"].items()))


def chart(title: str, rows: Rows) -> bytes:
    """Return a heat map of each detector's rates, unaware and attacked."""
    cells = {_name(row): {name: row[field] for name, field in _MEASURED.items()} for row in rows}
    return heat_maps(title, {"share of images": cells}, low=0.0, down="detector", across="")


def _name(row: Record) -> str:
    return f"{row['detector']}, {row['paper']}, {row['way']}" if row["paper"] else row["detector"]


def finding(rows: Rows) -> str:
    """Return sentences about the breaks that are reproduced, and those that are not."""
    verdicts = Counter(row["verdict"] for row in rows if row["paper"])
    sentences = [f"Of {counted(verdicts.total(), 'published breaks')}: "]
    sentences.append("; ".join(f"{count} {name}" for name, count in verdicts.most_common()) + ".")
    missed = [_name(row) for row in rows if row["verdict"] == "not broken here"]
    lost = {row["detector"]: row["worst_sr_at_5"] for row in rows if not row["paper"] and row["worst_sr_at_5"]}
    if missed:
        sentences.append(f" Not broken here: {'; '.join(missed)}.")
    if lost:
        most = max(lost, key=lost.__getitem__)
        sentences.append(f" Of those without a published break, {most} loses the most, SR@5 {lost[most]:.3f}.")
    return "".join(sentences)


def flags_of(rows: Rows) -> list[Flag]:
    """Return flags for too few images, and for detectors that miss even unaware attacks."""
    fewest = min(row["n_right"] for row in rows)
    blind = sorted({row["detector"] for row in rows if row["auroc"] is not None and row["auroc"] < _BLIND})
    names = ", ".join(blind)
    return [
        Flag(
            "Few images",
            fewest < FEWEST,
            f"The shares rest on {counted(fewest, 'images')} or more; below {FEWEST} they decide nothing.",
        ),
        Flag(
            "Detectors that find nothing anyway",
            bool(blind),
            f"AUROC below {_BLIND:g} on attacks that do not know them: {names}. A break of these says little."
            if blind
            else f"Every detector has an AUROC of {_BLIND:g} or more on attacks that do not know it.",
        ),
    ]


_BLIND: Final = 0.6
