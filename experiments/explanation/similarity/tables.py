"""The tables of `evaluate.py similarity`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from experiments.explanation.evidence import shown
from experiments.explanation.similarity import paper
from experiments.explanation.similarity.changes import ANOTHER, SECOND_SEED, Change
from experiments.explanation.similarity.findings import RULES
from experiments.explanation.similarity.records import METRICS, OTHERS, SimilarityRecords
from experiments.results.bootstrap import PlainStatistic
from experiments.results.result import Table
from experiments.results.verdicts import Claim

ALL_MEASURES: Final = {**METRICS, **OTHERS}

MEASURES: Final = (
    "Spearman: rank correlation of the pixels, ties averaged. Mean SSIM: by torchmetrics, on the data range of both "
    "maps. HoG: Pearson correlation of images of the histograms of gradients, as in the paper's code (9 "
    "orientations, one cell for 16 pixels at 224). 1 means the same map; a random map shows the floor. A constant map "
    "has no similarity and does not count. Brackets: 95 % bootstrap intervals over images."
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
        means = {metric: records.mean(method, metric, attack) for metric in ALL_MEASURES}
        n = means["spearman"].n if means["spearman"] else 0
        line: list[Any] = [method, n]
        for metric in METRICS:
            line += [shown(means[metric], n), records.reported(method, metric, attack)]
        lines.append(line + [shown(means[metric], n) for metric in OTHERS])
    slow = [name for name in records.methods if name in records.slow]
    absent = f" Too slow for so many maps unless --methods names it: {', '.join(slow)}." if slow else ""
    note = (
        f"FGSM of epsilon {settings.targeted_epsilon:g} towards each of {len(settings.targets)} classes; an image "
        f"counts once, with its mean over them. The attack reaches its target on {shown(records.reached[-1])} of "
        f"{records.count} images. {MEASURES} Mean SSIM, range 2: on the range that scikit-image assumes for maps "
        f"in [-1, 1], as in the paper; it makes maps of small values seem alike.{absent}"
    )
    bold = [(_least(lines, column), column) for column in (2, 4, 6) if any(line[column] for line in lines)]
    return Table("Targeted attacks (Table 1): mean similarity", header, lines, f"{note} Bold: the least similar.", bold)


def _least(lines: Sequence[Sequence[Any]], column: int) -> int:
    """Return the row with the smallest number in a column of intervals as text."""
    filled = [row for row, line in enumerate(lines) if line[column]]
    return min(filled, key=lambda row: float(lines[row][column].split()[0]))


def _by_measure(
    records: SimilarityRecords,
    title: str,
    columns: Mapping[str, Callable[[str, str], PlainStatistic | None]],
    note: str,
    metrics: Mapping[str, str] = METRICS,
) -> Table:
    """Return a table with a line for each method and measure; each column is a statistic of the two."""
    lines = [
        [method, name, *(shown(column(method, metric)) for column in columns.values())]
        for method in records.methods
        for metric, name in metrics.items()
    ]
    return Table(title, ["method", "measure", *columns], lines, note)


def _untargeted(records: SimilarityRecords) -> Table:
    """Return Figure 2 as a table."""
    attacks = records.settings.untargeted
    columns = {_fools(records, attack): partial(records.mean, change=attack) for attack in attacks}
    note = f"{_counted(records)} {MEASURES}"
    return _by_measure(records, "Untargeted attacks (Figure 2): mean similarity", columns, note, ALL_MEASURES)


def _fools(records: SimilarityRecords, attack: Change) -> str:
    """Return the title of an attack's column, with its success."""
    return f"epsilon {attack.epsilon:g} (fools {records.fooled[attack]} of {records.count})"


def _counted(records: SimilarityRecords) -> str:
    return f"n = {records.count} images, less those whose similarity is not defined (last table)."


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
                    lines.append([method, attack.kind, *sizes, title, value, shown(mean, records.count), apart])
    header = ["method", "attack", "epsilon", "paper's epsilon", "measure", "paper", "here", "here - paper"]
    note = (
        f"n = {records.count} images, unless stated otherwise. The paper's curves are digitised, +-.003; its epsilons "
        f"are for images in [-1, 1]. {paper.DEFECTS}"
    )
    return Table("Beside the paper's numbers", header, lines, note)


