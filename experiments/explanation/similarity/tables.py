"""The tables of `evaluate.py similarity`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import torch

from experiments.explanation.similarity import paper
from experiments.explanation.similarity.changes import ANOTHER, CLEAN, SECOND_SEED, Change
from experiments.explanation.similarity.findings import RULES
from experiments.explanation.similarity.records import METRICS, OTHERS, SimilarityRecords
from experiments.results.bootstrap import Interval
from experiments.results.result import Table
from experiments.results.verdicts import Claim

ALL_MEASURES: Final = {**METRICS, **OTHERS}

MEASURES: Final = (
    "Spearman: of the pixels' ranks, ties averaged. Mean SSIM: torchmetrics', the data range being that of both maps "
    "together. HoG: Pearson correlation of the pictures of the histograms of gradients, as in the paper's code (9 "
    "orientations, one cell for 16 pixels at 224). 1 is the same map, the row of a random map the floor; a "
    "constant map has no similarity and does not count. Brackets: 95 % bootstrap intervals over images."
)


def tables(records: SimilarityRecords, claims: Sequence[Claim]) -> list[Table]:
    """Return all tables; the first one, of the paper's findings, is printed."""
    lines = [[claim.text, claim.verdict, claim.statistic] for claim in claims]
    return [
        Table("The paper's findings", ["finding", "here it", "by"], lines, RULES),
        _targeted(records),
        _untargeted(records),
        _beside_the_paper(records),
        _controls(records),
        _oracle(records),
        _attacks(records),
        _targets(records),
        _undefined(records),
    ]


def _targeted(records: SimilarityRecords) -> Table:
    """Return Table 1."""
    settings = records.settings
    attack = settings.all_targets
    header = ["method", "n"]
    for title in METRICS.values():
        header += [title, f"{title}, paper"]
    header += list(OTHERS.values())
    lines = []
    for method in records.methods:
        if method not in records.targeted_methods:
            lines.append([method, 0, *[None] * (len(header) - 2)])
            continue
        line: list[Any] = [method, int((~records.of(method, "spearman", attack).isnan()).sum())]
        for metric in METRICS:
            line += [_text(records.mean(method, metric, attack)), records.reported(method, metric, attack)]
        lines.append(line + [_text(records.mean(method, metric, attack)) for metric in OTHERS])
    slow = [name for name in records.methods if name in records.slow]
    absent = f" Too slow for so many maps, and left out unless --methods names it: {', '.join(slow)}." if slow else ""
    note = (
        f"FGSM of epsilon {settings.targeted_epsilon:g} towards each of {len(settings.targets)} classes; an image "
        f"counts once, with its mean over them. {MEASURES} Mean SSIM, range 2: the range scikit-image assumes for maps "
        f"in [-1, 1], as in the paper: it decides how alike maps of small values seem.{absent}"
    )
    bold = [(_least(lines, column), column) for column in (2, 4, 6) if any(line[column] for line in lines)]
    return Table("Targeted attacks (Table 1): mean similarity", header, lines, f"{note} Bold: the least similar.", bold)


def _least(lines: Sequence[Sequence[Any]], column: int) -> int:
    """Return the row with the smallest number in a column of intervals as text."""
    known = [row for row, line in enumerate(lines) if line[column]]
    return min(known, key=lambda row: float(lines[row][column].split()[0]))


def _by_measure(
    records: SimilarityRecords,
    title: str,
    columns: Mapping[str, Callable[[str, str], Interval | None]],
    note: str,
    metrics: Mapping[str, str] = METRICS,
) -> Table:
    """Return a table with a line for each method and measure, from which each column makes an interval."""
    lines = [
        [method, name, *(_text(column(method, metric)) for column in columns.values())]
        for method in records.methods
        for metric, name in metrics.items()
    ]
    return Table(title, ["method", "measure", *columns], lines, note)


def _untargeted(records: SimilarityRecords) -> Table:
    """Return Figure 2 as a table."""
    columns = {f"epsilon {each.epsilon:g}": partial(records.mean, change=each) for each in records.settings.untargeted}
    return _by_measure(records, "Untargeted attacks (Figure 2): mean similarity", columns, MEASURES, ALL_MEASURES)


