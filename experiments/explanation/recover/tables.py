"""The tables of the recovery study."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from torch import Tensor, bincount

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
            shown(records.mean(method.jaccard)),
            None if name == RANDOM else shown(records.difference(name)),
            shown(records.mean(method.level)),
            None if name == RANDOM else shown(records.difference(name, measure="level")),
        ]
        for name, method in records.methods.items()
    ]
    best = max(range(len(records.maps)), key=lambda row: records.methods[records.maps[row]].jaccard.mean().item())
    header = ["method", "Jaccard", "minus random", "Jaccard at the region's size", "minus random"]
    first, last = (records.size_share(union) for union in (0, UNIONS - 1))
    note = (
        f"n = {records.explanations} adversarial images of {records.photographs} photographs, with 95 % bootstrap "
        f"intervals that resample photographs. Only attacks that succeed count: {shown(records.success)} of "
        f"{len(records.attempts.image)}. Jaccard: mean over explanations as large as the unions of "
        f"LIME's 1 to {UNIONS} best superpixels, from {first:.1%} to {last:.1%} of an image on average; a region has "
        f"{records.attempts.regions.double().mean().item():.1%}. {PERTURBATION}: the change itself, the positive "
        "control. Bold: the best map."
    )
    return Table("Recovery of attacked regions", header, lines, note, bold=[(best, 1)])


def _pooled(records: RecoverRecords) -> Table:
    lines = [
        [
            name,
            shown(records.mean(pooled.jaccard)),
            shown(records.mean(pooled.jaccard - records.methods[name].jaccard)),
            shown(records.mean(pooled.jaccard - records.pooled[RANDOM].jaccard)) if name != RANDOM else None,
            shown(records.behind_lime(name)),
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
        [name, *(shown(records.mean(values)) for values in (method.likeness, method.jaccard.amax(1), method.auroc))]
        for name, method in records.methods.items()
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
        means = [records.mean(ranks[name]) for ranks in records.ranks_of_three.values()]
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
    by = records.ranks_of_all
    names = sorted(by["jaccard"], key=lambda name: by["jaccard"][name].mean().item())
    lines = [[name, *(shown(records.mean(by[measure][name])) for measure in by)] for name in names]
    note = f"1 is best, {len(names)} worst. As the paper's table, but all methods and noise are ranked together."
    return Table("Mean ranks of all methods", ["method", "mean rank, Jaccard", "mean rank, likeness"], lines, note)


def _attacks(records: RecoverRecords) -> Table:
    attempts = records.attempts
    tried, won = (bincount(images, minlength=len(attempts.left_out)) for images in (attempts.image, attempts.sources))
    kept = tried > 0
    fewer, empty = records.positive < UNIONS, ~kept & ~attempts.left_out
    lines: list[list[Any]] = [
        ["images", len(attempts.left_out)],
        ["left out: predicted as the target already", int(attempts.left_out.sum())],
        ["left out: no region of 1 to 50 % of the pixels", int(empty.sum())],
        ["attacks tried", int(tried.sum())],
        ["attacks that succeeded", int(won.sum())],
        ["share of the attacks that succeeded", shown(records.success)],
        ["attacks tried per image, mean", tried[kept].double().mean().item()],
        ["attacks that succeeded per image, mean", won[kept].double().mean().item()],
        ["images without a successful attack", int((won[kept] == 0).sum())],
        ["mean share of pixels, regions tried", attempts.region.double().mean().item()],
        ["mean share of pixels, regions of successful attacks", attempts.regions.double().mean().item()],
        ["superpixels of LIME, fewest and mean", _fewest_and_mean(records.superpixels)],
        ["those of positive weight, fewest and mean", _fewest_and_mean(records.positive)],
        [f"explanations with fewer than {UNIONS} of positive weight", int(fewer.sum())],
    ]
    note = (
        f"An attack that does not reach its probability in time is discarded. Where LIME has fewer than {UNIONS} "
        "superpixels of positive weight, a union of more of them stays as it is, for all methods."
    )
    return Table("Attacks", ["", "value"], lines, note)


def _fewest_and_mean(counts: Tensor) -> str:
    return f"{int(counts.min())}, {counts.double().mean().item():.1f}"


def rows_of(records: RecoverRecords) -> list[dict[str, Any]]:
    """Return rows: of each method over all unions (union: null), and for each union."""
    return [_row(records, name, union) for name in records.methods for union in (None, *range(1, UNIONS + 1))]


def _row(records: RecoverRecords, name: str, union: int | None) -> dict[str, Any]:
    method, noise, whole = records.methods[name], records.methods[RANDOM], union is None
    at = slice(None) if union is None else slice(union - 1, union)
    values = {
        "jaccard": method.jaccard,
        "jaccard_minus_random": method.jaccard - noise.jaccard,
        "likeness": method.likeness,
        "likeness_minus_random": method.likeness - noise.likeness,
        "jaccard_at_region_size": method.level,
        "jaccard_at_region_size_minus_random": method.level - noise.level,
        "auroc": method.auroc,
        **{f"rank_among_three_{measure}": ranks.get(name) for measure, ranks in records.ranks_of_three.items()},
        **{f"rank_among_all_{measure}": ranks.get(name) for measure, ranks in records.ranks_of_all.items()},
    }
    ends: dict[str, float | None] = {}
    for label, tensor in values.items():
        if tensor is None or (tensor.ndim == 1 and not whole):
            mean = None
        else:
            mean = records.mean(tensor[:, at] if tensor.ndim > 1 else tensor).interval
        for key, end in ((label, "value"), (f"{label}_low", "low"), (f"{label}_high", "high")):
            ends[key] = None if mean is None else getattr(mean, end)
    return {
        "method": name,
        "union": union,
        "explanations": records.explanations * (UNIONS if whole else 1),
        "adversarial_images": records.explanations,
        "photographs": records.photographs,
        "size_share": records.size_share(at),
        **ends,
    }
