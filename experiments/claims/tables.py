"""The tables of several whole pipelines."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.claims.estimates import VALUES, Estimate, contrasts, matrix, unseen
from experiments.claims.runs import Repetition
from experiments.claims.together import PIPELINES, Together
from experiments.detection.transfer.matrix import UNTRAINED
from experiments.results.result import Table


def claims_table(claims: Sequence[Together], names: Sequence[str]) -> Table:
    """Return the verdicts of all pipelines together, and of each.

    Args:
        claims: Judged.
        names: Of the pipelines.
    """
    return Table(
        title="The paper's claims (Schut & Gal) on all pipelines together",
        header=["", "claim", "together", *names],
        rows=[[each.number, each.text, each.verdict, *(claim.verdict for claim in each.each)] for each in claims],
        note=f"Together: what every pipeline says, where there are at least {PIPELINES}; else it is not decided. The "
        "numbers behind each verdict stand in that run's own report.",
    )


def tables(repetitions: Sequence[Repetition]) -> list[Table]:
    """Return the tables of numbers: attacks not trained on, differences, the matrix, the classifiers.

    Args:
        repetitions: The pipelines.
    """
    found = [each.found for each in repetitions]
    names = [each.name for each in repetitions]
    count = f"Mean and standard deviation over {len(found)} pipelines, of means over their detectors' seeds"
    by_value = unseen(found)
    overview = Table(
        title="Attacks that a detector was not trained on",
        header=["detector", *VALUES.values()],
        rows=[
            [detector, *(str(by_value[value][detector]) if detector in by_value[value] else None for value in VALUES)]
            for detector in by_value["auroc"]
        ],
        note=f"{count} and over all such attacks, all pairs.",
    )
    cells = matrix(found)
    return [
        overview,
        _differences(found, names),
        *(_matrix(cells[value], f"{VALUES[value]}, all pairs", f"{count}.") for value in VALUES),
        _classifiers(repetitions),
    ]


def _differences(found: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    rows = []
    for name, records in contrasts(found).items():
        estimate = Estimate([record["value"] for record in records])
        low, high = estimate.interval or (None, None)
        each = [f"{r['value']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]" for r in records]
        rows.append([name, estimate.mean, low, high, *each])
    return Table(
        title="Differences in AUROC, pipeline by pipeline",
        header=["difference", "mean", "low", "high", *names],
        rows=rows,
        note="Low and high: the 95 % interval of the mean over pipelines, by Student's t, which is wide for three. "
        "Beside it each pipeline with its own interval, which resamples images and the detectors' seeds.",
    )


def _matrix(cells: Mapping[tuple[str, str | None, str, str], Estimate], title: str, note: str) -> Table:
    lines: dict[tuple[str, str], dict[str, Estimate]] = {}
    for (detector, trained_on, tested_on, subset), estimate in cells.items():
        if subset == "all" and estimate.known:
            lines.setdefault((detector, trained_on or UNTRAINED), {})[tested_on] = estimate
    attacks = list(dict.fromkeys(attack for line in lines.values() for attack in line))
    rows = [[*key, *(str(line[a]) if a in line else None for a in attacks)] for key, line in lines.items()]
    return Table(title, ["detector", "trained on", *attacks], rows, note)


def _classifiers(repetitions: Sequence[Repetition]) -> Table:
    rows = []
    attacks = repetitions[0].found["transfer"]["meta"]["attacks"]
    for each in repetitions:
        contents = each.found["transfer"]
        rates = {row["tested_on"]: row["attack_success_rate"] for row in contents["rows"]}
        seeds = ", ".join(map(str, contents["meta"]["seeds"]))
        rows.append([each.name, seeds, contents["meta"]["classifier_accuracy"], *(rates.get(a) for a in attacks)])
    return Table(
        title="The pipelines",
        header=["run", "seeds of the detectors", "classifier's accuracy", *(f"success of {a}" for a in attacks)],
        rows=rows,
        note="The first seed is also that of classifier and saliency model.",
    )
