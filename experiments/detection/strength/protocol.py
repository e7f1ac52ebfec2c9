"""`evaluate.py strength`: how strong each attack is, and how large its changes (Schut & Gal, 2020, Table 2)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

import torch
from torch import Tensor

from attacks import norms
from experiments.detection.strength.flags import strength_flags
from experiments.detection.strength.measured import Measured, measure_attack
from experiments.results.charts import boxes
from experiments.results.result import Result, Table
from experiments.results.two_samples import QUANTILES, spread_of
from experiments.study.study import Study

SUBSETS: Final = ("successful", "all")

NORMS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "l0": norms.l0,
    "l2": norms.l2,
    "rms": norms.rms,
    "linf": norms.linf,
}

NAMES: Final = {"l0": "L0 (values changed)", "l2": "L2", "rms": "RMS", "linf": "L-inf"}

LARGE: Final = {"rms": 0.025, "linf": 0.5}
"""What the paper's Table 2 sets in bold: norms at least so large."""


def strength(study: Study) -> Result:
    """Return how often each attack succeeds and how large its changes are.

    Args:
        study: Of a run whose classifier is trained; nothing else is needed.

    Raises:
        FileNotFoundError: If there is no trained classifier; says which command makes it.
    """
    measured = {
        name: measure_attack(study, study.under(name))
        for name in study.progress.track(study.attacks, description="norms, passes and time of each attack")
    }
    rows = [_row(each, subset, norm) for each, subset, norm in product(measured.values(), SUBSETS, NORMS)]
    meta = study.meta() | {
        "fields": _FIELDS,
        "classifier_accuracy": next(iter(measured.values())).under.clean_accuracy,
        "seconds_per_image": {name: each.cost.seconds for name, each in measured.items()},
        "sample_images": next(iter(measured.values())).cost.images,
    }
    return Result(
        protocol="strength",
        title="Strength of the attacks",
        question="How often does each attack fool the classifier, how much does it change the images, and what does it "
        "cost?",
        finding=_finding(measured, rows),
        meta=meta,
        rows=rows,
        tables=[_overview(rows), *_quantiles(rows), _costs(measured, meta)],
        figures={"": _picture(rows, meta)},
        flags=strength_flags(study, measured),
    )


_FIELDS: Final = {
    "subset": "successful: predicted right before and wrong after the attack; all: every test image",
    "n": "images in the subset",
    "success_rate": "of the images predicted right before, those wrong after; predicted anew from the stored images",
    "success_rate_rounded": "the same with the adversarial images rounded to 8 bits",
    "right_before": "images predicted right before: the denominator of the success rates",
    "mean, q05, ..., q95": "of the norm over the subset; null where it is empty",
    "large": "whether the mean is at least the paper's threshold: RMS .025, L-inf .5; null for other norms",
    "forward_passes, backward_passes": "per image, mean over a sample",
}


def _row(measured: Measured, subset: str, norm: str) -> dict[str, Any]:
    chosen = measured.subset(subset)
    values = NORMS[norm](measured.perturbation[chosen])
    spread = spread_of(values)
    return {
        "attack": measured.under.name,
        "subset": subset,
        "norm": norm,
        "n": int(chosen.sum()),
        **spread,
        "large": None if norm not in LARGE or spread["mean"] is None else spread["mean"] >= LARGE[norm],
        "success_rate": measured.success_rate,
        "success_rate_rounded": measured.rate(measured.fooled_rounded),
        "right_before": int(measured.right.sum()),
        "forward_passes": measured.cost.forward_passes,
        "backward_passes": measured.cost.backward_passes,
    }


