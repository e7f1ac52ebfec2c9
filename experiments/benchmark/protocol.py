"""`evaluate.py benchmark`: all detectors of a run, and the published ones, in one table, with a card for each."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from attacks.checks import at_least, one_of
from experiments.benchmark.call import PRESETS, PROTOCOLS
from experiments.benchmark.card import card_of
from experiments.benchmark.report import figures_of
from experiments.benchmark.table import FIELDS, few_flag, finding, of_detector, row_of, table_of
from experiments.museum.published import BREAKS
from experiments.results.charts import heat_maps
from experiments.results.result import Result
from experiments.study.contenders import Contender
from experiments.study.ranks import first
from experiments.study.study import Study
from experiments.white_box.plan import PresetName
from experiments.white_box.subjects import start_of
from saliency.files import write_text

CARDS: Final = "cards"
"""Folder of the cards, below the report's."""


def benchmark(
    study: Study, *, preset: PresetName = "standard", images: int | None = None, published: bool = True
) -> Result:
    """Compare all detectors in one table: detection, false positives, success of white-box attacks, and cost.

    It runs `transfer`, `corruptions`, `speed` and `white-box`, whose reports stay as they are. The first seed counts,
    and of the trained detectors those of the attack that the suite takes. A card for each detector is written to
    RUN/report/cards.

    Args:
        study: A run whose detectors are trained.
        preset: Extent of the measurements: quick, standard or thorough.
        images: Test images of `corruptions` and `white-box`; null: as many as the preset says.
        published: Whether the published detectors that the run lacks take part as well; where --detectors names
            detectors, these alone do.
    """
    one_of(tuple(PRESETS), preset=preset)
    at_least(1, whole=True, **({} if images is None else {"images": images}))
    wanted = _study_of(study, published=published)
    results = {name: _result(wanted, name, preset, images) for name in PROTOCOLS}
    trained_on, first = start_of(study.run), study.run.settings.seeds[0]
    chosen = [
        contender
        for contender in wanted.contenders
        if contender.trained_on in {None, trained_on} and contender.seed in {None, first}
    ]
    rows = [_measured(wanted, contender, preset, results) for contender in chosen]
    suite = results["white-box"].meta
    meta = wanted.meta() | {
        "fields": FIELDS,
        "preset": preset,
        "trained_on": trained_on,
        "epsilon": suite["epsilon"],
        "attacked_images": suite["attacked_images"],
        "corrupted_images": results["corruptions"].meta["attacked_images"],
        "suite": suite["suite"],
        "remarks": [contender.remark for contender in chosen if contender.remark],
        "left_out": wanted.left_out,
    }
    return Result(
        protocol="benchmark",
        title="All detectors in one table",
        question="What does each detector find, what does it flag wrongly, what do attacks that know it win, and what "
        "does it cost?",
        finding=finding(rows),
        meta=meta,
        rows=rows,
        tables=[table_of(rows, meta)],
        figures={"": _chart(rows, meta)},
        flags=[few_flag(rows), *(flag for result in results.values() for flag in result.flags if flag.raised)],
    )


def _study_of(study: Study, *, published: bool) -> Study:
    """Return a study of the detectors that take part."""
    if study.detectors is not None:
        return study
    settings = study.run.settings
    free = settings.sections["training_free"]
    entries = [*(entry["model"] for entry in settings.detectors.values()), *free.values()]
    there = {entry["class_path"] for entry in entries}
    paths = dict.fromkeys(entry.detector for entry in BREAKS if published and entry.detector not in there)
    return study.of_detectors([*settings.detectors, *free, *paths], named=False)


def _result(study: Study, name: str, preset: PresetName, images: int | None) -> Result:
    options: dict[str, Any] = dict(PRESETS[preset].get(name, {}))
    if name == "white-box":
        first = study.run.settings.seeds[:1]
        options |= {"preset": preset, "seeds": first, "curve_images": 0, "remedies": "auto"}
    if images is not None and name in {"white-box", "corruptions"}:
        options["images"] = images
    return PROTOCOLS[name](study, **options)


def _measured(study: Study, contender: Contender, preset: str, results: Mapping[str, Result]) -> dict[str, Any]:
    """Return a detector's row, and write its card."""
    rows = of_detector(results, contender.name, contender.trained_on)
    mine = {name: [row for row in of if row["seed"] == contender.seed] for name, of in rows.items()}
    own = {name: replace(result, rows=mine[name]) for name, result in results.items()}
    card = card_of(study, contender, preset, own, figures_of(own))
    path, text = study.run.report / CARDS / f"{contender.name}.json", json.dumps(card, indent=2, allow_nan=False)
    first(lambda: write_text(path, f"{text}\n"))
    return row_of(contender.name, contender.trained_on, mine, contender.fit_seconds)


def _chart(rows: list[dict[str, Any]], meta: Mapping[str, Any]) -> bytes:
    cells = {
        row["detector"]: {f"AUROC {attack}": value for attack, value in row["auroc"].items()}
        | {"TPR": row["tpr_at_5_fpr"], "FPR corrupted": row["false_positives"], "SR@5": row["sr_at_5"]}
        for row in rows
    }
    return heat_maps(f"All detectors, {meta['data']}", {"all": cells}, low=0.0, down="detector", across="")
