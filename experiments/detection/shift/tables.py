"""Tables, chart, flags and finding of the shift study, from its records."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from experiments.detection.shift.records import DIFFERENT, FIXED, FULL, SAME, SUBSETS, ShiftRecords
from experiments.detection.tables import capital, grouped, listing_flag, table_of
from experiments.results.bootstrap import Interval
from experiments.results.charts import sample_boxes
from experiments.results.records import Record, Rows
from experiments.results.result import Flag, Table
from experiments.results.two_samples import NEGLIGIBLE
from experiments.results.verdicts import FEWEST, listed

_VERDICTS: Final[Mapping[str | None, str]] = {
    "larger": "larger than between different images",
    "as large": "as large as between different images",
    "smaller": "smaller than between different images",
    "not decided": "not decided",
    None: "not measured, without any such pair,",
}


def finding(records: Sequence[ShiftRecords], rows: Rows) -> str:
    """Return the answer in words, by the rules of `Comparison.verdict`."""
    parts = [_about(kind.title, [row for row in rows if row["map"] == kind.name]) for kind in records]
    if all(kind.name != "learnt" for kind in records):
        parts.insert(0, "The run has no learnt saliency model: the Jacobian only.")
    return " ".join(parts)


def _about(title: str, rows: Rows) -> str:
    parts = [
        _verdicts(subset, [row for row in rows if (row["sample"], row["subset"]) == (FULL, subset)])
        for subset in SUBSETS
    ]
    left = {
        row["attack"]: row["ratio_to_full"]
        for row in rows
        if (row["sample"], row["subset"]) == (FIXED, "successful") and row["ratio_to_full"] is not None
        if row["n"] >= FEWEST
    }
    if left:
        ends = " to ".join(f"{left[name]:.2f} ({name})" for name in (min(left, key=left.get), max(left, key=left.get)))  # type: ignore[arg-type]
        parts.append(f"with the clean class as selector {ends} of it is left, and the rest is the selector's doing")
    return f"{capital(title)}: {'. '.join(capital(part) for part in parts)}."


def _verdicts(subset: str, rows: Rows) -> str:
    groups = grouped((_VERDICTS[row["verdict"]] + _why(row), row["attack"]) for row in rows)
    return f"on {subset} pairs the shift is " + ", ".join(f"{how} for {listed(names)}" for how, names in groups.items())


def _why(row: Record) -> str:
    """Return why a comparison is not decided, if it is not."""
    if row["verdict"] != "not decided":
        return ""
    if min(row["n"], row["n_different"]) < FEWEST:
        return f" (fewer than {FEWEST} pairs)"
    return " (all maps are alike)" if row["low"] == row["high"] else ""


def table(kind: ShiftRecords, rows: Rows) -> Table:
    """Return the table of one kind of map."""
    low, high = NEGLIGIBLE
    return table_of(
        capital(kind.title),
        [row for row in rows if row["map"] == kind.name],
        {
            "attack": "attack",
            "compared with the natural image": lambda row: (
                "another of the same class" if row["sample"] == SAME else row["sample"]
            ),
            "pairs": "subset",
            "n": "n",
            "mean L2": "mean",
            "different images": "mean_different",
            "P(X > Y)": lambda row: _interval(row, "probability", "low", "high"),
            "p, two-sided; direction": lambda row: (
                None if row["p_value"] is None else f"{row['p_value']:.2g}, {row['direction']}"
            ),
            "than different images": "verdict",
            "ratio to the full shift": lambda row: _interval(row, "ratio_to_full", "ratio_low", "ratio_high"),
        },
        f"Scale: {kind.scale}. X: distances of this row; Y: those of {len(kind.different)} disjoint pairs of different "
        "natural images, drawn from the other half of the test images. Mann-Whitney U in float64, P(X > Y) = U / (n m) "
        "with ties counted half, 95 % bootstrap interval over both samples. As large: the interval lies within "
        f"[{low}, {high}] (Vargha & Delaney's negligible difference); larger, smaller: it excludes .5. Classes are "
        "the classifier's predictions.",
    )


def _interval(row: Mapping[str, Any], *fields: str) -> str | None:
    values = [row[name] for name in fields]
    return None if None in values else str(Interval(*values))


def charts(records: Sequence[ShiftRecords]) -> dict[str, bytes]:
    """Return box plots of the distances, a PNG for each subset of the pairs."""
    return {
        "" if subset == "all" else subset: sample_boxes(
            f"Distance of maps from the natural image's, {subset} pairs",
            {f"{kind.title}, L2": _groups(kind, subset) for kind in records},
            f"Boxes: quartiles; whiskers: 5 % to 95 %; dashed: the median of {DIFFERENT}.",
        )
        for subset in SUBSETS
    }


def _groups(kind: ShiftRecords, subset: str) -> dict[str, dict[str, Sequence[float]]]:
    """Return distances by group (natural images, then the attacks) and sample."""
    groups: dict[str, dict[str, Sequence[float]]] = {"natural": {DIFFERENT: kind.different}}
    for attack, sample, of_subset in kind.distances:
        if of_subset == (subset if attack else SUBSETS[0]):
            groups.setdefault(attack or "natural", {})[sample] = kind.distances[attack, sample, of_subset]
    return groups


def flags_of(records: Sequence[ShiftRecords]) -> list[Flag]:
    """Return what was checked."""
    return [
        listing_flag(
            "Attacks succeed",
            [name for name, successful in records[0].successful.items() if not successful],
            "There is no successful pair under {}: its subset is empty.",
            "Every attack has successful pairs among the compared images.",
        ),
        *(
            Flag(
                f"{capital(kind.title)} are deterministic",
                kind.repeated > 0,
                f"Maps of the same images made twice differ by at most {kind.repeated:.2g} in L2.",
            )
            for kind in records
        ),
    ]