def _overview(rows: Sequence[Mapping[str, Any]]) -> Table:
    lines: list[list[Any]] = []
    bold: list[tuple[int, int]] = []
    for attack, subset in _blocks(rows):
        found = {row["norm"]: row for row in rows if (row["attack"], row["subset"]) == (attack, subset)}
        one = found["rms"]
        bold += [(len(lines), 4 + place) for place, norm in enumerate(NORMS) if found[norm]["large"]]
        means = [found[norm]["mean"] for norm in NORMS]
        lines.append([attack, one["success_rate"], subset, one["n"], *means, one["success_rate_rounded"]])
    return Table(
        title="Success and mean size of the changes",
        header=["attack", "success rate", "images", "n", *NAMES.values(), "success rate after rounding to 8 bits"],
        rows=lines,
        note=f"Success rate: of the {rows[0]['right_before']} images that the classifier gets right, those that it "
        "gets wrong after the attack, predicted anew from the stored images. Images in [0, 1]; RMS is L2 over the "
        "square root of the number of values, the scale of the paper's Table 2. Bold: RMS at least .025, L-inf at "
        "least .5, as in the paper.",
        bold=bold,
    )


def _blocks(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the attacks, successful images first, then all."""
    found = dict.fromkeys((row["attack"], row["subset"]) for row in rows)
    return sorted(found, key=lambda block: SUBSETS.index(block[1]))


def _quantiles(rows: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    for norm in NORMS:
        found = sorted((row for row in rows if row["norm"] == norm), key=lambda row: SUBSETS.index(row["subset"]))
        paper = f" Bold: mean at least {LARGE[norm]}, as in the paper." if norm in LARGE else ""
        yield Table(
            title=f"{NAMES[norm]} of the changes",
            header=["attack", "images", "n", "mean", *(f"{100 * share:g} %" for share in QUANTILES.values())],
            rows=[[row[name] for name in ("attack", "subset", "n", "mean", *QUANTILES)] for row in found],
            note=f"Mean and quantiles over the images.{paper}",
            bold=[(y, 3) for y, row in enumerate(found) if row["large"]],
        )


def _costs(measured: Mapping[str, Measured], meta: Mapping[str, Any]) -> Table:
    return Table(
        title="Cost per image",
        header=["attack", "forward passes", "backward passes", "milliseconds", "settings"],
        rows=[
            [
                name,
                each.cost.forward_passes,
                each.cost.backward_passes,
                1000 * each.cost.seconds,
                meta["attacks"][name],
            ]
            for name, each in measured.items()
        ],
        note=f"Mean over {meta['sample_images']} test images attacked as one batch on {meta['device']} with "
        f"{torch.get_num_threads()} thread(s). Times vary between runs; passes do not.",
    )


def _picture(rows: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> bytes:
    names = {"l2": "L2 norm of the change, images in [0, 1]", "linf": "L-inf norm of the change, images in [0, 1]"}
    panels = {
        axis: {
            row["attack"]: None if row["n"] == 0 else [*(row[name] for name in QUANTILES), row["mean"]]
            for row in rows
            if (row["norm"], row["subset"]) == (norm, "successful")
        }
        for norm, axis in names.items()
    }
    title = f"Successful attacks on {meta['data']}: 5, 25, 50, 75 and 95 % quantiles, mean (diamond)"
    return boxes(title, panels)


def _finding(measured: Mapping[str, Measured], rows: Sequence[Mapping[str, Any]]) -> str:
    known = {name: each.success_rate for name, each in measured.items() if each.success_rate is not None}
    if not known:
        return "The classifier gets no test image right, so that no attack can succeed."
    rates = ", ".join(f"{name} {rate:.3f}" for name, rate in sorted(known.items(), key=lambda pair: -pair[1]))
    count = rows[0]["right_before"]
    return f"Of the {count} images that the classifier gets right, these shares turn wrong: {rates}. {_sizes(rows)}"


def _sizes(rows: Sequence[Mapping[str, Any]]) -> str:
    wanted = [row for row in rows if row["subset"] == "successful" and row["n"]]
    lengths = sorted((row["median"], row["attack"]) for row in wanted if row["norm"] == "l2")
    if not lengths:
        return "No attack fooled an image."
    told = ", ".join(f"{name} {value:.3f}" for value, name in lengths)
    large = {norm: [row["attack"] for row in wanted if row["norm"] == norm and row["large"]] for norm in LARGE}
    beyond = "; ".join(
        f"mean {NAMES[norm]} at least {LARGE[norm]}: {', '.join(names) or 'none'}" for norm, names in large.items()
    )
    return f"Median L2 of the changes that fool, smallest first: {told}. By the paper's thresholds, {beyond}."
