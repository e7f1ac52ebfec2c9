"""Tables and records of `evaluate.py enhance`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from experiments.explanation.enhance import names
from experiments.explanation.enhance.findings import CLAIMS, built_in
from experiments.explanation.enhance.records import (
    AblationRecord,
    ClassPairs,
    EnhanceRecords,
    MapPairs,
    MapRecord,
    RecoveryCurve,
)
from experiments.explanation.evidence import shown
from experiments.results.bootstrap import PlainStatistic
from experiments.results.result import Table
from experiments.results.verdicts import FEWEST, Claim


def tables(records: EnhanceRecords, claims: Mapping[str, Claim]) -> list[Table]:
    """Return all tables; the first is Figure 4's, which the console shows."""
    return [
        _recovery(records),
        _findings(claims),
        _best(records),
        _shares(records),
        _refilled(records),
        _ablation(records),
        _reaction(records),
        *([] if records.pairs is None else [_pairs(records.pairs)]),
    ]


def _table(
    title: str, lines: Iterable[Any], columns: Mapping[str, Callable[[Any], Any]], note: str, **more: Any
) -> Table:
    """Return a table with a line for each record; each column is a function of the record."""
    cells = [[column(line) for column in columns.values()] for line in lines]
    return Table(title, list(columns), [[_plain(cell) for cell in line] for line in cells], note, **more)


def _plain(cell: Any) -> Any:
    return shown(cell) if isinstance(cell, PlainStatistic) else cell


def _named(record: MapRecord) -> str:
    return _spaced(record.name) + (" (oracle)" if record.oracle else "")


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def _recovery(records: EnhanceRecords) -> Table:
    columns = {
        "pixels in the order of": _named,
        "recovered": lambda record: record.recovered.area,
        "enhanced - this": lambda record: record.leads and record.leads.area,
        "clean images keep": lambda record: record.clean.area,
        "pixels above 0": lambda record: record.positive,
    }
    note = (
        f"n = {records.images} images, classified right when clean and wrong under {records.attack}, which fools "
        f"{records.success} of {records.right}. Recovered: accuracy against the true class when the first pixels of "
        f"each adversarial image are replaced by {names.FILLS[records.fill]}, in the order of its map for the class "
        "that it is mistaken for; mean by the trapezoidal rule over shares of the pixels from "
        f"{records.shares[0]:.0%} to {records.shares[-1]:.0%}. Clean images keep: the same for the clean images and "
        "their own maps. 95 % bootstrap intervals over images; differences are paired, and not corrected for their "
        "number. Pixels above 0: share of an adversarial image's map, mean over images. The other pixels are 0 where a "
        "method knows no negative values, and their order is random. Oracles know the true class or the perturbation, "
        "and are not ranked. Bold: the best, oracles aside."
    )
    return _table("Accuracy recovered (Figure 4)", records.everything, columns, note, bold=[(0, 0), (0, 1)])


def _best(records: EnhanceRecords) -> Table:
    def kept(record: MapRecord) -> PlainStatistic | None:
        share = record.recovered.best_share
        return None if share is None else record.clean.accuracy[records.shares.index(share)]

    columns = {
        "pixels in the order of": _named,
        "at share": lambda record: _share(record.recovered.best_share),
        "recovered": lambda record: record.recovered.best,
        "enhanced - this": lambda record: record.leads and record.leads.best,
        "clean images keep": kept,
    }
    note = (
        f"n = {records.images} images. At share: the share at which a map recovers most; each resample chooses its "
        "own. It is chosen and judged on the same images, so all values are too high. None: nothing is recovered."
    )
    order = sorted(records.everything, key=lambda record: (record.oracle, -record.recovered.best.value))
    return _table("Best over the shares", order, columns, note)


