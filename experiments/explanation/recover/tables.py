"""The tables of the recovery study."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from experiments.explanation.evidence import shown
from experiments.explanation.recover.records import PERTURBATION, RANDOM, UNIONS, RecoverRecords
from experiments.results.result import Table
from experiments.results.verdicts import FEWEST, Claim

PAPER: Final[Mapping[str, tuple[str, float, float]]] = {
    "gradient": ("classic saliency", 2.58, 2.59),
    "guided_backprop": ("guided backprop", 2.06, 2.03),
    "lime": ("LIME", 1.36, 1.38),
}
"""The paper's name of each method, its mean rank by Jaccard index and by likeness (Goepfert et al., Table 1)."""


def tables(records: RecoverRecords, findings: Sequence[Claim]) -> list[Table]:
    """Return all tables; the first is what the console shows."""
    return [
        _against_random(records),
        _paper(records),
        _findings(findings),
        _pooled(records),
        _other_measures(records),
        _ranks(records),
        _attacks(records),
    ]


def _against_random(records: RecoverRecords) -> Table:
    lines = [
        [
            name,
            shown(means["jaccard"]),
            None if name == RANDOM else shown(means["jaccard_minus_random"]),
            shown(means["jaccard_at_region_size"]),
            None if name == RANDOM else shown(means["jaccard_at_region_size_minus_random"]),
        ]
        for name, means in records.methods.items()
    ]
    best = max(range(len(records.maps)), key=lambda row: records.methods[records.maps[row]]["jaccard"].value)
    header = ["method", "Jaccard", "minus random", "Jaccard at the region's size", "minus random"]
    first, last = (row.size_share for row in records.rows[: UNIONS + 1] if row.union in {1, UNIONS})
    note = (
        f"n = {records.explanations} adversarial images of {records.photographs} photographs, with 95 % bootstrap "
        f"intervals that resample photographs. Only attacks that succeed count: {shown(records.attacks.success)} "
        f"of {sum(records.attacks.tried)}. Jaccard: mean over explanations as large as the unions of "
        f"LIME's 1 to {UNIONS} best superpixels, from {first:.1%} to {last:.1%} of an image on average; a region has "
        f"{records.attacks.won_share:.1%}. {PERTURBATION}: the change itself, the positive "
        "control. Bold: the best map."
    )
    return Table("Recovery of attacked regions", header, lines, note, bold=[(best, 1)])


def _pooled(records: RecoverRecords) -> Table:
    lines = [
        [
            name,
            shown(pooled.jaccard),
            shown(pooled.minus_plain),
            shown(pooled.minus_random),
            shown(pooled.behind_lime),
        ]
        for name, pooled in records.pooled.items()
    ]
    header = ["map, averaged over LIME's superpixels", "Jaccard", "minus not averaged", "minus random", "LIME minus it"]
    note = (
        "Regions and superpixels are contiguous; the best pixels of a map are not. Here each map is averaged over each "
        "of LIME's superpixels. All else is as in the first table, n too. The remaining lead of LIME comes from its "
        "weights. random: superpixels in the order of their averaged noise."
    )
    return Table("Maps averaged over superpixels", header, lines, note)


def _other_measures(records: RecoverRecords) -> Table:
    lines = [
        [name, shown(means["likeness"]), shown(records.largest[name]), shown(means["auroc"])]
        for name, means in records.methods.items()
    ]
    note = (
        "likeness: 1 minus the Hamming distance as a share of the pixels, mean over the unions. It favours small "
        "explanations, so compare it within this column only. Largest Jaccard: the best of the unions, unknown "
        "beforehand. AUROC: the map as a score of pixels, in or out of the region; .5 is chance. n as in the first "
        "table."
    )
    header = ["method", "likeness", f"largest Jaccard of {UNIONS}", "AUROC of pixels"]
    return Table("Recovery by other measures", header, lines, note)


