"""`evaluate.py threshold`: detection against the size of the perturbation (Schut & Gal, 2020: threshold behaviour)."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from torch import Tensor

from attacks import Attack, norms
from detectors import metrics
from experiments.attacked import AttackedSet
from experiments.measures import measure
from experiments.plots import Curve, Panel, curves
from experiments.protocols.strength_flags import is_linf, weaker
from experiments.results import Flag, Result, Table
from experiments.study import Contender, Study

EPSILONS: Final = [0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3]

SUBSETS: Final = ("all", "successful")

LEVEL: Final = 0.75
"""Detection below it counts as failed."""

FEWEST: Final = 10
"""Pairs below which a point is not looked at for the size at which detection fails."""

FRAGILE: Final = ("id", "jsd")
"""Detectors that fail below a perturbation size, as the paper has it."""

ROBUST: Final = ("smd", "spd")
"""Detectors that do not."""

_MEASURES: Final = {"auroc": "AUROC", "accuracy": "balanced accuracy at probability .5"}

_SURE: Final = 0.95
"""Success rate that a very large epsilon should reach."""


@dataclass(frozen=True)
class Crossing:
    """Where a detector fails on its way from the size at which it is best to smaller ones.

    Attributes:
        below: Size below which it is under the level, interpolated; None: it does not cross it.
        reached: Whether it is at the level or above it anywhere.
        smallest: The smallest size that was looked at; None: there is none.
    """

    below: float | None
    reached: bool
    smallest: float | None

    @property
    def fails(self) -> bool | None:
        """Whether there is a size below which it is under the level; None: nothing was measured."""
        return None if self.smallest is None else self.below is not None or not self.reached

    def __str__(self) -> str:
        """Return it in a word or two."""
        if self.smallest is None:
            return "not measured"
        if not self.reached:
            return "never reached"
        return f"none down to {self.smallest:g}" if self.below is None else f"{self.below:.4f}"


def threshold(study: Study) -> Result:
    """Return how well each detector finds its own attack at other sizes of the perturbation.

    Args:
        study: Of a run whose detectors are trained; its option `epsilons` are the sizes.

    Raises:
        FileNotFoundError: If a stage is missing, or no detector is trained on an attack with an epsilon.
        ValueError: If an epsilon is not in [0, 1], or all are 0.
    """
    epsilons = _checked(study.options["epsilons"])
    swept = _swept(study)
    field = study.contenders
    wanted = [(name, epsilon) for name in swept for epsilon in epsilons]
    rows: list[dict[str, Any]] = []
    for name, epsilon in study.progress.track(wanted, description="scores at each epsilon"):
        under = study.images.under(f"{name}@{epsilon:g}", resized(swept[name], epsilon))
        for contender in field:
            if contender.trained_on in {name, None}:
                rows += _rows(study, contender, name, under, epsilon)
    rows.sort(key=lambda row: list(swept).index(row["attack"]))  # stable: epsilons and contenders stay in order
    crossings = _crossings(rows)
    meta = study.meta() | {"fields": _FIELDS, "level": LEVEL, "fewest_pairs": FEWEST, "crossings": crossings}
    meta["smallest"] = min(epsilon for epsilon in epsilons if epsilon > 0)
    return Result(
        protocol="threshold",
        title="Detection against the size of the perturbation",
        question="Is there a perturbation size below which a detector, trained at one epsilon, no longer finds its own "
        "attack?",
        finding=_finding(rows, crossings),
        meta=meta,
        rows=rows,
        tables=[_crossing_table(crossings), *_tables(rows, meta)],
        figures={"": _picture(rows, swept, meta)},
        flags=[_zero(rows), _growth(rows), _largest(rows), _noise(rows)],
    )


_FIELDS: Final = {
    "attack": "that is run at `epsilon`; a trained detector was trained on it at the run's own",
    "subset": "all: every pair; successful: right before, wrong after",
    "n": "pairs in the subset",
    "accuracy": "balanced, at probability .5; null for a training-free detector",
    "tpr_at_*_fpr": "threshold from the clean calibration images; at 1 % null below 1000 of them",
    "auroc_against_noise": "adversarial images against clean ones with noise of the same norms, pixels permuted",
    "auroc_rounded": "adversarial images rounded to 8 bits against clean ones",
    "median_l2, median_rms": "of the change, over the subset",
    "attack_success_rate": "of the images that the classifier gets right (right_before), those that the attack turns "
    "wrong",
}


def resized(attack: Attack, epsilon: float) -> Attack:
    """Return an attack with another epsilon, and its step size in proportion.

    Args:
        attack: With an epsilon above 0.
        epsilon: The other one.
    """
    own: float = attack.epsilon  # type: ignore[attr-defined]
    if epsilon == own:
        return attack
    step = getattr(attack, "step_size", None)
    changes = {"epsilon": epsilon} | ({} if step is None else {"step_size": step * epsilon / own})
    return replace(attack, **changes)


def crossing(sizes: Sequence[float], values: Sequence[float | None], level: float = LEVEL) -> Crossing:
    """Return where values fall under a level, from the size at which they are highest towards smaller ones.

    Args:
        sizes: Rising.
        values: At each size; None is passed over.
        level: To fall under.

    Returns:
        The size between two neighbours where the straight line through them meets the level.
    """
    points = [(size, value) for size, value in zip(sizes, values, strict=True) if value is not None]
    if not points:
        return Crossing(None, reached=False, smallest=None)
    best = max(range(len(points)), key=lambda place: points[place][1])
    reached = points[best][1] >= level
    smallest = points[0][0]
    for place in range(best, 0, -1) if reached else ():
        (small, low), (large, high) = points[place - 1], points[place]
        if low < level:
            return Crossing(small + (large - small) * (level - low) / (high - low), reached=True, smallest=smallest)
    return Crossing(None, reached, smallest)


def interpolated(at: float, sizes: Sequence[float], values: Sequence[float | None]) -> float | None:
    """Return the value at a size, on the straight line between the neighbours; None outside of them.

    Args:
        at: The size.
        sizes: Rising.
        values: At each size; None is passed over.
    """
    points = [(size, value) for size, value in zip(sizes, values, strict=True) if value is not None]
    for (small, low), (large, high) in pairwise(points):
        if small <= at <= large:
            return low + (high - low) * (at - small) / (large - small)
    return None


def _checked(epsilons: Sequence[float]) -> list[float]:
    if not all(0 <= epsilon <= 1 for epsilon in epsilons) or not any(epsilons):  # NaN is refused as well
        msg = f"epsilons must lie in [0, 1] and not all be 0, got {list(epsilons)}"
        raise ValueError(msg)
    return sorted(set(map(float, epsilons)))


def _swept(study: Study) -> dict[str, Attack]:
    """Return the attacks with an epsilon that detectors are trained on."""
    every = study.run.attacks()
    found = {name: every[name] for name in study.run.settings.train_on if getattr(every[name], "epsilon", 0) > 0}
    if not found:
        msg = (
            f"{study.run.folder} has no detector trained on an attack with an epsilon (attacks.FGSM, ...): add "
            "one to train_on of its pipeline.yaml, and run `python train.py pipeline` again"
        )
        raise FileNotFoundError(msg)
    return found


def _rows(
    study: Study, contender: Contender, attack: str, under: AttackedSet, epsilon: float
) -> Iterator[dict[str, Any]]:
    images = study.images
    clean = images.scores(contender.module)
    found = {name: images.scores(contender.module, under, name) for name in ("adversarial", "rounded", "noise")}
    change = under.adversarial - images.clean
    for subset in SUBSETS:
        chosen = under.subsets[subset]
        some = bool(chosen.any())
        yield {
            "detector": contender.name,
            "trained_on": contender.trained_on,
            "seed": contender.seed,
            "attack": attack,
            "epsilon": epsilon,
            "subset": subset,
            "n": int(chosen.sum()),
            **measure(contender, clean[chosen], found["adversarial"][chosen]),
            "auroc_against_noise": metrics.auroc(found["noise"][chosen], found["adversarial"][chosen])
            if some
            else None,
            "auroc_rounded": metrics.auroc(clean[chosen], found["rounded"][chosen]) if some else None,
            "median_l2": _median(norms.l2(change[chosen])),
            "median_rms": _median(norms.rms(change[chosen])),
            "attack_success_rate": under.success_rate,
            "right_before": int((under.subsets["successful"] | under.subsets["failed"]).sum()),
        }


def _median(values: Tensor) -> float | None:
    return values.double().quantile(0.5).item() if len(values) else None


Line = tuple[str, str, str | None, str]
"""Attack, detector, trained on, subset: a curve over epsilon."""


def _lines(rows: Sequence[Mapping[str, Any]]) -> dict[Line, dict[float, list[Mapping[str, Any]]]]:
    """Return the records of all seeds, by curve and by epsilon, in the rows' order."""
    found: dict[Line, dict[float, list[Mapping[str, Any]]]] = {}
    for row in rows:
        key = row["attack"], row["detector"], row["trained_on"], row["subset"]
        found.setdefault(key, {}).setdefault(row["epsilon"], []).append(row)
    return found