def _findings(claims: Mapping[str, Claim]) -> Table:
    lines = [
        [claim.number, claim.text, claim.verdict, claim.statistic, CLAIMS[name][-1]] for name, claim in claims.items()
    ]
    note = (
        "A claim is decided if the 95 % bootstrap interval over images lies on one side of its level and has a width. "
        "Of several comparisons all must hold; the claim does not hold if one lies on the other side. "
        f"Nothing is decided by fewer than {FEWEST} images."
    )
    return Table("The paper's findings", ["where", "finding", "verdict", "numbers", "holds if"], lines, note)


def _shares(records: EnhanceRecords) -> Table:
    shares = [f"{share:.0%}" for share in records.shares]
    lines = []
    for record in records.everything:
        for version, curve in {"adversarial": record.recovered, "clean": record.clean}.items():
            lines.append([_named(record), version, *map(shown, curve.accuracy)])
    return Table(
        "Accuracy by share of pixels perturbed",
        ["pixels in the order of", "images", *shares],
        lines,
        f"n = {records.images} images.",
    )


def _refilled(records: EnhanceRecords) -> Table:
    fill, other = names.FILLS[records.fill], names.FILLS[names.OTHER_FILL[records.fill]]
    columns = {
        "pixels in the order of": _named,
        "recovered, mean over shares": lambda record: record.refilled.area,
        "enhanced - this": lambda record: record.leads and record.leads.refilled_area,
        "best": lambda record: record.refilled.best,
        "at share": lambda record: _share(record.refilled.best_share),
    }
    note = f"n = {records.images} images. As the first table, with {other} in place of {fill}."
    order = sorted(records.everything, key=lambda record: (record.oracle, -record.refilled.area.value))
    return _table(f"Check: pixels replaced by {other}", order, columns, note)


def _ablation(records: EnhanceRecords) -> Table:
    columns: dict[str, Callable[[AblationRecord], Any]] = {
        "method": lambda record: _spaced(record.base),
        "normalisation": lambda record: record.normalisation or "not enhanced",
        "recovered, mean over shares": lambda record: record.recovered.area,
        "minus not enhanced": lambda record: record.gain,
        "best": lambda record: record.recovered.best,
        "at share": lambda record: _share(record.recovered.best_share),
    }
    note = (
        f"n = {records.images} images. The map of the class that an image is mistaken for, minus that of the "
        "runner-up, both normalised. All are reduced "
        "by the l1 norm over the channels. With one channel energy and channel_energy are the same."
    )
    return _table("What is enhanced, and how it is normalised", records.ablations, columns, note)


def _reaction(records: EnhanceRecords) -> Table:
    apart = records.reactions
    columns: dict[str, Callable[[MapRecord], Any]] = {
        "map": lambda record: _spaced(record.name),
        "n": lambda record: record.attacked and record.attacked.n,
        "attack": lambda record: record.attacked,
        "class alone": lambda record: record.swapped,
        "noise": lambda record: record.noisy,
        "noise - attack": lambda record: record.reaction,
        "enhanced's minus this one's": lambda record: apart.get(record.name),
    }
    note = (
        "Mean Spearman correlation of the clean image's map, for its predicted class, with another map. Attack, noise: "
        "the map of the attacked image, and of the image under noise of the same norms, each for its own predicted "
        "class. Class alone: the map of the clean image for the class that the attacked one is mistaken for; if it is "
        "as low, the map reacts to the class, not to the attack. n: images on which no map is constant. "
        f"The noise changes the prediction of {records.share(records.noise_changes)} of {records.images} "
        "images. Random draws anew for each image, so it is compared with nothing; LIME's samples differ in part. "
        f"{built_in(records)}"
    )
    order = sorted(records.ranked, key=lambda record: -(record.reaction.value if record.reaction else -2))
    return _table("How maps react to the attack (Figure 3)", order, columns, note)


