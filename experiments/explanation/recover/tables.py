"""The tables of the recovery study."""

from collections.abc import Sequence
from typing import Any, Final

from torch import Tensor, bincount

from experiments.explanation.recover.attempts import Attempts
from experiments.explanation.recover.measured import PAPER, Measured
from experiments.explanation.recover.recovered import PERTURBATION, RANDOM, UNIONS
from experiments.explanation.subject import Explained
from experiments.results.result import Table
from experiments.results.verdicts import Claim

CLASSIC: Final = {"gradient": "classic saliency", "guided_backprop": "guided backprop", "lime": "LIME"}
"""What the paper calls its methods."""


def tables(found: Explained, attempts: Attempts, measured: Measured, findings: Sequence[Claim]) -> list[Table]:
    """Return all tables: every method against random, the paper's, the findings, the ranks of all, the attacks."""
    return [
        _against_random(measured),
        _paper(measured),
        _findings(findings),
        _pooled(measured),
        _other_measures(measured),
        _ranks(measured),
        _attacks(found, attempts, measured),
    ]


def attempts_told(found: Explained, attempts: Attempts) -> str:
    """Return how many attacks were tried and succeeded, as a sentence."""
    tried, won, left = len(attempts.image), int(attempts.succeeded.sum()), int(attempts.left_out.sum())
    of = len(found.images) - left
    return (
        f"{won} of {tried} localized attacks on {of} images succeeded ({won / tried:.1%}); images left out "
        f"because they are predicted as the target already: {left}."
    )


def _against_random(measured: Measured) -> Table:
    lines = []
    for name, method in measured.methods.items():
        noise = name == RANDOM
        lines.append(
            [
                name,
                str(measured.mean(method.jaccard)),
                None if noise else str(measured.difference(name)),
                str(measured.mean(method.level)),
                None if noise else str(measured.difference(name, of="level")),
            ]
        )
    best = max(range(len(measured.maps)), key=lambda row: measured.methods[measured.maps[row]].jaccard.mean().item())
    header = ["method", "Jaccard", "minus random", "Jaccard at the region's size", "minus random"]
    found = measured.found
    first, last = (found.sizes[:, union].double().mean().item() / found.pixels for union in (0, UNIONS - 1))
    note = (
        f"n = {measured.explanations} adversarial images of {measured.photographs} photographs, with 95 % bootstrap "
        "intervals that resample photographs. Jaccard: mean over explanations as large as the unions of "
        f"LIME's 1 to {UNIONS} best superpixels, from {first:.1%} to {last:.1%} of an image on average; a region has "
        f"{found.areas.double().mean().item() / found.pixels:.1%}. {PERTURBATION}: the change itself, the positive "
        "control. Bold: the best map."
    )
    return Table("Recovery of attacked regions", header, lines, note, bold=[(best, 1)])


def _pooled(measured: Measured) -> Table:
    lines = [
        [
            name,
            str(measured.mean(pooled.jaccard)),
            str(measured.mean(pooled.jaccard - measured.methods[name].jaccard)),
            str(measured.mean(pooled.jaccard - measured.found.pooled[RANDOM].jaccard)) if name != RANDOM else None,
            str(measured.behind_lime(name)),
        ]
        for name, pooled in measured.found.pooled.items()
    ]
    header = ["map, averaged over LIME's superpixels", "Jaccard", "minus not averaged", "minus random", "LIME minus it"]
    note = (
        "Regions are contiguous, as superpixels are and the best pixels of a map are not. Here each map gets the mean "
        "of its values in each of LIME's superpixels, and everything else is as in the first table: what is left of "
        "LIME's lead is its weights'. random: superpixels in the order of their averaged noise."
    )
    return Table("Maps averaged over superpixels", header, lines, note)


