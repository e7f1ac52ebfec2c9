"""Tables and records of `evaluate.py enhance`."""

from collections.abc import Iterator
from typing import Any

from experiments.explanation.enhance.classes import MEASURES, ClassPairs
from experiments.explanation.enhance.curves import Recovery
from experiments.explanation.enhance.findings import Found, Judged, built_in, leads, reactions
from experiments.explanation.enhance.measured import OTHER_FILL, Measured
from experiments.explanation.enhance.methods import ENHANCED
from experiments.explanation.enhance.pixels import TOLD
from experiments.explanation.enhance.setting import FEWEST
from experiments.results.bootstrap import Statistic
from experiments.results.result import Table


def tables_of(found: Found, judged: list[Judged]) -> list[Table]:
    """Return all tables; the first is Figure 4's, which the console shows."""
    return [
        _recovery(found),
        _findings(judged),
        _best(found),
        _shares(found),
        _refilled(found),
        _ablation(found),
        _reaction(found),
        *([] if found.pairs is None else [_pairs(found.pairs)]),
    ]


def _named(each: Measured) -> str:
    return f"{_spaced(each.name)} (oracle)" if each.oracle else _spaced(each.name)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def _told(statistic: Statistic | None) -> str | None:
    return None if statistic is None else str(statistic.interval)


def _everything(found: Found) -> list[Measured]:
    """Return the ranked maps, best first, then the oracles."""
    return [*found.ranked, *(each for each in found.measured.values() if each.oracle)]


def _recovery(found: Found) -> Table:
    own, setting = found.measured[ENHANCED].recovered.area, found.setting
    header = ["pixels in the order of", "recovered", "enhanced - this", "clean images keep", "pixels above 0"]
    lines = [
        [
            _named(each),
            _told(each.recovered.area),
            None if each.name == ENHANCED else _told(own.minus(each.recovered.area)),
            _told(each.clean.area),
            None if each.positive is None else f"{each.positive.value:.1%}",
        ]
        for each in _everything(found)
    ]
    note = (
        f"{len(setting)} images, classified right when clean and wrong under {setting.attack_name}. Recovered: "
        "accuracy, against the true class, when the first pixels of each adversarial image are replaced by "
        f"{TOLD[setting.fill]}, in the order of its map for the class it is mistaken for; mean by the trapezoidal rule "
        f"over shares from {setting.shares[0]:.0%} to {setting.shares[-1]:.0%}. Clean images keep: the same, done to "
        "the clean images by their own maps. 95 % bootstrap intervals over images; differences are paired, and not "
        "corrected for their number. Pixels above 0: of an adversarial image's map, mean over images; all others are 0 "
        "where a method knows no negative values, and beyond that share their order is random. Oracles know the true "
        "class or the perturbation, and are not ranked. Bold: best, oracles aside."
    )
    return Table("Accuracy recovered (Figure 4)", header, lines, note, bold=[(0, 0), (0, 1)])


def _best(found: Found) -> Table:
    own, setting = found.measured[ENHANCED].recovered.best, found.setting
    lines = []
    for each in sorted(_everything(found), key=lambda each: (each.oracle, -each.recovered.best.value)):
        mine = each.recovered
        kept = None if mine.best_share is None else each.clean.accuracy[setting.shares.index(mine.best_share)]
        apart = None if each.name == ENHANCED else _told(own.minus(mine.best))
        lines.append([_named(each), _share(mine.best_share), _told(mine.best), apart, _told(kept)])
    header = ["pixels in the order of", "at share", "recovered", "enhanced - this", "clean images keep"]
    note = (
        f"{len(setting)} images. The share is the one at which a map recovers most, in each resample that of the "
        "resample: the same images choose and judge it, which flatters all alike; none where nothing is recovered."
    )
    return Table("Best over the shares", header, lines, note)


