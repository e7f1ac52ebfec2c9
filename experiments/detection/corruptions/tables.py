"""Tables, chart, flags and finding of the corruptions, from their rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from experiments.detection.corruptions.records import NONE
from experiments.detection.tables import listing_flag
from experiments.results.bootstrap import Interval, clopper_pearson, mean_of_seeds
from experiments.results.charts import heat_maps
from experiments.results.records import Record, Rows, mean_known
from experiments.results.result import Flag, Table
from experiments.results.verdicts import FEWEST, counted

_MOST_CLASSES: Final = 20
"""With more classes there is no table by class."""

_HARMED: Final = 0.8
"""Share of its accuracy on the images as they are below which the classifier counts as harmed by a corruption."""

_COUNTS: Final = {"flagged": "n", "flagged_right": "n_right"}
"""The number of images that a share is of."""

Key = tuple[str, str | None]


def tables_of(rows: Rows, classes: Rows, meta: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the shares flagged by corruption, by severity, among images classified right, and by class.

    Args:
        rows: JSON records of `CorruptionRecord`.
        classes: JSON records of `ClassRecord`.
        meta: images, rate and corruptions.
    """
    names = {name: name for name in [NONE, *meta["corruptions"]]}
    note = (
        f"Share of {counted(meta['attacked_images'], 'test images')} above the threshold of {100 * meta['rate']:g} % "
        "false positives: nobody attacked them. A mean over the five severities, and over seeds. Brackets: 95 % "
        "intervals over images, of which each counts once, and over seeds."
    )
    title = "False positives, by corruption"
    yield _table(title, rows, names, "corruption", "flagged", note)
    yield _table(f"{title}, images that the classifier gets right", rows, names, "corruption", "flagged_right", "")
    levels = {str(level): level for level in range(6)}
    yield _table("False positives, by severity", rows, levels, "severity", "flagged", "A mean over the corruptions.")
    labels = sorted({row["label"] for row in classes})
    if len(labels) <= _MOST_CLASSES:
        columns = {f"class {label}": label for label in labels}
        note = "The true class. A mean over all corruptions and severities."
        yield _table("False positives, by class", classes, columns, "label", "flagged", note)


def chart(title: str, rows: Rows, corruptions: Sequence[str]) -> bytes:
    """Return the shares flagged as a heat map of detectors and corruptions."""
    cells = {
        _name(key): {name: _mean(of_detector, "corruption", name, "flagged") for name in [NONE, *corruptions]}
        for key, of_detector in _by_detector(rows).items()
    }
    return heat_maps(title, {"share flagged": cells}, low=0.0, down="detector", across="corruption")


def finding(rows: Rows, meta: Mapping[str, Any]) -> str:
    """Return which detectors flag the fewest and the most, and which corruption is flagged most."""
    means = {key: _corrupted(of_detector) for key, of_detector in _by_detector(rows).items()}
    least, most = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    clean = {key: _mean(of_detector, "corruption", NONE, "flagged") for key, of_detector in _by_detector(rows).items()}
    by_corruption = {name: mean_known(_values(rows, "corruption", name, "flagged")) for name in meta["corruptions"]}
    worst = max(by_corruption, key=lambda name: by_corruption[name] or 0.0)
    images = counted(meta["attacked_images"], "images")
    if len(means) == 1:
        flagged = f"{_name(least)} flags {means[least]:.3f} of the corrupted images, {clean[least]:.3f} of clean ones."
    else:
        flagged = (
            f"{_name(least)} flags the fewest corrupted images: {means[least]:.3f}, against {clean[least]:.3f} of the "
            f"clean ones. {_name(most)} flags the most: {means[most]:.3f}, against {clean[most]:.3f}."
        )
    return (
        f"The thresholds let {100 * meta['rate']:g} % of clean images be flagged. {images} were corrupted, and none "
        f"was attacked. {flagged} "
        f"The corruption that is flagged most, by the mean over detectors, is {worst} ({by_corruption[worst]:.3f})."
    )