def _other_measures(measured: Measured) -> Table:
    lines = [
        [name, *(str(measured.mean(values)) for values in (method.likeness, method.jaccard.amax(1), method.auroc))]
        for name, method in measured.methods.items()
    ]
    note = (
        "likeness: 1 minus the Hamming distance as a share of the pixels, mean over the unions; it favours small "
        "explanations, so compare it within this column only. Largest Jaccard: that of the best of the unions, which "
        "nobody knows beforehand. AUROC: of the map as a score of pixels, in or out of the region; .5 is chance."
    )
    header = ["method", "likeness", f"largest Jaccard of {UNIONS}", "AUROC of pixels"]
    return Table("Recovery by other measures", header, lines, note)


def _paper(measured: Measured) -> Table:
    lines = [
        [
            CLASSIC[name],
            str(measured.mean(measured.ranks_of_three["jaccard"][name])),
            PAPER[name][0],
            str(measured.mean(measured.ranks_of_three["likeness"][name])),
            PAPER[name][1],
        ]
        for name in measured.three
    ]
    header = ["explainer", "mean rank, Jaccard", "paper's", "mean rank, likeness", "paper's"]
    note = (
        f"1 is best, {len(measured.three)} worst, ties averaged; over {measured.explanations * UNIONS} explanations "
        f"({measured.explanations} adversarial images, {UNIONS} unions each). The paper: 12160 explanations of 608 "
        "adversarial images of 112 photographs, Inception v3. Of explanations of one size both measures grow with the "
        "pixels shared with the region, so they rank alike: the columns must agree, as they nearly do in the paper."
    )
    return Table("Mean ranks (the paper's Table 1)", header, lines, note)


def _findings(findings: Sequence[Claim]) -> Table:
    lines = [[each.number, each.text, each.verdict, each.statistic] for each in findings]
    note = (
        "R1 and R2 are the paper's, letters ours. A difference is decided when its 95 % interval excludes 0. Where all "
        "differences must be above 0, the claim holds if all are, and does not hold if one is below; B takes one "
        "above, shows the largest, and is not corrected for the number of methods."
    )
    return Table("The paper's findings", ["", "finding", "verdict", "differences"], lines, note)


def _ranks(measured: Measured) -> Table:
    by = measured.ranks_of_all
    names = sorted(by["jaccard"], key=lambda name: by["jaccard"][name].mean().item())
    lines = [[name, *(str(measured.mean(by[measure][name])) for measure in by)] for name in names]
    note = f"1 is best, {len(names)} worst: as the paper's table, but all methods and noise are ranked together."
    return Table("Mean ranks of all methods", ["method", "mean rank, Jaccard", "mean rank, likeness"], lines, note)


def _attacks(found: Explained, attempts: Attempts, measured: Measured) -> Table:
    tried = bincount(attempts.image, minlength=len(found.images))
    won = bincount(attempts.sources, minlength=len(found.images))
    kept = tried > 0
    results, fewer = measured.found, (measured.found.positive < UNIONS)
    empty = ~kept & ~attempts.left_out
    lines: list[list[Any]] = [
        ["images", len(found.images)],
        ["left out: predicted as the target already", int(attempts.left_out.sum())],
        ["left out: no region of 1 to 50 % of the pixels", int(empty.sum())],
        ["attacks tried", int(tried.sum())],
        ["attacks that succeeded", int(won.sum())],
        ["attacks tried per image, mean", tried[kept].double().mean().item()],
        ["attacks that succeeded per image, mean", won[kept].double().mean().item()],
        ["images without a successful attack", int((won[kept] == 0).sum())],
        ["mean share of pixels, regions tried", attempts.region.double().mean().item()],
        ["mean share of pixels, regions of successful attacks", attempts.regions.double().mean().item()],
        ["superpixels of LIME, fewest and mean", _fewest_and_mean(results.superpixels)],
        ["those of positive weight, fewest and mean", _fewest_and_mean(results.positive)],
        [f"explanations with fewer than {UNIONS} of positive weight", int(fewer.sum())],
    ]
    note = (
        f"An attack that does not reach its probability in time is discarded. Where LIME has fewer than {UNIONS} "
        "superpixels of positive weight, a union of more of them stays as it is, for all methods."
    )
    return Table("Attacks", ["", "value"], lines, note)


def _fewest_and_mean(counts: Tensor) -> str:
    return f"{int(counts.min())}, {counts.double().mean().item():.1f}"