def _beside_the_paper(records: SimilarityRecords) -> Table:
    lines: list[list[Any]] = []
    for method in records.paper.values():
        for metric, title in METRICS.items():
            for attack in [*records.settings.untargeted, records.settings.all_targets]:
                value, epsilon = records.reported(method, metric, attack), attack.epsilon or 0.0
                if value is not None and records.known(method, attack):
                    mean = records.mean(method, metric, attack)
                    apart = None if mean is None else f"{mean.value - value:+.3f}"
                    sizes = [f"{epsilon:g}", f"{2 * epsilon:g}"]
                    lines.append([method, attack.kind, *sizes, title, value, _text(mean), apart])
    header = ["method", "attack", "epsilon", "paper's epsilon", "measure", "paper", "here", "here - paper"]
    note = f"Curves digitised, +-.003; the paper's epsilons are for images in [-1, 1]. {paper.DEFECTS}"
    return Table("Beside the paper's numbers", header, lines, note)


def _controls(records: SimilarityRecords) -> Table:
    epsilon, count = records.contested, records.count
    attack, noise = Change("untargeted", epsilon), Change("sign noise", epsilon)
    fooled = int(records.fooled(attack).sum())
    columns = {
        f"fooled ({fooled})": partial(records.mean, change=attack, subset="fooled"),
        f"not fooled ({count - fooled})": partial(records.mean, change=attack, subset="not fooled"),
        f"sign noise ({count})": partial(records.mean, change=noise),
        f"fresh noise ({count})": partial(records.mean, change=SECOND_SEED),
        f"another image ({count})": partial(records.mean, change=ANOTHER),
    }
    note = (
        f"Similarity of a clean image's map to that of: its version under FGSM of epsilon {epsilon:g} (at which the "
        "share of fooled images is nearest to a half), by whether the prediction changes; the image with noise of "
        "-epsilon or epsilon in each value; the same image with other noise inside of the method (1 for a method "
        "without any); the next image. In brackets the images."
    )
    return _by_measure(records, "Controls", columns, note)


def _oracle(records: SimilarityRecords) -> Table:
    columns = {f"epsilon {each:g}": partial(records.auroc, epsilon=each) for each in records.settings.epsilons}
    note = (
        "AUROC of a detector that is told the clean image's map, an oracle: similarity to it, under FGSM against under "
        "sign noise of the same epsilon, lower being attacked. .5: maps move under the attack as they do under noise."
    )
    return _by_measure(records, "Can an oracle tell attacks from noise?", columns, note)


def _attacks(records: SimilarityRecords) -> Table:
    lines = [
        [
            f"{attack.epsilon:g}",
            f"{2 * (attack.epsilon or 0.0):g}",
            records.count,
            *(
                _text(records.interval(records.fooled(change).double()))
                for change in (attack, Change("sign noise", attack.epsilon))
            ),
        ]
        for attack in records.settings.untargeted
    ]
    header = ["epsilon", "paper's epsilon", "n", "fooled by FGSM", "changed by sign noise"]
    return Table("The untargeted attack", header, lines, "Share of images whose predicted class changes.")


def _targets(records: SimilarityRecords) -> Table:
    attacks, before = records.settings.targeted, records.predictions[CLEAN]
    success = [
        torch.eq(records.predictions[each], each.target or 0)
        .double()
        .masked_fill(torch.eq(before, each.target or 0), torch.nan)
        for each in attacks
    ]
    pairs = [int((~values.isnan()).sum()) for values in success]
    names = [*(records.classes[target] for target in records.settings.targets), "all"]
    columns = {
        f"{name}, {title}": (name, metric)
        for name in records.paper.values()
        if name in records.targeted_methods
        for metric, title in METRICS.items()
    }
    each_row = zip(
        names,
        [*pairs, sum(pairs)],
        [*success, torch.stack(success).nanmean(0)],
        [*attacks, records.settings.all_targets],
        strict=True,
    )
    lines = [
        [name, n, _text(records.interval(values)), *(_text(records.mean(*col, attack)) for col in columns.values())]
        for name, n, values, attack in each_row
    ]
    note = (
        f"FGSM of epsilon {records.settings.targeted_epsilon:g}. Success: the target is predicted, of the n images "
        "not predicted as it before (all: of these pairs, an image counts once); similarities are over all images, as "
        "in the paper."
    )
    title = "The targeted attack, by target (Figure 4)"
    return Table(title, ["target", "n", "success", *columns], lines, note)


def _undefined(records: SimilarityRecords) -> Table:
    lines = []
    for method in records.methods:
        counts = [records.undefined(method, metric) for metric in ALL_MEASURES]
        lines.append([method, counts[0][1], *(count for count, _ in counts)])
    note = "Pairs of maps of which one is constant, or has a constant picture of gradients; no mean counts them."
    return Table("Similarities that are not defined", ["method", "pairs", *ALL_MEASURES.values()], lines, note)


def _text(mean: Interval | None) -> str | None:
    return None if mean is None else str(mean)