def flags_of(rows: Rows, meta: Mapping[str, Any]) -> list[Flag]:
    """Return whether the images are few, thresholds are off, and the classifier itself is harmed."""
    count, rate = meta["attacked_images"], meta["rate"]
    few = f"The shares rest on {counted(count, 'images')}; below {FEWEST} they decide nothing."
    untouched = _by_detector(row for row in rows if row["corruption"] == NONE)
    shares = {_name(key): _share(alike, "flagged") for key, alike in untouched.items()}
    off = [name for name, share in shares.items() if not share.low <= rate <= share.high]
    return [
        Flag("Few images", count < FEWEST, few),
        listing_flag(
            "A threshold that does not keep its rate",
            off,
            f"Of the images as they are, the share flagged differs from {100 * rate:g} % by more than its interval: "
            "{}. Their calibration images are few or of another kind.",
            f"The share flagged of the images as they are agrees with {100 * rate:g} % for every detector.",
        ),
        listing_flag(
            "Corruptions that harm the classifier",
            _harming(rows, meta["corruptions"]),
            f"The classifier keeps less than {100 * _HARMED:g} % of its accuracy, so that flagging the images may be "
            "right: {}.",
            f"Under every corruption the classifier keeps at least {100 * _HARMED:g} % of its accuracy.",
        ),
    ]


def _harming(rows: Rows, corruptions: Sequence[str]) -> Iterator[str]:
    before = _mean(rows, "corruption", NONE, "classifier_accuracy") or 0.0
    for name in corruptions:
        worst = min(_values(rows, "corruption", name, "classifier_accuracy"))
        if worst < _HARMED * before:
            yield f"{name} ({worst:.2f} instead of {before:.2f})"


def _table(title: str, rows: Rows, columns: Mapping[str, Any], field: str, value: str, note: str) -> Table:
    """Return a line for each detector: mean shares over the rows whose field is the column's."""
    lines = [
        [name, trained_on, *(_shown(of_detector, field, wanted, value) for wanted in columns.values())]
        for (name, trained_on), of_detector in _by_detector(rows).items()
    ]
    counts = [["n", None, *(_least(rows, field, wanted, value) for wanted in columns.values())]]
    return Table(title, ["detector", "trained on", *columns], [*counts, *lines], note)


def _least(rows: Rows, field: str, wanted: Any, value: str) -> int | None:
    """Return the smallest number of images behind a share in a column."""
    return min((row[_COUNTS[value]] for row in rows if row[field] == wanted), default=None)


def _shown(rows: Rows, field: str, wanted: Any, value: str) -> str | None:
    rows_with_value = [row for row in rows if row[field] == wanted and row[value] is not None]
    return str(_share(rows_with_value, value)) if rows_with_value else None


def _share(rows: Rows, value: str) -> Interval:
    """Return the mean of shares of the same images; an image counts once, under however many corruptions it stands."""
    seeds: dict[int | None, list[Record]] = {}
    for row in rows:
        seeds.setdefault(row["seed"], []).append(row)
    counts = {seed: min(row[_COUNTS[value]] for row in alike) for seed, alike in seeds.items()}
    means = {seed: fmean(row[value] for row in alike) for seed, alike in seeds.items()}
    return mean_of_seeds([clopper_pearson(means[seed], counts[seed]) for seed in seeds])


def _mean(rows: Iterable[Record], field: str, wanted: Any, value: str) -> float | None:
    return mean_known(_values(rows, field, wanted, value))


def _values(rows: Iterable[Record], field: str, wanted: Any, value: str) -> list[Any]:
    return [row[value] for row in rows if row[field] == wanted]


def _corrupted(rows: Iterable[Record]) -> float:
    return mean_known(row["flagged"] for row in rows if row["corruption"] != NONE) or 0.0


def _by_detector(rows: Iterable[Record]) -> dict[Key, list[Record]]:
    groups: dict[Key, list[Record]] = {}
    for row in rows:
        groups.setdefault((row["detector"], row["trained_on"]), []).append(row)
    return groups


def _name(key: Key) -> str:
    name, trained_on = key
    return name if trained_on is None else f"{name} ({trained_on})"
