"""`evaluate.py pipelines`: one experiment on several whole pipelines, judged together (PROTOCOL B12)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from experiments.claims.estimates import contrasts, matrix, unseen
from experiments.claims.paper import JUDGED
from experiments.claims.runs import Repetition, inputs, repetitions
from experiments.claims.tables import claims_table, tables
from experiments.claims.together import PIPELINES, Together, judge_together
from experiments.results.bootstrap import Interval
from experiments.results.charts import intervals
from experiments.results.result import Flag, Result
from experiments.study.study import Study, provenance


def pipelines(study: Study, *, others: list[str] | None = None) -> Result:
    """Return what a run and those that repeat it say together; reads their reports, computes nothing anew.

    Args:
        study: Of the first run.
        others: Folders of evaluated runs of the same experiment with other seeds; null: RUN_1, RUN_2, ...

    Raises:
        FileNotFoundError: If there is no other run, or one was not evaluated; says which command helps.
        ValueError: If they do not repeat each other.
    """
    repeated = repetitions(study.run, others)
    found = [each.found for each in repeated]
    claims = judge_together(found)
    names = [each.name for each in repeated]
    meta = provenance(study.command, {}) | {
        "runs": {each.name: _meta(each) for each in repeated},
        "claims": [
            {"number": claim.number, "text": claim.text, "verdict": claim.verdict}
            | {"each": {name: one.verdict for name, one in zip(names, claim.each, strict=True)}}
            for claim in claims
        ],
        "fields": _FIELDS,
    }
    return Result(
        protocol="pipelines",
        title=f"{len(repeated)} whole pipelines together",
        question="What of all this remains when classifier, saliency model and detectors are trained anew with other "
        "seeds?",
        finding=_finding(claims, found),
        meta=meta,
        rows=_rows(found),
        tables=[claims_table(claims, names), *tables(repeated)],
        figures={"": _picture(repeated)},
        flags=_flags(repeated, claims),
    )


_FIELDS: Final = {
    "value": "a field of transfer.json",
    "mean": "over pipelines, of the mean over the detectors' seeds",
    "deviation": "standard deviation over pipelines; null below two",
    "lowest, highest": "of the pipelines",
    "pipelines": "how many have the value",
}


def _meta(repetition: Repetition) -> dict[str, Any]:
    contents = repetition.found["transfer"]["meta"]
    return {
        "folder": str(repetition.run.folder),
        "seeds": contents["seeds"],
        "classifier_accuracy": contents["classifier_accuracy"],
        "commands": {name: each["meta"]["command"] for name, each in repetition.found.items()},
        "checkpoints": contents["checkpoints"],
        "inputs": inputs(repetition),
    }


def _rows(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "detector": detector,
            "trained_on": trained_on,
            "tested_on": tested_on,
            "subset": subset,
            "value": value,
            "mean": estimate.mean,
            "deviation": estimate.deviation,
            "lowest": min(estimate.known, default=None),
            "highest": max(estimate.known, default=None),
            "pipelines": len(estimate.known),
        }
        for value, cells in matrix(found).items()
        for (detector, trained_on, tested_on, subset), estimate in cells.items()
    ]


def _finding(claims: Sequence[Together], found: Sequence[Mapping[str, Any]]) -> str:
    """Return which claims all pipelines settle, and the detectors' mean AUROC."""
    settled = {
        verdict: [claim.number for claim in claims if claim.verdict == verdict]
        for verdict in ("holds", "does not hold", "not decided")
    }
    told = "; ".join(f"{verdict}: {', '.join(numbers)}" for verdict, numbers in settled.items() if numbers)
    aurocs = unseen(found)["auroc"]
    ranked = sorted(aurocs, key=lambda name: -(aurocs[name].mean or 0))
    means = ", ".join(f"{name} {aurocs[name]}" for name in ranked)
    return (
        f"Claims on {len(found)} pipelines together - {told}. Mean AUROC on attacks that a detector was not trained "
        f"on: {means or 'there are none'}."
    )


def _picture(repeated: Sequence[Repetition]) -> bytes:
    rows = {
        name: [Interval(record["value"], record["low"], record["high"]) for record in records]
        for name, records in contrasts([each.found for each in repeated]).items()
    }
    return intervals("Differences in AUROC, each pipeline with its 95 % interval", rows, [r.name for r in repeated])


def _flags(repeated: Sequence[Repetition], claims: Sequence[Together]) -> list[Flag]:
    split = [claim.number for claim in claims if claim.split]
    lacking = {each.name: [name for name in JUDGED if name not in each.found] for each in repeated}
    told = "; ".join(f"{name}: {', '.join(missing)}" for name, missing in lacking.items() if missing)
    options = {
        name: {str(each.found[name]["meta"].get("options")) for each in repeated if name in each.found}
        for name in JUDGED
    }
    unlike = [name for name, found in options.items() if len(found) > 1]
    versions = {str(contents["meta"]["versions"]) for each in repeated for contents in each.found.values()}
    return [
        Flag(
            "Few pipelines",
            len(repeated) < PIPELINES,
            f"{len(repeated)} pipelines; a claim needs {PIPELINES}.",
        ),
        Flag(
            "Pipelines that contradict each other",
            bool(split),
            f"On one pipeline it holds and on another it does not: {', '.join(split)}."
            if split
            else "No claim holds on one pipeline and does not on another.",
        ),
        Flag(
            "Protocols that were not run",
            bool(told),
            f"Claims that need them are not decided - {told}." if told else "Every pipeline went through all of them.",
        ),
        Flag(
            "Options of the evaluation",
            bool(unlike),
            f"Not every pipeline was evaluated with the same options of {', '.join(unlike)}."
            if unlike
            else "The same for every pipeline.",
        ),
        Flag(
            "Versions of libraries",
            len(versions) > 1,
            f"The reports were made with {len(versions)} sets of versions."
            if len(versions) > 1
            else "One and the same.",
        ),
    ]
