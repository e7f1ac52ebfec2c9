"""`evaluate.py threshold`: detection against the size of the perturbation (Schut & Gal, 2020: threshold behaviour)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from torch import Tensor

from attacks import Attack, norms
from detectors import metrics
from experiments.detection.threshold.crossings import (
    FEWEST,
    MEASURES,
    SUBSETS,
    Line,
    claim,
    crossings_of,
    deviation_of,
    lines_of,
    mean_of,
)
from experiments.detection.threshold.flags import flags
from experiments.results.charts import Curve, CurveChart, curves
from experiments.results.result import Result, Table
from experiments.study.budgets import is_linf
from experiments.study.contenders import Contender
from experiments.study.images import AttackedSet
from experiments.study.metrics import DETECTED, measure
from experiments.study.study import Study

EPSILONS: Final = [0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3]


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
    crossings = crossings_of(rows)
    meta = study.meta() | {"fields": _FIELDS, "level": DETECTED, "fewest_pairs": FEWEST, "crossings": crossings}
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
        flags=flags(rows),
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


def _checked(epsilons: Sequence[float]) -> list[float]:
    if not all(0 <= epsilon <= 1 for epsilon in epsilons) or not any(epsilons):  # NaN is refused as well
        msg = f"epsilons must lie in [0, 1] and not all be 0, got {list(epsilons)}"
        raise ValueError(msg)
    return sorted(set(map(float, epsilons)))


def _swept(study: Study) -> dict[str, Attack]:
    """Return the attacks with an epsilon that detectors are trained on."""
    every = study.run.attacks()
    trained = [name for name in study.run.settings.train_on if name in every]
    found = {name: every[name] for name in trained if getattr(every[name], "epsilon", 0) > 0}
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
        yield {
            "detector": contender.name,
            "trained_on": contender.trained_on,
            "seed": contender.seed,
            "attack": attack,
            "epsilon": epsilon,
            "subset": subset,
            "n": int(chosen.sum()),
            **measure(contender, clean[chosen], found["adversarial"][chosen]),
            "auroc_against_noise": metrics.auroc(found["noise"][chosen], found["adversarial"][chosen]),
            "auroc_rounded": metrics.auroc(clean[chosen], found["rounded"][chosen]),
            "median_l2": _median(norms.l2(change[chosen])),
            "median_rms": _median(norms.rms(change[chosen])),
            "attack_success_rate": under.success_rate,
            "right_before": int((under.subsets["successful"] | under.subsets["failed"]).sum()),
        }


def _median(values: Tensor) -> float | None:
    return values.double().quantile(0.5).item() if len(values) else None


def _crossing_table(crossings: Sequence[Mapping[str, Any]]) -> Table:
    columns = [(name, subset) for name in MEASURES for subset in SUBSETS]
    found = {(c["attack"], c["detector"], c["trained_on"], c["measure"], c["subset"]): c for c in crossings}
    lines = dict.fromkeys((c["attack"], c["detector"], c["trained_on"]) for c in crossings)
    return Table(
        title=f"Epsilon (and median L2) below which detection falls under {DETECTED}",
        header=["attack", "detector", *(f"{MEASURES[name]}, {subset} pairs" for name, subset in columns)],
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
    lines = lines_of(rows)
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
    mean, deviation = mean_of(records, name), deviation_of(records, name)
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
    lines = lines_of(rows)
    panels = {
        f"AUROC, {subset} pairs": [
            CurveChart(
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
    return curves(title, panels, axis, "attack success rate", DETECTED)


def _of(key: Line, attack: str, subset: str) -> bool:
    return (key[0], key[3]) == (attack, subset)


def _curve(at: Mapping[float, Sequence[Mapping[str, Any]]], *, dashed: bool) -> Curve:
    sizes = [epsilon for epsilon in at if epsilon > 0 and at[epsilon][0]["n"] >= FEWEST]
    values, spreads = ([function(at[size], "auroc") for size in sizes] for function in (mean_of, deviation_of))
    return Curve(sizes, values, None if all(each is None for each in spreads) else spreads, dashed)


def _success(at: Mapping[float, Sequence[Mapping[str, Any]]]) -> Curve:
    sizes = [epsilon for epsilon in at if epsilon > 0]
    return Curve(sizes, [mean_of(at[size], "attack_success_rate") for size in sizes])


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
        f"Epsilon below which the AUROC falls under {DETECTED}, all pairs / successful pairs; the paper claims that id "
        f"and jsd fail below a size, and smd and spd do not. {' '.join(parts)}"
    )