def _paper(records: RecoverRecords) -> Table:
    lines = []
    for name in records.three:
        known_as, *papers = PAPER[name]
        means = [records.methods[name][f"rank_among_three_{measure}"] for measure in ("jaccard", "likeness")]
        lines.append([known_as, shown(means[0]), papers[0], shown(means[1]), papers[1]])
    header = ["explainer", "mean rank, Jaccard", "paper's", "mean rank, likeness", "paper's"]
    note = (
        f"1 is best, {len(records.three)} worst, ties averaged; over {records.explanations * UNIONS} explanations "
        f"({records.explanations} adversarial images, {UNIONS} unions each). The paper: 12160 explanations of 608 "
        "adversarial images of 112 photographs, Inception v3. Among explanations of one size both measures grow with "
        "the pixels shared with the region. So they rank alike: the columns must agree, as they nearly do in the paper."
    )
    return Table("Mean ranks (the paper's Table 1)", header, lines, note)


def _findings(findings: Sequence[Claim]) -> Table:
    lines = [[claim.number, claim.text, claim.verdict, claim.statistic] for claim in findings]
    note = (
        "R1 and R2 are the paper's, A to C are ours. A difference is decided if its 95 % interval excludes 0 and has a "
        "width. A claim holds if all its differences are above 0, and does not hold if one is below. B holds if one "
        "is above; it shows the largest, and is not corrected for the number of methods. Fewer than "
        f"{FEWEST} photographs decide nothing."
    )
    return Table("The paper's findings", ["", "finding", "verdict", "differences"], lines, note)


def _ranks(records: RecoverRecords) -> Table:
    jaccard, likeness = (
        {name: means[f"rank_among_all_{measure}"] for name, means in records.methods.items() if name != PERTURBATION}
        for measure in ("jaccard", "likeness")
    )
    names = sorted(jaccard, key=lambda name: jaccard[name].value)
    lines = [[name, shown(jaccard[name]), shown(likeness[name])] for name in names]
    note = f"1 is best, {len(names)} worst. As the paper's table, but all methods and noise are ranked together."
    return Table("Mean ranks of all methods", ["method", "mean rank, Jaccard", "mean rank, likeness"], lines, note)


def _attacks(records: RecoverRecords) -> Table:
    attacks = records.attacks
    kept = [place for place, count in enumerate(attacks.tried) if count]
    empty = [not (count or left_out) for count, left_out in zip(attacks.tried, attacks.left_out, strict=True)]
    lines: list[list[Any]] = [
        ["images", len(attacks.left_out)],
        ["left out: predicted as the target already", sum(attacks.left_out)],
        ["left out: no region of 1 to 50 % of the pixels", sum(empty)],
        ["attacks tried", sum(attacks.tried)],
        ["attacks that succeeded", sum(attacks.won)],
        ["share of the attacks that succeeded", shown(attacks.success)],
        ["attacks tried per image, mean", fmean(attacks.tried[place] for place in kept)],
        ["attacks that succeeded per image, mean", fmean(attacks.won[place] for place in kept)],
        ["images without a successful attack", sum(attacks.won[place] == 0 for place in kept)],
        ["mean share of pixels, regions tried", attacks.tried_share],
        ["mean share of pixels, regions of successful attacks", attacks.won_share],
        ["superpixels of LIME, fewest and mean", _fewest_and_mean(records.superpixels)],
        ["those of positive weight, fewest and mean", _fewest_and_mean(records.positive)],
        [
            f"explanations with fewer than {UNIONS} of positive weight",
            sum(count < UNIONS for count in records.positive),
        ],
    ]
    note = (
        f"An attack that does not reach its probability in time is discarded. Where LIME has fewer than {UNIONS} "
        "superpixels of positive weight, a union of more of them stays as it is, for all methods."
    )
    return Table("Attacks", ["", "value"], lines, note)


def _fewest_and_mean(counts: Sequence[int]) -> str:
    return f"{min(counts)}, {fmean(counts):.1f}"