def _mean(records: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [record[name] for record in records if record[name] is not None]
    return statistics.fmean(values) if values else None


def _deviation(records: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [record[name] for record in records if record[name] is not None]
    return statistics.stdev(values) if len(values) > 1 else None


def _crossings(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return where each curve falls under the level, by measure; epsilon 0 is not a perturbation and left out."""
    found = []
    for (attack, detector, trained_on, subset), at in _lines(rows).items():
        sizes = [epsilon for epsilon in at if epsilon > 0]
        enough = [size for size in sizes if at[size][0]["n"] >= FEWEST]
        lengths = [_mean(at[size], "median_l2") for size in enough]
        for name in _MEASURES:
            where = crossing(enough, [_mean(at[size], name) for size in enough])
            each = _by_seed(at, enough, name)
            found.append(
                {
                    "attack": attack,
                    "detector": detector,
                    "trained_on": trained_on,
                    "subset": subset,
                    "measure": name,
                    "epsilon": where.below,
                    "median_l2": None if where.below is None else interpolated(where.below, enough, lengths),
                    "fails": where.fails,
                    "told": str(where),
                    "smallest_epsilon": where.smallest,
                    "seeds": [seed.below for seed in each],
                    "seeds_failing": sum(bool(seed.fails) for seed in each),
                }
            )
    return [each for each in found if each["smallest_epsilon"] is not None or each["measure"] == "auroc"]


def _by_seed(at: Mapping[float, Sequence[Mapping[str, Any]]], sizes: Sequence[float], name: str) -> list[Crossing]:
    count = len(next(iter(at.values())))
    return [crossing(sizes, [at[size][seed][name] for size in sizes]) for seed in range(count)]


def _crossing_table(crossings: Sequence[Mapping[str, Any]]) -> Table:
    columns = [(name, subset) for name in _MEASURES for subset in SUBSETS]
    found = {(c["attack"], c["detector"], c["trained_on"], c["measure"], c["subset"]): c for c in crossings}
    lines = dict.fromkeys((c["attack"], c["detector"], c["trained_on"]) for c in crossings)
    return Table(
        title=f"Epsilon (and median L2) below which detection falls under {LEVEL}",
        header=["attack", "detector", *(f"{_MEASURES[name]}, {subset} pairs" for name, subset in columns)],
        rows=[
            [attack, name, *(_told(found.get((attack, name, on, *c))) for c in columns)] for attack, name, on in lines
        ],
        note="From the epsilon at which the mean over seeds is highest, towards smaller ones; linear interpolation "
        f"between neighbours. Epsilon 0, where every detector is at .5, and points of fewer than {FEWEST} pairs are "
        "left out: `none down to` names the smallest that remains. never reached: under the level at every epsilon.",
    )


def _told(each: Mapping[str, Any] | None) -> str | None:
    if each is None:
        return None
    length = "" if each["median_l2"] is None else f" (L2 {each['median_l2']:.2f})"
    return f"{each['told']}{length}"


def _tables(rows: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> Iterator[Table]:
    seeds = len(meta["seeds"])
    several = f"Mean {'and standard deviation ' if seeds > 1 else ''}over {seeds} seed(s); {meta['knowledge']}."
    wanted = [
        ("auroc", "AUROC", SUBSETS),
        ("accuracy", "Balanced accuracy at probability .5 (the paper's number)", SUBSETS),
        ("tpr_at_5_fpr", "TPR at 5 % FPR", SUBSETS),
        ("auroc_against_noise", "Adversarial or just noisy: AUROC against norm-matched noise", ("all",)),
        ("auroc_rounded", "AUROC of adversarial images rounded to 8 bits", ("all",)),
    ]
    lines = _lines(rows)
    epsilons = list(next(iter(lines.values())))
    header = ["attack", "detector", *(f"{epsilon:g}" for epsilon in epsilons)]
    for name, title, subsets in wanted:
        for subset in subsets:
            cells = [
                [key[0], key[1], *(_spread(at[epsilon], name) for epsilon in epsilons)]
                for key, at in lines.items()
                if key[3] == subset
            ]
            shown = [line for line in cells if any(value is not None for value in line[2:])]
            yield Table(f"{title}, by epsilon, {subset} pairs", header, shown, several)
    yield _attack_table(lines, header)


def _spread(records: Sequence[Mapping[str, Any]], name: str) -> float | str | None:
    mean, deviation = _mean(records, name), _deviation(records, name)
    return mean if mean is None or deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def _attack_table(lines: Mapping[Line, Mapping[float, Sequence[Mapping[str, Any]]]], header: Sequence[str]) -> Table:
    first: dict[tuple[str, str], Mapping[float, Sequence[Mapping[str, Any]]]] = {}
    for (attack, _, _, subset), at in lines.items():
        first.setdefault((attack, subset), at)
    told = {"attack_success_rate": "success rate", "median_l2": "median L2", "median_rms": "median RMS"}
    cells = []
    for (attack, subset), at in first.items():
        cells.append([attack, f"{subset}: pairs", *(each[0]["n"] for each in at.values())])
        names = told if subset == "all" else [name for name in told if name != "attack_success_rate"]
        cells += [[attack, f"{subset}: {told[name]}", *(each[0][name] for each in at.values())] for name in names]
    return Table(
        title="The attacks at each epsilon",
        header=[header[0], "pairs", *header[2:]],
        rows=cells,
        note="Success rate: of the images that the classifier gets right, those that the attack turns wrong. Step "
        "sizes grow in proportion to epsilon.",
    )


def _picture(rows: Sequence[Mapping[str, Any]], swept: Mapping[str, Attack], meta: Mapping[str, Any]) -> bytes:
    lines = _lines(rows)
    panels = {
        f"AUROC, {subset} pairs": [
            Panel(
                title=f"trained and tested on {name}",
                curves={
                    key[1]: _curve(at, dashed=key[2] is None) for key, at in lines.items() if _of(key, name, subset)
                },
                behind=_success(next(at for key, at in lines.items() if _of(key, name, subset))),
                mark=attack.epsilon,  # type: ignore[attr-defined]
            )
            for name, attack in swept.items()
        ]
        for subset in SUBSETS
    }
    kinds = {"L-inf" if is_linf(attack) else "L2" for attack in swept.values()}
    axis = f"epsilon ({' or '.join(sorted(kinds))} budget, images in [0, 1])"
    title = f"Detection against the size of the perturbation, {meta['data']} (points of at least {FEWEST} pairs)"
    return curves(title, panels, axis, "attack success rate", LEVEL)


def _of(key: Line, attack: str, subset: str) -> bool:
    return (key[0], key[3]) == (attack, subset)


def _curve(at: Mapping[float, Sequence[Mapping[str, Any]]], *, dashed: bool) -> Curve:
    sizes = [epsilon for epsilon in at if epsilon > 0 and at[epsilon][0]["n"] >= FEWEST]
    values, spreads = ([function(at[size], "auroc") for size in sizes] for function in (_mean, _deviation))
    return Curve(sizes, values, None if all(each is None for each in spreads) else spreads, dashed)


def _success(at: Mapping[float, Sequence[Mapping[str, Any]]]) -> Curve:
    sizes = [epsilon for epsilon in at if epsilon > 0]
    return Curve(sizes, [_mean(at[size], "attack_success_rate") for size in sizes])


def _finding(rows: Sequence[Mapping[str, Any]], crossings: Sequence[Mapping[str, Any]]) -> str:
    smallest = min(row["epsilon"] for row in rows if row["epsilon"] > 0)
    parts = []
    for attack in dict.fromkeys(row["attack"] for row in rows):
        found: dict[str, dict[str, Mapping[str, Any]]] = {subset: {} for subset in SUBSETS}
        for each in crossings:
            if (each["attack"], each["measure"]) == (attack, "auroc"):
                found[each["subset"]][each["detector"]] = each
        whole, fooled = (found[subset] for subset in SUBSETS)
        told = ", ".join(f"{name} {whole[name]['told']} / {fooled[name]['told']}" for name in whole)
        verdicts = [f"on {subset} pairs {claim(found[subset], smallest)}" for subset in SUBSETS]
        parts.append(f"On {attack}: {told}; the claim {'; '.join(verdicts)}.")
    return (
        f"Epsilon below which the AUROC falls under {LEVEL}, all pairs / successful pairs; the paper claims that id "
        f"and jsd fail below a size, and smd and spd do not. {' '.join(parts)}"
    )


def claim(crossings: Mapping[str, Mapping[str, Any]], smallest: float) -> str:
    """Return whether the paper's claim of threshold behaviour holds: ID and JSD fail below a size, SMD and SPD do not.

    That a detector does not fail says something only as far as there were enough pairs to look.

    Args:
        crossings: By detector, with the fields `fails` and `smallest_epsilon`.
        smallest: The smallest epsilon above 0 of the sweep.
    """
    fails = {name: crossings[name]["fails"] if name in crossings else None for name in (*FRAGILE, *ROBUST)}
    if missing := [name for name, value in fails.items() if value is None]:
        return f"is not decided ({', '.join(missing)} not measured)"
    if against := [name for name in ROBUST if fails[name]]:
        return f"does not hold ({' and '.join(against)} {'fail' if len(against) > 1 else 'fails'} too)"
    sound = [name for name in FRAGILE if not fails[name]]
    if short := [name for name in sound if crossings[name]["smallest_epsilon"] > smallest]:
        return (
            f"is not decided ({' and '.join(short)}: too few pairs below {crossings[short[0]]['smallest_epsilon']:g})"
        )
    return f"does not hold ({' and '.join(sound)} {_DOES_NOT[len(sound) > 1]} fail)" if sound else "holds"


_DOES_NOT: Final = {False: "does not", True: "do not"}


def _rates(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[float, tuple[float | None, int]]]:
    """Return success rate and number of images that it is of, by attack and epsilon."""
    found: dict[str, dict[float, tuple[float | None, int]]] = {}
    for row in rows:
        found.setdefault(row["attack"], {})[row["epsilon"]] = row["attack_success_rate"], row["right_before"]
    return found


def _zero(rows: Sequence[Mapping[str, Any]]) -> Flag:
    """Epsilon 0 against the clean result (D18)."""
    name = "Epsilon 0 is not the clean result"
    found = [row for row in rows if row["epsilon"] == 0 and row["subset"] == "all"]
    if not found:
        return Flag(name, None, "Epsilon 0 is not among the sizes.")
    wrong = [row for row in found if row["median_l2"] or row["attack_success_rate"] or row["auroc"] != _CHANCE]
    told = ", ".join(f"{row['detector']} on {row['attack']} {row['auroc']:.6f}" for row in wrong)
    return Flag(
        name,
        bool(wrong),
        f"At epsilon 0 the AUROC is not exactly .5, or images changed: {told}."
        if wrong
        else f"At epsilon 0 no image changed and the AUROC is exactly .5 in all {len(found)} cases.",
    )


_CHANCE: Final = 0.5


def _growth(rows: Sequence[Mapping[str, Any]]) -> Flag:
    """Success against epsilon (D18)."""
    falls = []
    known = False
    for attack, at in _rates(rows).items():
        points = list(at.items())
        for (small, (rate, count)), (large, (other, other_count)) in pairwise(points):
            lost = weaker(other, other_count, rate, count)
            known = known or lost is not None
            if lost:
                falls.append(f"{attack} from {rate:.3f} at {small:g} to {other:.3f} at {large:g}")
    return Flag(
        "A larger budget succeeds less",
        bool(falls) if known else None,
        f"The success rate falls, beyond its binomial interval: {'; '.join(falls)}."
        if falls
        else "No success rate falls with epsilon beyond its binomial interval.",
    )


def _largest(rows: Sequence[Mapping[str, Any]]) -> Flag:
    """Success at the largest epsilon (D18)."""
    last = {attack: max(at.items()) for attack, at in _rates(rows).items()}
    known = {attack: (epsilon, rate) for attack, (epsilon, (rate, _)) in last.items() if rate is not None}
    told = ", ".join(f"{attack} {rate:.3f} at {epsilon:g}" for attack, (epsilon, rate) in known.items())
    return Flag(
        "A very large budget does not always succeed",
        any(rate < _SURE for _, rate in known.values()) if known else None,
        f"Success rates at the largest epsilon: {told or 'none'}; about 1 is expected of an iterative attack, at least "
        f"{_SURE}, while a single step may overshoot.",
    )


def _noise(rows: Sequence[Mapping[str, Any]]) -> Flag:
    """Detection of any change of that size (A5)."""
    cells = [(key, size, records) for key, at in _lines(rows).items() for size, records in at.items() if size > 0]
    found: dict[str, list[float]] = {}
    for (attack, detector, _, subset), size, records in cells:
        value, against = _mean(records, "auroc"), _mean(records, "auroc_against_noise")
        if subset == "all" and value is not None and against is not None and value >= LEVEL and against < _NOISY:
            found.setdefault(f"{detector} on {attack}", []).append(size)
    told = ", ".join(f"{name} at {' '.join(f'{size:g}' for size in sizes)}" for name, sizes in found.items())
    return Flag(
        "Detectors of noise",
        bool(found),
        f"AUROC at least {LEVEL} against clean images and below {_NOISY} against noise of the same norms, all pairs: "
        f"{told}. There noise is found, not attacks."
        if found
        else f"No cell has an AUROC of at least {LEVEL} against clean images and below {_NOISY} against noise.",
    )


_NOISY: Final = 0.6
"""AUROC against norm-matched noise below which a detector finds noise."""
