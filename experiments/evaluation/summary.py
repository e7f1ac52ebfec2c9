"""The top of the report: the data, the best detector, its fate under white-box attacks, and reasons for distrust."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from experiments.claims.evidence import Reports
from experiments.detection.transfer.records import read, success_rates
from experiments.evaluation.standings import FIELDS, DetectorMeans, Row, standings
from experiments.results.bootstrap import Interval, clopper_pearson
from experiments.results.levels import DETECTED, NOISY, SEEDS, mistakes_noise
from experiments.results.verdicts import FEWEST, all_above
from experiments.white_box.records import WORST, rate_over_seeds

TRANSFER: Final = "transfer"
WHITE_BOX: Final = "white-box"

NOTE: Final = (
    "Brackets hold 95 % intervals over images, and over seeds where there are several. Every mean is over the same "
    "pairs of an attack trained on and another one tested on, for all detectors."
)

_WIDE: Final = 0.3
"""Intervals at least this wide are explained."""

_MOSTLY: Final = 0.5
"""Success rate below which an attack mostly fails."""

_ATTACKED: Final = ("detector", "phase", "attack", "seed", "n_right", "sr_at_5", "sr_at_5_low", "sr_at_5_high")


@dataclass(frozen=True)
class Statement:
    """A sentence of the summary.

    Attributes:
        text: The sentence; code stands between backticks.
        section: The protocol whose section of the report says more; empty: none does.
    """

    text: str
    section: str = ""


def summarise(reports: Reports, named: str) -> dict[str, list[Statement]]:
    """Return the sentences of the summary under their headings, with a sentence for each missing measurement.

    Args:
        reports: The contents of each protocol's JSON, by its name.
        named: The options that name the run on the command line.
    """
    rows = [row for row in _rows(reports, TRANSFER, FIELDS) if row["n"]]
    meta = reports[TRANSFER]["meta"] if TRANSFER in reports else {}
    compared = [row for row in rows if row["subset"] == _subset(meta)]
    ranked = standings(compared, max((row["n"] for row in rows), default=0))
    return {
        "The data and the classifier": [*_data(reports), *_classifier(meta, rows, named)],
        "The best detector of attacks that it was not trained on": _best(ranked, meta, named),
        "What a white-box attacker leaves of it": _white_box(reports, ranked, named),
        "What to distrust": [*_doubts(reports, rows, ranked), *_flags(reports)],
    }


def _rows(reports: Reports, protocol: str, fields: Iterable[str]) -> list[Row]:
    """Return a protocol's rows with all fields; an older version wrote others."""
    return [row for row in reports[protocol]["rows"] if {*fields} <= row.keys()] if protocol in reports else []


def _subset(meta: Mapping[str, Any]) -> str:
    """Return the subset of the pairs by which the protocol ranks the detectors."""
    return str(meta.get("headline_subset", "all"))


def _data(reports: Reports) -> list[Statement]:
    meta = next(
        (report["meta"] for report in reports.values() if {"data", "test_images"} <= report["meta"].keys()), None
    )
    if meta is None:
        return []
    classes = f" of {meta['classes']} classes" if "classes" in meta else ""
    return [Statement(f"{meta['data']}: {meta['test_images']} test images{classes}.")]


def _classifier(meta: Mapping[str, Any], rows: Sequence[Row], named: str) -> list[Statement]:
    accuracy, images = meta.get("classifier_accuracy"), meta.get("test_images")
    if accuracy is None or not images:
        return [Statement(f"The classifier's accuracy is not known. {_run(TRANSFER, named)}")]
    right = f"The classifier gets {_percent(clopper_pearson(accuracy, images))} of them right."
    return [Statement(right, TRANSFER), *_attacks(success_rates(read(rows)))]


def _attacks(rates: Mapping[str, Interval]) -> list[Statement]:
    """Return sentences about the attacks on the classifier alone."""
    if not rates:
        return []
    low, high = (end(rates, key=lambda name: rates[name].value) for end in (min, max))
    ends = " and ".join(f"{_percent(rates[name])} ({name})" for name in dict.fromkeys([low, high]))
    fooled = f"{'They turn between' if low != high else 'It turns'} {ends} of these wrong."
    unaware = f"Attacks that know the classifier, not the detectors: {', '.join(rates)}."
    return [Statement(f"{unaware} {fooled}", TRANSFER)]


def _best(ranked: Sequence[DetectorMeans], meta: Mapping[str, Any], named: str) -> list[Statement]:
    if not meta:
        return [Statement(f"Not measured. {_run(TRANSFER, named)}")]
    if not ranked:
        return [Statement("Not known: it takes two attacks, and a detector that was trained on one of them.", TRANSFER)]
    best, others = ranked[0], ranked[1:]
    pairs = "images" if _subset(meta) == "all" else f"or more {_subset(meta)} pairs"
    said = [f"{best.detector}: mean AUROC {best.auroc}, {best.pairs} {pairs} under each attack."]
    if _subset(meta) != "all":
        said.append("Only these pairs count, for most attacks fail on most images.")
    if best.auroc.value < DETECTED:
        said.append(f"That is poor: below {DETECTED}, an attack does not count as detected.")
    said += [_at_threshold(best, meta), *_noise(best), *(_behind(best, other, meta, named) for other in others[:1])]
    return [Statement(sentence, TRANSFER) for sentence in said]


def _at_threshold(best: DetectorMeans, meta: Mapping[str, Any]) -> str:
    threshold = (
        f"threshold at 5 % false positives, from {meta.get('calibration_images', 'the')} clean calibration images"
    )
    if best.found is None or best.flagged is None:
        return f"There is no {threshold}: they are too few."
    found, flagged = _percent(best.found), _percent(best.flagged)
    clean = f"{meta['test_images']} clean ones" if "test_images" in meta else "the clean ones"
    return f"Its {threshold}, finds {found} of the adversarial images and flags {flagged} of {clean}."