def _pairs(pairs: ClassPairs) -> Table:
    def ends(record: MapPairs) -> str:
        return f"{min(record.values[names.DIFFERENCE]):.3f} to {max(record.values[names.DIFFERENCE]):.3f}"

    columns: dict[str, Callable[[MapPairs], Any]] = {
        "method": lambda record: _spaced(record.method),
        "pairs of maps": lambda record: record.sample,
        "pairs": lambda record: len(record.values[names.DIFFERENCE]),
        "n": lambda record: record.means[names.DIFFERENCE].n,
        names.RATIO: lambda record: record.means[names.RATIO],
        names.RATIO_NONZERO: lambda record: record.means[names.RATIO_NONZERO],
        names.DIFFERENCE: lambda record: record.means[names.DIFFERENCE],
        f"{names.DIFFERENCE}, range": ends,
    }
    note = (
        f"{pairs.images} images with several classes: {pairs.source}; the classifier names one of an image's classes "
        f"on {shown(pairs.recognised)} (chance {pairs.chance:.3f}). Two images: disjoint pairs, under a class of one "
        "of them. Maps are not enhanced and not normalised; s is a value of a channel; averages are of absolute "
        "values. Means are over n images, or n pairs of images, each with the mean of its pairs of classes."
    )
    return _table("Maps of two classes (Figure 1)", pairs.compared.values(), columns, note)


def rows_of(records: EnhanceRecords) -> list[dict[str, Any]]:
    """Return a row for each statistic."""
    return [*_curve_rows(records), *_other_rows(records)]


def _row(part: str, name: str, measure: str, statistic: PlainStatistic | None, **more: Any) -> dict[str, Any]:
    return {
        "part": part,
        "map": name,
        "measure": measure,
        **{key: more.get(key) for key in ("normalisation", "share", "fill", "against")},
        "n": statistic.n if statistic else 0,
        **{key: statistic and getattr(statistic, key) for key in ("value", "low", "high")},
    }


def _curve_rows(records: EnhanceRecords) -> Iterator[dict[str, Any]]:
    fill = records.fill
    for record in records.maps.values():
        yield from _of_curve("recovered", record.name, record.recovered, fill=fill)
        yield from _of_curve("recovered", record.name, record.refilled, fill=names.OTHER_FILL[fill])
        yield from _of_curve("clean", record.name, record.clean, fill=fill)
        yield _row("recovered", record.name, "pixels above 0", record.positive)
    for ablation in records.ablations:
        normalisation = ablation.normalisation or "not enhanced"
        yield from _of_curve("ablation", ablation.base, ablation.recovered, fill=fill, normalisation=normalisation)


def _of_curve(part: str, name: str, curve: RecoveryCurve, **more: Any) -> Iterator[dict[str, Any]]:
    for share, accuracy in zip(curve.shares, curve.accuracy, strict=True):
        yield _row(part, name, "accuracy", accuracy, share=share, **more)
    yield _row(part, name, "best", curve.best, share=curve.best_share, **more)
    yield _row(part, name, "mean over shares", curve.area, **more)


def _other_rows(records: EnhanceRecords) -> Iterator[dict[str, Any]]:
    for name, leads in records.leads.items():
        yield _row("lead", names.ENHANCED, "mean over shares", leads.area, fill=records.fill, against=name)
        yield _row("lead", names.ENHANCED, "best", leads.best, fill=records.fill, against=name)
    for record in records.ranked:
        yield _row("reaction", record.name, "Spearman, attack", record.attacked)
        yield _row("reaction", record.name, "Spearman, class alone", record.swapped)
        yield _row("reaction", record.name, "Spearman, noise", record.noisy)
        yield _row("reaction", record.name, "noise - attack", record.reaction)
    for name, apart in records.reactions.items():
        yield _row("reaction", names.ENHANCED, "noise - attack", apart, against=name)
    for pairs in records.pairs.compared.values() if records.pairs else ():
        for measure, mean in pairs.means.items():
            yield _row("classes", pairs.method, measure, mean, against=pairs.sample)