def _findings(judged: list[Judged]) -> Table:
    lines = [[each.place, each.text, each.verdict, each.numbers, each.rule] for each in judged]
    note = (
        "A verdict is decided where the 95 % bootstrap interval over images lies on one side. Of several comparisons "
        f"all must hold; one that surely does not suffices against. Nothing is decided by fewer than {FEWEST} images."
    )
    return Table("The paper's findings", ["where", "finding", "verdict", "numbers", "holds if"], lines, note)


def _shares(found: Found) -> Table:
    shares = [f"{share:.0%}" for share in found.setting.shares]
    lines = []
    for each in _everything(found):
        for version, curve in {"adversarial": each.recovered, "clean": each.clean}.items():
            lines.append([_named(each), version, *(accuracy.value for accuracy in curve.accuracy)])
    return Table("Accuracy by share of pixels perturbed", ["pixels in the order of", "images", *shares], lines)


def _refilled(found: Found) -> Table:
    own, other = found.measured[ENHANCED].refilled, OTHER_FILL[found.setting.fill]
    lines = [
        [
            _named(each),
            _told(each.refilled.area),
            None if each.name == ENHANCED else _told(own.area.minus(each.refilled.area)),
            _told(each.refilled.best),
            _share(each.refilled.best_share),
        ]
        for each in sorted(_everything(found), key=lambda each: (each.oracle, -each.refilled.area.value))
    ]
    header = ["pixels in the order of", "recovered, mean over shares", "enhanced - this", "best", "at share"]
    note = (
        f"{len(found.setting)} images. As the first table, with {TOLD[other]} in place of {TOLD[found.setting.fill]}."
    )
    return Table(f"Check: pixels replaced by {TOLD[other]}", header, lines, note)


def _ablation(found: Found) -> Table:
    plain = {each.base: each.recovered for each in found.ablated if each.normalisation is None}
    lines = [
        [
            _spaced(each.base),
            each.normalisation or "not enhanced",
            _told(each.recovered.area),
            None if each.normalisation is None else _told(each.recovered.area.minus(plain[each.base].area)),
            _told(each.recovered.best),
            _share(each.recovered.best_share),
        ]
        for each in found.ablated
    ]
    header = ["method", "normalisation", "recovered, mean over shares", "minus not enhanced", "best", "at share"]
    note = (
        "The map of the class an image is mistaken for, minus that of the runner-up, both normalised. All are reduced "
        "by the l1 norm over the channels. With one channel energy and channel_energy are the same."
    )
    return Table("What is enhanced, and how it is normalised", header, lines, note)


def _reaction(found: Found) -> Table:
    apart = reactions(found)
    lines = [
        [
            _spaced(each.name),
            None if each.attacked is None else each.attacked.n,
            _told(each.attacked),
            _told(each.swapped),
            _told(each.noisy),
            _told(each.reaction),
            _told(apart.get(each.name)),
        ]
        for each in sorted(found.ranked, key=lambda each: -(each.reaction.value if each.reaction else -2))
    ]
    header = ["map", "n", "attack", "class alone", "noise", "noise - attack", "enhanced's minus this one's"]
    setting = found.setting
    changed = int((setting.noise.predictions != setting.clean.predictions).sum())
    note = (
        "Mean Spearman correlation of the clean image's map (for its predicted class) with that of the attacked image, "
        "and of the image under noise of the same norms, each for its own predicted class. Class alone: with that of "
        "the clean image itself for the class that the attacked one is mistaken for: where it is as low, the map "
        "answers to the class it is asked for, not to the attack. n: images on which no map is constant. The noise "
        f"changes the prediction of {changed} of {len(setting)} images. Random draws anew for each image, and is "
        f"compared with nothing; so do the samples of LIME, in part. {built_in(found)}"
    )
    return Table("How maps react to the attack (Figure 3)", header, lines, note)


