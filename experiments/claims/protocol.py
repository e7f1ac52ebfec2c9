"""`evaluate.py pipelines`: one experiment on several whole pipelines, judged together (PROTOCOL B12)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from experiments.claims.estimates import Estimate, contrasts, matrix, unseen
from experiments.claims.evidence import Reports, interval_of
from experiments.claims.paper import JUDGED
from experiments.claims.runs import Repetition, digests_of, repetitions
from experiments.claims.tables import claims_table, tables
from experiments.claims.together import PIPELINES, Together, judge_together
from experiments.results.charts import intervals
from experiments.results.result import Flag, Result
from experiments.results.verdicts import counted
from experiments.study.study import Study, provenance


def pipelines(study: Study, *, others: list[str] | None = None) -> Result:
    """Return the claims and the mean numbers of several runs of one experiment, from their reports.

    Args:
        study: The study of the first run.
        others: Folders of evaluated runs of the same experiment with other seeds; null: RUN_1, RUN_2, ...
    """
    repeated = repetitions(study.run, others)
    reports, names = [repetition.reports for repetition in repeated], [repetition.name for repetition in repeated]
    judged = judge_together(reports)
    meta = provenance(study.command, {}) | {
        "runs": {repetition.name: _meta(repetition) for repetition in repeated},
        "claims": [
            {"number": claim.number, "text": claim.text, "verdict": claim.verdict}
            | {"each": {name: claim.verdict for name, claim in zip(names, claim.claims, strict=True)}}
            for claim in judged
        ],
        "fields": _FIELDS,
    }
    differences = {name: list(map(interval_of, records)) for name, records in contrasts(reports).items()}
    return Result(
        protocol="pipelines",
        title=f"{len(repeated)} whole pipelines together",
        question="Do the claims still hold when classifier, saliency model and detectors are trained anew with other "
        "seeds?",
        finding=" ".join([*_settled(judged, len(reports)), *_best_and_worst(unseen(reports)["auroc"])]),
        meta=meta,
        rows=_rows(reports),
        tables=[claims_table(judged, names), *tables(repeated)],
        figures={"": intervals("Differences in AUROC, each pipeline with its 95 % interval", differences, names)},
        flags=_flags(repeated, judged),
    )


_FIELDS: Final = {
    "value": "a field of transfer.json",
    "mean": "over pipelines, of the mean over the detectors' seeds",
    "deviation": "standard deviation over pipelines; null below two",
    "lowest, highest": "of the pipelines",
    "pipelines": "how many have the value",
}


def _meta(repetition: Repetition) -> dict[str, Any]:
    meta = repetition.reports["transfer"]["meta"]
    return {
        "folder": str(repetition.run.folder),
        **{key: meta[key] for key in ("seeds", "classifier_accuracy")},
        "commands": {name: report["meta"]["command"] for name, report in repetition.reports.items()},
        "checkpoints": meta["checkpoints"],
        "inputs": digests_of(repetition),
    }


def _rows(reports: Sequence[Reports]) -> list[dict[str, Any]]:
    return [
        {
            **dict(zip(("detector", "trained_on", "tested_on", "subset"), cell, strict=True)),
            "value": value,
            "mean": estimate.mean,
            "deviation": estimate.deviation,
            "lowest": min(estimate.known, default=None),
            "highest": max(estimate.known, default=None),
            "pipelines": len(estimate.known),
        }
        for value, cells in matrix(reports).items()
        for cell, estimate in cells.items()
    ]


def _settled(judged: Sequence[Together], count: int) -> Iterator[str]:
    if count < PIPELINES:
        yield f"{counted(count, 'pipelines')} settle no claim, it takes {PIPELINES}."
        return
    verdicts = [claim.verdict for claim in judged]
    yield f"{count} whole pipelines are judged together, on {len(judged)} claims."
    holding, failing = verdicts.count("holds"), verdicts.count("does not hold")
    yield f"Claims that hold on each of them: {holding}; claims that do not hold on any: {failing}."


def _best_and_worst(aurocs: Mapping[str, Estimate]) -> Iterator[str]:
    means = {name: estimate.mean for name, estimate in aurocs.items() if estimate.mean is not None}
    for word, pick in (("highest", max), ("lowest", min)) if means else ():
        name = pick(means, key=means.__getitem__)
        yield f"The mean AUROC on attacks that a detector was not trained on is {word} for {name}, {aurocs[name]}."


def _flags(repeated: Sequence[Repetition], judged: Sequence[Together]) -> list[Flag]:
    split = ", ".join(claim.number for claim in judged if claim.split)
    missing = {
        repetition.name: ", ".join(name for name in JUDGED if name not in repetition.reports) for repetition in repeated
    }
    lacking = "; ".join(f"{name}: {protocols}" for name, protocols in missing.items() if protocols)
    options = {
        name: {
            str(repetition.reports[name]["meta"].get("options"))
            for repetition in repeated
            if name in repetition.reports
        }
        for name in JUDGED
    }
    unlike = ", ".join(name for name, sets in options.items() if len(sets) > 1)
    versions = {str(report["meta"]["versions"]) for repetition in repeated for report in repetition.reports.values()}
    few = f"{len(repeated)} pipelines; a claim needs {PIPELINES}."
    return [
        Flag("Few pipelines", len(repeated) < PIPELINES, few),
        _flag(
            "Pipelines that contradict each other",
            split and f"On one pipeline it holds and on another it does not: {split}.",
            "No claim holds on one pipeline and does not on another.",
        ),
        _flag(
            "Protocols that were not run",
            lacking and f"Claims that need them are not decided - {lacking}.",
            "Every pipeline went through all of them.",
        ),
        _flag(
            "Options of the evaluation",
            unlike and f"Not every pipeline was evaluated with the same options of {unlike}.",
            "The same for every pipeline.",
        ),
        _flag(
            "Versions of libraries",
            f"The reports were made with {len(versions)} sets of versions." if len(versions) > 1 else "",
            "One and the same.",
        ),
    ]


def _flag(name: str, problem: str, otherwise: str) -> Flag:
    """Return a flag, raised if there is a problem."""
    return Flag(name, bool(problem), problem or otherwise)
