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
from experiments.results.bootstrap import Statistic
from experiments.results.result import Table
from experiments.results.verdicts import FEWEST, Claim


def tables_of(records: EnhanceRecords, findings: Mapping[str, Claim]) -> list[Table]:
    """Return all tables; the first is Figure 4's, which the console shows."""
    return [
        _recovery(records),
        _findings(findings),
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
    """Return a table of a line for each record; a column is what a function makes of it."""
    cells = [[column(line) for column in columns.values()] for line in lines]
    return Table(title, list(columns), [[_plain(cell) for cell in line] for line in cells], note, **more)


def _plain(cell: Any) -> Any:
    return str(cell.interval) if isinstance(cell, Statistic) else cell


def _named(record: MapRecord) -> str:
    return _spaced(record.name) + (" (oracle)" if record.oracle else "")


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def _ahead(records: EnhanceRecords, statistic: Callable[[MapRecord], Statistic]) -> Callable[[MapRecord], Any]:
    """Return the column of the enhanced map's lead by a statistic."""
    own = statistic(records.maps[names.ENHANCED])
    return lambda each: None if each.name == names.ENHANCED else own.minus(statistic(each))


def _recovery(records: EnhanceRecords) -> Table:
    columns = {
        "pixels in the order of": _named,
        "recovered": lambda each: each.recovered.area,
        "enhanced - this": _ahead(records, lambda each: each.recovered.area),
        "clean images keep": lambda each: each.clean.area,
        "pixels above 0": lambda each: None if each.positive is None else f"{each.positive.value:.1%}",
    }
    note = (
        f"{records.images} images, classified right when clean and wrong under {records.attack}. Recovered: "
        "accuracy, against the true class, when the first pixels of each adversarial image are replaced by "
        f"{names.FILLS[records.fill]}, in the order of its map for the class it is mistaken for; mean by the "
        f"trapezoidal rule over shares from {records.shares[0]:.0%} to {records.shares[-1]:.0%}. Clean images keep: "
        "the same, done to the clean images by their own maps. 95 % bootstrap intervals over images; differences are "
        "paired, and not corrected for their number. Pixels above 0: of an adversarial image's map, mean over images; "
        "all others are 0 where a method knows no negative values, and beyond that share their order is random. "
        "Oracles know the true class or the perturbation, and are not ranked. Bold: best, oracles aside."
    )
    return _table("Accuracy recovered (Figure 4)", records.everything, columns, note, bold=[(0, 0), (0, 1)])


def _best(records: EnhanceRecords) -> Table:
    def kept(each: MapRecord) -> Statistic | None:
        share = each.recovered.best_share
        return None if share is None else each.clean.accuracy[records.shares.index(share)]

    columns = {
        "pixels in the order of": _named,
        "at share": lambda each: _share(each.recovered.best_share),
        "recovered": lambda each: each.recovered.best,
        "enhanced - this": _ahead(records, lambda each: each.recovered.best),
        "clean images keep": kept,
    }
    note = (
        f"{records.images} images. The share is the one at which a map recovers most, in each resample that of the "
        "resample: the same images choose and judge it, which flatters all alike; none where nothing is recovered."
    )
    order = sorted(records.everything, key=lambda each: (each.oracle, -each.recovered.best.value))
    return _table("Best over the shares", order, columns, note)


def _findings(findings: Mapping[str, Claim]) -> Table:
    lines = [
        [claim.number, claim.text, claim.verdict, claim.statistic, CLAIMS[name][-1]] for name, claim in findings.items()
    ]
    note = (
        "A verdict is decided where the 95 % bootstrap interval over images lies on one side. Of several comparisons "
        f"all must hold; one that surely does not suffices against. Nothing is decided by fewer than {FEWEST} images."
    )
    return Table("The paper's findings", ["where", "finding", "verdict", "numbers", "holds if"], lines, note)


def _shares(records: EnhanceRecords) -> Table:
    shares = [f"{share:.0%}" for share in records.shares]
    lines = []
    for each in records.everything:
        for version, curve in {"adversarial": each.recovered, "clean": each.clean}.items():
            lines.append([_named(each), version, *(accuracy.value for accuracy in curve.accuracy)])
    return Table("Accuracy by share of pixels perturbed", ["pixels in the order of", "images", *shares], lines)


def _refilled(records: EnhanceRecords) -> Table:
    fill, other = names.FILLS[records.fill], names.FILLS[names.OTHER_FILL[records.fill]]
    columns = {
        "pixels in the order of": _named,
        "recovered, mean over shares": lambda each: each.refilled.area,
        "enhanced - this": _ahead(records, lambda each: each.refilled.area),
        "best": lambda each: each.refilled.best,
        "at share": lambda each: _share(each.refilled.best_share),
    }
    note = f"{records.images} images. As the first table, with {other} in place of {fill}."
    order = sorted(records.everything, key=lambda each: (each.oracle, -each.refilled.area.value))
    return _table(f"Check: pixels replaced by {other}", order, columns, note)


def _ablation(records: EnhanceRecords) -> Table:
    plain = {each.base: each.recovered.area for each in records.ablations if each.normalisation is None}
    columns: dict[str, Callable[[AblationRecord], Any]] = {
        "method": lambda each: _spaced(each.base),
        "normalisation": lambda each: each.normalisation or "not enhanced",
        "recovered, mean over shares": lambda each: each.recovered.area,
        "minus not enhanced": lambda each: each.normalisation and each.recovered.area.minus(plain[each.base]),
        "best": lambda each: each.recovered.best,
        "at share": lambda each: _share(each.recovered.best_share),
    }
    note = (
        "The map of the class an image is mistaken for, minus that of the runner-up, both normalised. All are reduced "
        "by the l1 norm over the channels. With one channel energy and channel_energy are the same."
    )
    return _table("What is enhanced, and how it is normalised", records.ablations, columns, note)


def _reaction(records: EnhanceRecords) -> Table:
    apart = records.reactions
    columns: dict[str, Callable[[MapRecord], Any]] = {
        "map": lambda each: _spaced(each.name),
        "n": lambda each: each.attacked and each.attacked.n,
        "attack": lambda each: each.attacked,
        "class alone": lambda each: each.swapped,
        "noise": lambda each: each.noisy,
        "noise - attack": lambda each: each.reaction,
        "enhanced's minus this one's": lambda each: apart.get(each.name),
    }
    note = (
        "Mean Spearman correlation of the clean image's map (for its predicted class) with that of the attacked image, "
        "and of the image under noise of the same norms, each for its own predicted class. Class alone: with that of "
        "the clean image itself for the class that the attacked one is mistaken for: where it is as low, the map "
        "answers to the class it is asked for, not to the attack. n: images on which no map is constant. The noise "
        f"changes the prediction of {records.noise_changes} of {records.images} images. Random draws anew for each "
        f"image, and is compared with nothing; so do the samples of LIME, in part. {built_in(records)}"
    )
    order = sorted(records.ranked, key=lambda each: -(each.reaction.value if each.reaction else -2))
    return _table("How maps react to the attack (Figure 3)", order, columns, note)


def _pairs(pairs: ClassPairs) -> Table:
    def ends(each: MapPairs) -> str:
        return f"{each.values[names.DIFFERENCE].min():.3f} to {each.values[names.DIFFERENCE].max():.3f}"

    columns: dict[str, Callable[[MapPairs], Any]] = {
        "method": lambda each: _spaced(each.method),
        "pairs of maps": lambda each: each.sample,
        "pairs": lambda each: len(each.values[names.DIFFERENCE]),
        "n": lambda each: each.means[names.DIFFERENCE].n,
        names.RATIO: lambda each: each.means[names.RATIO],
        names.RATIO_NONZERO: lambda each: each.means[names.RATIO_NONZERO],
        names.DIFFERENCE: lambda each: each.means[names.DIFFERENCE],
        f"{names.DIFFERENCE}, range": ends,
    }
    note = (
        f"{pairs.images} images with several classes: {pairs.source}; the classifier names one of an image's classes "
        f"on {pairs.recognised.interval} (chance {pairs.chance:.3f}). Two images: disjoint pairs, under a class of one "
        "of them. Maps are not enhanced and not normalised; s is a value of a channel; averages are of absolute "
        "values. Means over n images, or pairs of images, of the means over their pairs of classes."
    )
    return _table("Maps of two classes (Figure 1)", pairs.compared.values(), columns, note)


def rows_of(records: EnhanceRecords) -> list[dict[str, Any]]:
    """Return a row for each statistic."""
    return [*_curve_rows(records), *_other_rows(records)]


def _row(part: str, name: str, measure: str, statistic: Statistic | None, **more: Any) -> dict[str, Any]:
    ends = statistic and statistic.interval
    return {
        "part": part,
        "map": name,
        "measure": measure,
        **{key: more.get(key) for key in ("normalisation", "share", "fill", "against")},
        "n": statistic.n if statistic else 0,
        **{key: ends and getattr(ends, key) for key in ("value", "low", "high")},
    }


def _curve_rows(records: EnhanceRecords) -> Iterator[dict[str, Any]]:
    fill = records.fill
    for each in records.maps.values():
        yield from _of_curve("recovered", each.name, each.recovered, fill=fill)
        yield from _of_curve("recovered", each.name, each.refilled, fill=names.OTHER_FILL[fill])
        yield from _of_curve("clean", each.name, each.clean, fill=fill)
        yield _row("recovered", each.name, "pixels above 0", each.positive)
    for ablation in records.ablations:
        normalisation = ablation.normalisation or "not enhanced"
        yield from _of_curve("ablation", ablation.base, ablation.recovered, fill=fill, normalisation=normalisation)


def _of_curve(part: str, name: str, curve: RecoveryCurve, **more: Any) -> Iterator[dict[str, Any]]:
    for share, accuracy in zip(curve.shares, curve.accuracy, strict=True):
        yield _row(part, name, "accuracy", accuracy, share=share, **more)
    yield _row(part, name, "best", curve.best, share=curve.best_share, **more)
    yield _row(part, name, "mean over shares", curve.area, **more)


def _other_rows(records: EnhanceRecords) -> Iterator[dict[str, Any]]:
    own, fill = records.maps[names.ENHANCED].recovered, records.fill
    for name, lead in records.leads.items():
        yield _row("lead", names.ENHANCED, "mean over shares", lead, fill=fill, against=name)
        best = own.best.minus(records.maps[name].recovered.best)
        yield _row("lead", names.ENHANCED, "best", best, fill=fill, against=name)
    for each in records.ranked:
        yield _row("reaction", each.name, "Spearman, attack", each.attacked)
        yield _row("reaction", each.name, "Spearman, class alone", each.swapped)
        yield _row("reaction", each.name, "Spearman, noise", each.noisy)
        yield _row("reaction", each.name, "noise - attack", each.reaction)
    for name, apart in records.reactions.items():
        yield _row("reaction", names.ENHANCED, "noise - attack", apart, against=name)
    for pairs in records.pairs.compared.values() if records.pairs else ():
        for measure, mean in pairs.means.items():
            yield _row("classes", pairs.method, measure, mean, against=pairs.sample)
