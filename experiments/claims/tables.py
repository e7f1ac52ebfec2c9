"""The tables of several whole pipelines."""

from collections.abc import Mapping, Sequence

from experiments.claims.estimates import VALUES, Cell, Estimate, contrasts, matrix, unseen
from experiments.claims.evidence import Reports
from experiments.claims.runs import Repetition
from experiments.claims.together import PIPELINES, Together
from experiments.detection.tables import rate_of
from experiments.detection.transfer.records import UNTRAINED, read, success_rates
from experiments.results.result import Table


def claims_table(judged: Sequence[Together], names: Sequence[str]) -> Table:
    """Return the verdicts of all pipelines together, and of each pipeline by its name."""
    return Table(
        title="The paper's claims (Schut & Gal) on all pipelines together",
        header=["", "claim", "together", *names],
        rows=[[row.number, row.text, row.verdict, *(claim.verdict for claim in row.claims)] for row in judged],
        note=f"Together: what every pipeline says, where there are at least {PIPELINES}; else it is not decided. The "
        "numbers behind each verdict stand in that run's own report.",
    )


def tables(repetitions: Sequence[Repetition]) -> list[Table]:
    """Return the tables of numbers: attacks not trained on, differences, the matrix, the classifiers."""
    reports = [repetition.reports for repetition in repetitions]
    count = f"Mean and standard deviation over {len(reports)} pipelines, of means over their detectors' seeds"
    columns, cells = unseen(reports), matrix(reports)
    overview = Table(
        title="Attacks that a detector was not trained on",
        header=["detector", *VALUES.values()],
        rows=[
            [detector, *(str(column[detector]) if detector in column else None for column in columns.values())]
            for detector in columns["auroc"]
        ],
        note=f"{count} and over all such attacks, all pairs.",
    )
    return [
        overview,
        _differences(reports, [repetition.name for repetition in repetitions]),
        *(_matrix(cells[value], f"{title}, all pairs", f"{count}.") for value, title in VALUES.items()),
        _classifiers(repetitions),
    ]


def _differences(reports: Sequence[Reports], names: Sequence[str]) -> Table:
    rows = []
    for name, records in contrasts(reports).items():
        estimate = Estimate([record["value"] for record in records])
        low, high = estimate.interval or (None, None)
        columns = ["{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**record) for record in records]
        rows.append([name, estimate.mean, low, high, *columns])
    return Table(
        title="Differences in AUROC, pipeline by pipeline",
        header=["difference", "mean", "low", "high", *names],
        rows=rows,
        note="Low and high: the 95 % interval of the mean over pipelines, by Student's t, which is wide for three. "
        "Beside it each pipeline with its own interval, which resamples images and the detectors' seeds.",
    )


def _matrix(cells: Mapping[Cell, Estimate], title: str, note: str) -> Table:
    lines: dict[tuple[str, str], dict[str, Estimate]] = {}
    for (detector, trained_on, tested_on, subset), estimate in cells.items():
        if subset == "all" and estimate.known:
            lines.setdefault((detector, trained_on or UNTRAINED), {})[tested_on] = estimate
    attacks = list(dict.fromkeys(attack for line in lines.values() for attack in line))
    rows = [[*key, *(str(line[a]) if a in line else None for a in attacks)] for key, line in lines.items()]
    return Table(title, ["detector", "trained on", *attacks], rows, note)


def _classifiers(repetitions: Sequence[Repetition]) -> Table:
    rows = []
    attacks = repetitions[0].reports["transfer"]["meta"]["attacks"]
    for repetition in repetitions:
        meta = repetition.reports["transfer"]["meta"]
        rates = success_rates(read(repetition.reports["transfer"]["rows"]))
        seeds = ", ".join(map(str, meta["seeds"]))
        accuracy = rate_of(meta["classifier_accuracy"], meta["test_images"])
        of_attacks = (str(rates[attack]) if attack in rates else None for attack in attacks)
        rows.append([repetition.name, seeds, meta["test_images"], accuracy, *of_attacks])
    return Table(
        title="The pipelines",
        header=[
            "run",
            "seeds of the detectors",
            "test images",
            "classifier's accuracy",
            *(f"success of {a}" for a in attacks),
        ],
        rows=rows,
        note="The first seed is also that of classifier and saliency model. Success: of the images that the classifier "
        "gets right. Brackets: 95 % intervals over images.",
    )