def _controls(records: SimilarityRecords) -> Table:
    epsilon, count = records.contested, records.count
    attack, noise = Change("untargeted", epsilon), Change("sign noise", epsilon)
    fooled = records.fooled[attack]
    columns = {
        f"fooled ({fooled})": partial(records.mean, change=attack, subset="fooled"),
        f"not fooled ({count - fooled})": partial(records.mean, change=attack, subset="not fooled"),
        f"sign noise ({count})": partial(records.mean, change=noise),
        f"fresh noise ({count})": partial(records.mean, change=SECOND_SEED),
        f"another image ({count})": partial(records.mean, change=ANOTHER),
    }
    note = (
        f"Similarity of a clean image's map to another map. Fooled, not fooled: the image under FGSM of epsilon "
        f"{epsilon:g}, by whether the prediction changes; at this epsilon the share of fooled images is nearest to a "
        "half. Sign noise: the image with -epsilon or epsilon added to each value. Fresh noise: the same image, with "
        "another seed of the method (1 for a method that draws none). Another image: the next one. In brackets the "
        "number of images, less those whose similarity is not defined."
    )
    return _by_measure(records, "Controls", columns, note)


def _oracle(records: SimilarityRecords) -> Table:
    columns = {
        _fools(records, Change("untargeted", epsilon)): lambda *key, epsilon=epsilon: records.aurocs[*key, epsilon]
        for epsilon in records.settings.epsilons
    }
    note = (
        "AUROC of an oracle: a detector that knows the clean image's map. It compares the similarity to that map under "
        "FGSM with the one under sign noise of the same epsilon, and calls the lower one attacked. .5: the attack "
        f"moves maps as far as noise does. {_counted(records)}"
    )
    return _by_measure(records, "Can an oracle tell attacks from noise?", columns, note)


def _attacks(records: SimilarityRecords) -> Table:
    lines = [
        [
            f"{attack.epsilon:g}",
            f"{2 * (attack.epsilon or 0.0):g}",
            records.count,
            *(str(records.success(change)) for change in (attack, Change("sign noise", attack.epsilon))),
        ]
        for attack in records.settings.untargeted
    ]
    header = ["epsilon", "paper's epsilon", "n", "fooled by FGSM", "changed by sign noise"]
    return Table("The untargeted attack", header, lines, "Share of images whose predicted class changes.")


def _targets(records: SimilarityRecords) -> Table:
    attacks, success = records.settings.targeted, records.reached
    pairs = [0 if reached is None else reached.n for reached in success[:-1]]
    names = [*(records.classes[target] for target in records.settings.targets), "all"]
    columns = {
        f"{name}, {title}": (name, metric)
        for name in records.paper.values()
        if name in records.targeted_methods
        for metric, title in METRICS.items()
    }
    by_target = zip(names, [*pairs, sum(pairs)], success, [*attacks, records.settings.all_targets], strict=True)
    lines = [
        [name, n, shown(reached), *(shown(records.mean(*column, attack)) for column in columns.values())]
        for name, n, reached, attack in by_target
    ]
    note = (
        f"FGSM of epsilon {records.settings.targeted_epsilon:g}. Success: the share of n images that are predicted as "
        "the target, without those predicted as it before; in the row `all` n counts pairs of image and target, and an "
        f"image counts once. Similarities are means over all {records.count} images, as in the paper."
    )
    title = "The targeted attack, by target (Figure 4)"
    return Table(title, ["target", "n", "success", *columns], lines, note)


def _undefined(records: SimilarityRecords) -> Table:
    lines = []
    for method in records.methods:
        counts = [records.undefined(method, metric) for metric in ALL_MEASURES]
        lines.append([method, counts[0][1], *(count for count, _ in counts)])
    note = "Pairs with a constant map, or with a map whose gradient image is constant. No mean counts them."
    return Table("Similarities that are not defined", ["method", "pairs", *ALL_MEASURES.values()], lines, note)
