"""The tables of `evaluate.py similarity`."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from experiments.explanation.similarity import paper
from experiments.explanation.similarity.findings import RULES, Claim
from experiments.explanation.similarity.measured import METRICS, OTHERS, left_out
from experiments.explanation.similarity.records import Similarities
from experiments.explanation.similarity.versions import ANOTHER, SECOND_SEED, Version
from experiments.results.bootstrap import Interval, average
from experiments.results.result import Table

MEASURES = (
    "Spearman: of the pixels' ranks, ties averaged. Mean SSIM: torchmetrics', the data range being that of both maps "
    "together. HoG: Pearson correlation of the pictures of the histograms of gradients, as in the paper's code (9 "
    "orientations, one cell for 16 pixels at 224). 1 is the same map, the row of a random map the floor; a "
    "constant map has no similarity and does not count. Brackets: 95 % bootstrap intervals over images."
)


def tables(found: Similarities, claims: Sequence[Claim]) -> list[Table]:
    """Return all tables; the first one is printed.

    Args:
        found: The similarities.
        claims: The paper's findings, judged.
    """
    return [
        _claims(claims),
        _targeted(found),
        _untargeted(found),
        _beside_the_paper(found),
        _controls(found),
        _oracle(found),
        _attacks(found),
        _targets(found),
        _undefined(found),
    ]


def _targeted(found: Similarities) -> Table:
    """Return Table 1."""
    plan = found.measured.plan
    by_method = {mine: known for known, mine in found.paper.items()}
    header = ["method", "n"]
    for title in METRICS.values():
        header += [title, f"{title}, paper"]
    header += list(OTHERS.values())
    lines = []
    for method in found.methods:
        if method not in found.targeted_methods:
            lines.append([method, 0, *[None] * (len(header) - 2)])
            continue
        means = {m: found.over(method, m, found.targets) for m in (*METRICS, *OTHERS)}
        line: list[Any] = [method, int((~means["spearman"].isnan()).sum())]
        for metric in METRICS:
            reported = paper.targeted(by_method.get(method, ""), metric, plan.targeted_epsilon)
            line += [_told(found.estimates.mean(means[metric])), reported]
        lines.append(line + [_told(found.estimates.mean(means[metric])) for metric in OTHERS])
    absent = [name for name in found.methods if left_out(found.measured.explained, name)]
    lacking = f" Too slow for so many maps, and left out unless --methods names it: {', '.join(absent)}." * bool(absent)
    note = (
        f"FGSM of epsilon {plan.targeted_epsilon:g} towards each of {len(plan.targets)} classes; an image counts once, "
        f"with its mean over them. {MEASURES} Mean SSIM, range 2: the range scikit-image assumes for maps in [-1, 1], "
        f"as in the paper: it decides how alike maps of small values seem.{lacking}"
    )
    bold = [(_least(lines, column), column) for column in (2, 4, 6) if any(line[column] for line in lines)]
    return Table("Targeted attacks (Table 1): mean similarity", header, lines, f"{note} Bold: the least similar.", bold)


def _least(lines: Sequence[Sequence[Any]], column: int) -> int:
    """Return the row with the smallest number in a column of told intervals."""
    return min(
        (row for row, line in enumerate(lines) if line[column]), key=lambda row: float(lines[row][column].split()[0])
    )


def _claims(claims: Sequence[Claim]) -> Table:
    lines = [[claim.text, claim.verdict, claim.statistic] for claim in claims]
    return Table("The paper's findings", ["finding", "here it", "by"], lines, RULES)


def _untargeted(found: Similarities) -> Table:
    """Return Figure 2 as a table."""
    lines = [
        [method, title, *(_told(found.mean(method, metric, each)) for each in found.untargeted)]
        for method in found.methods
        for metric, title in {**METRICS, **OTHERS}.items()
    ]
    header = ["method", "measure", *(f"epsilon {epsilon:g}" for epsilon in found.measured.plan.epsilons)]
    return Table("Untargeted attacks (Figure 2): mean similarity", header, lines, MEASURES)


def _beside_the_paper(found: Similarities) -> Table:
    header = ["method", "attack", "epsilon", "paper's epsilon", "measure", "paper", "here", "here - paper"]
    note = f"Curves digitised, +-.003; the paper's epsilons are for images in [-1, 1]. {paper.DEFECTS}"
    return Table("Beside the paper's numbers", header, list(_reported(found)), note)


def _reported(found: Similarities) -> Iterator[list[Any]]:
    for known, method in found.paper.items():
        for metric, title in METRICS.items():
            for version in found.untargeted:
                value = found.reported(method, metric, version)
                if value is not None and version.epsilon is not None:
                    mean = found.mean(method, metric, version)
                    yield _compared([method, "untargeted"], version.epsilon, title, value, mean)
            epsilon = found.measured.plan.targeted_epsilon
            value = paper.targeted(known, metric, epsilon)
            if value is not None and method in found.targeted_methods:
                mean = found.estimates.mean(found.over(method, metric, found.targets))
                yield _compared([method, "targeted"], epsilon, title, value, mean)


def _compared(names: list[Any], epsilon: float, title: str, value: float, mean: Interval | None) -> list[Any]:
    apart = None if mean is None else f"{mean.value - value:+.3f}"
    return [*names, f"{epsilon:g}", f"{2 * epsilon:g}", title, value, _told(mean), apart]


def _controls(found: Similarities) -> Table:
    epsilon = found.contested
    attack, noise = Version("untargeted", epsilon), Version("sign noise", epsilon)
    fooled = int(found.measured.fooled(attack).sum())
    count = len(found.measured.explained.images)
    header = [
        "method",
        "measure",
        f"fooled ({fooled})",
        f"not fooled ({count - fooled})",
        f"sign noise ({count})",
        f"fresh noise ({count})",
        f"another image ({count})",
    ]
    lines = [
        [
            method,
            title,
            *(_told(found.mean(method, metric, attack, subset)) for subset in ("fooled", "not fooled")),
            *(_told(found.mean(method, metric, version)) for version in (noise, SECOND_SEED, ANOTHER)),
        ]
        for method in found.methods
        for metric, title in METRICS.items()
    ]
    note = (
        f"Similarity of a clean image's map to that of: its version under FGSM of epsilon {epsilon:g} (at which the "
        "share of fooled images is nearest to a half), by whether the prediction changes; the image with noise of "
        "-epsilon or epsilon in each value; the same image with other noise inside of the method (1 for a method "
        "without any); the next image. In brackets the images."
    )
    return Table("Controls", header, lines, note)


def _oracle(found: Similarities) -> Table:
    epsilons = found.measured.plan.epsilons
    lines = [
        [method, title, *(_told(found.auroc(method, metric, epsilon)) for epsilon in epsilons)]
        for method in found.methods
        for metric, title in METRICS.items()
    ]
    note = (
        "AUROC of a detector that is told the clean image's map, an oracle: similarity to it, under FGSM against under "
        "sign noise of the same epsilon, lower being attacked. .5: maps move under the attack as they do under noise."
    )
    return Table(
        "Can an oracle tell attacks from noise?",
        ["method", "measure", *(f"epsilon {epsilon:g}" for epsilon in epsilons)],
        lines,
        note,
    )


def _attacks(found: Similarities) -> Table:
    lines = []
    for epsilon in found.measured.plan.epsilons:
        changed = [
            _told(found.estimates.mean(found.measured.fooled(Version(kind, epsilon)).double()))
            for kind in ("untargeted", "sign noise")
        ]
        lines.append([f"{epsilon:g}", f"{2 * epsilon:g}", len(found.measured.explained.images), *changed])
    header = ["epsilon", "paper's epsilon", "n", "fooled by FGSM", "changed by sign noise"]
    return Table("The untargeted attack", header, lines, "Share of images whose predicted class changes.")


def _targets(found: Similarities) -> Table:
    explained = found.measured.explained
    shown = [name for name in found.paper.values() if name in found.targeted_methods]
    header = ["target", "n", "success", *(f"{name}, {title}" for name in shown for title in METRICS.values())]
    success, lines = [], []
    for version in found.targets:
        reached = torch.eq(found.measured.predictions[version], version.target or 0).double()
        success.append(reached.masked_fill(torch.eq(explained.predictions, version.target or 0), torch.nan))
        lines.append(
            [
                explained.classes[version.target or 0],
                int((~success[-1].isnan()).sum()),
                _told(found.estimates.mean(success[-1])),
                *(_told(found.mean(name, metric, version)) for name in shown for metric in METRICS),
            ]
        )
    pairs = sum(int((~each.isnan()).sum()) for each in success)
    whole = [_told(found.estimates.mean(found.over(n, m, found.targets))) for n in shown for m in METRICS]
    lines.append(["all", pairs, _told(found.estimates.mean(average(success))), *whole])
    note = (
        f"FGSM of epsilon {found.measured.plan.targeted_epsilon:g}. Success: the target is predicted, of the n images "
        "not predicted as it before (all: of these pairs, an image counts once); similarities are over all images, as "
        "in the paper."
    )
    return Table("The targeted attack, by target (Figure 4)", header, lines, note)


def _undefined(found: Similarities) -> Table:
    measures = {**METRICS, **OTHERS}
    lines = []
    for method in found.methods:
        counts = [found.undefined(method, metric) for metric in measures]
        lines.append([method, counts[0][1], *(count for count, _ in counts)])
    note = "Pairs of maps of which one is constant, or has a constant picture of gradients; no mean counts them."
    return Table("Similarities that are not defined", ["method", "pairs", *measures.values()], lines, note)


def _told(found: Interval | None) -> str | None:
    return None if found is None else str(found)