def _noise(best: DetectorMeans) -> list[str]:
    if best.against_noise is None:
        return []
    said = "noise, not attacks" if best.against_noise < NOISY else "attacks, not any noise"
    doubtful = NOISY <= best.against_noise < DETECTED
    ending = "it mistakes some noise for attacks" if doubtful else f"it finds {said}"
    return [f"Against noise of the same norms its mean AUROC is {best.against_noise:.3f}: {ending}."]


def _behind(best: DetectorMeans, second: DetectorMeans, meta: Mapping[str, Any], named: str) -> str:
    """Say which detector is second, and whether it differs from the best."""
    said, apart = f"Second is {second.detector}, {second.auroc}", meta.get("best_two") or {"name": ""}
    if {*apart["name"].split(" - ")} != {best.detector, second.detector}:
        return f"{said}. Whether the two differ was not computed. {_run(TRANSFER, named)}"
    ends = Interval(*(apart[key] for key in ("value", "low", "high")))
    if best.pairs < FEWEST or all_above([ends]) == "not decided":
        return f"{said}; the two do not differ beyond noise, their difference is {ends}."
    alone = ", for the images alone" if len(meta.get("seeds", ())) < SEEDS else ""
    return f"{said}; the two differ by more than chance{alone}: by {ends}."


def _white_box(reports: Reports, ranked: Sequence[DetectorMeans], named: str) -> list[Statement]:
    protocol = next((name for name in reports if name.startswith(WHITE_BOX)), WHITE_BOX)  # also of one's own detector
    rows = [row for row in _rows(reports, protocol, _ATTACKED) if row["attack"] == WORST]
    said = []
    for phase, when in (("before", ""), ("after", "Retrained against it: ")):
        lost = _lost([row for row in rows if row["phase"] == phase])
        least = min(lost, key=lambda name, of=lost: of[name].value, default="")  # type: ignore[misc]
        for name in dict.fromkeys(
            [*(detector.detector for detector in ranked[:1] if detector.detector in lost), *filter(None, [least])]
        ):
            fewest = ", fewest of all" if name == least and len(lost) > 1 else ""
            won = f"{when}it wins {_percent(lost[name])} of {rows[0]['n_right']} images against {name}"
            said.append(f"{won}{fewest}.{_why_wide(lost[name], rows)}")
    if not said:
        return [Statement(f"Not measured. {_run(WHITE_BOX, named)} It takes long.")]
    won = "An attacker who knows the detector wins an image that turns wrong and passes the 5 % threshold."
    return [Statement(sentence, protocol) for sentence in [won, *(f"{text[0].upper()}{text[1:]}" for text in said)]]


def _why_wide(rate: Interval, rows: Sequence[Row]) -> str:
    """Say why an interval is wide, where other seeds are the reason."""
    seeds = len({row["seed"] for row in rows} - {None})
    wide = seeds > 1 and rate.high - rate.low > _WIDE
    return f" That is so wide because {seeds} seeds say little of others." if wide else ""


def _lost(rows: Sequence[Row]) -> dict[str, Interval]:
    """Return SR@5 by detector, with its interval over images and seeds."""
    by_detector: dict[str, list[Row]] = {}
    for row in rows:
        by_detector.setdefault(row["detector"], []).append(row)
    return {name: rate for name, mine in by_detector.items() if (rate := rate_over_seeds(mine)) is not None}


def _doubts(reports: Reports, rows: Sequence[Row], ranked: Sequence[DetectorMeans]) -> list[Statement]:
    said = []
    of_detectors = next((name for name in (TRANSFER, WHITE_BOX) if name in reports), None)
    seeds = SEEDS if of_detectors is None else len(reports[of_detectors]["meta"].get("seeds", ()))
    if seeds < SEEDS:
        sentence = f"Seeds of detector training: {seeds}. It takes {SEEDS} to compare detectors."
        said.append(Statement(sentence, of_detectors or ""))
    for name, contents in reports.items():
        images = contents["meta"].get("attacked_images", contents["meta"].get("test_images", FEWEST))
        if images < FEWEST:
            said.append(Statement(f"{name} has {images} images: fewer than {FEWEST} decide nothing.", name))
    failing = [attack for attack, share in success_rates(read(rows)).items() if share.value < _MOSTLY]
    if failing:
        said.append(Statement(f"Attacks that mostly fail, on images that stay right: {', '.join(failing)}.", TRANSFER))
    noisy = [detector.detector for detector in ranked if mistakes_noise(detector.auroc.value, detector.against_noise)]
    if noisy:
        said.append(Statement(f"Detectors of noise rather than of attacks: {', '.join(noisy)}.", TRANSFER))
    return said


def _flags(reports: Reports) -> list[Statement]:
    """Name the flags that are raised."""
    raised = {
        name: [flag["name"] for flag in report["report"]["flags"] if flag["raised"]] for name, report in reports.items()
    }
    said = [Statement(f"Flagged by {name}: {'; '.join(flags)}.", name) for name, flags in raised.items() if flags]
    return said or [Statement("No flag is raised.")]


def _run(protocol: str, named: str) -> str:
    return f"Run `python evaluate.py {protocol} {named}`."


def _percent(share: Interval) -> str:
    """Return a share as `81 % [77, 85]`, with a decimal where the interval is that narrow."""
    digits = 1 if share.high - share.low < 0.01 else 0  # noqa: PLR2004 - a percentage point
    value, low, high = (f"{100 * end:.{digits}f}" for end in (share.value, share.low, share.high))
    return f"{value} % [{low}, {high}]"