def _pairs(pairs: ClassPairs) -> Table:
    lines = []
    for each in pairs.compared.values():
        values = each.values["Avg-Diff"]
        means = [_told(each.means[name]) for name in MEASURES]
        ends = f"{values.min():.3f} to {values.max():.3f}"
        lines.append(
            [_spaced(each.method), each.sample, len(values), len(next(iter(each.by_group.values()))), *means, ends]
        )
    header = ["method", "pairs of maps", "pairs", "n", *MEASURES, "Avg-Diff, range"]
    note = (
        f"{pairs.images} images with several classes: {pairs.source}; the classifier names one of an image's classes "
        f"on {pairs.recognised.interval} (chance {pairs.chance:.3f}). Two images: disjoint pairs, under a class of one "
        "of them. Maps are not enhanced and not normalised; s is a value of a channel; averages are of absolute "
        "values. Means over n images, or pairs of images, of the means over their pairs of classes."
    )
    return Table("Maps of two classes (Figure 1)", header, lines, note)


def rows_of(found: Found) -> list[dict[str, Any]]:
    """Return a record per statistic."""
    return [*_curve_rows(found), *_lead_rows(found), *_reaction_rows(found), *_pair_rows(found)]


def _record(part: str, map_name: str, measure: str, statistic: Statistic | None, **more: Any) -> dict[str, Any]:
    ends = None if statistic is None else statistic.interval
    return {
        "part": part,
        "map": map_name,
        "measure": measure,
        "normalisation": more.get("normalisation"),
        "share": more.get("share"),
        "fill": more.get("fill"),
        "against": more.get("against"),
        "n": 0 if statistic is None else statistic.n,
        "value": None if ends is None else ends.value,
        "low": None if ends is None else ends.low,
        "high": None if ends is None else ends.high,
    }


def _curve_rows(found: Found) -> Iterator[dict[str, Any]]:
    fill = found.setting.fill
    for each in found.measured.values():
        yield from _of_curve("recovered", each.name, each.recovered, fill=fill)
        yield from _of_curve("recovered", each.name, each.refilled, fill=OTHER_FILL[fill])
        yield from _of_curve("clean", each.name, each.clean, fill=fill)
        yield _record("recovered", each.name, "pixels above 0", each.positive)
    for ablated in found.ablated:
        normalisation = ablated.normalisation or "not enhanced"
        yield from _of_curve("ablation", ablated.base, ablated.recovered, fill=fill, normalisation=normalisation)


def _of_curve(part: str, name: str, curve: Recovery, **more: Any) -> Iterator[dict[str, Any]]:
    for share, accuracy in zip(curve.shares, curve.accuracy, strict=True):
        yield _record(part, name, "accuracy", accuracy, share=share, **more)
    yield _record(part, name, "best", curve.best, share=curve.best_share, **more)
    yield _record(part, name, "mean over shares", curve.area, **more)


def _lead_rows(found: Found) -> Iterator[dict[str, Any]]:
    own, fill = found.measured[ENHANCED].recovered, found.setting.fill
    for name, each in leads(found).items():
        yield _record("lead", ENHANCED, "mean over shares", each, fill=fill, against=name)
        best = own.best.minus(found.measured[name].recovered.best)
        yield _record("lead", ENHANCED, "best", best, fill=fill, against=name)


def _reaction_rows(found: Found) -> Iterator[dict[str, Any]]:
    for each in found.ranked:
        yield _record("reaction", each.name, "Spearman, attack", each.attacked)
        yield _record("reaction", each.name, "Spearman, class alone", each.swapped)
        yield _record("reaction", each.name, "Spearman, noise", each.noisy)
        yield _record("reaction", each.name, "noise - attack", each.reaction)
    for name, apart in reactions(found).items():
        yield _record("reaction", ENHANCED, "noise - attack", apart, against=name)


def _pair_rows(found: Found) -> Iterator[dict[str, Any]]:
    for each in () if found.pairs is None else found.pairs.compared.values():
        for measure, statistic in each.means.items():
            yield _record("classes", each.method, measure, statistic, against=each.sample)
