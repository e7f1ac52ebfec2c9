"""From statistics to a claim with its verdict, and how both are printed: the same in all explanation studies."""

from collections.abc import Mapping, Sequence

from experiments.results.bootstrap import PlainStatistic
from experiments.results.verdicts import FEWEST, Claim, Evidence, all_above, any_above, settle

Named = Mapping[str, PlainStatistic | None]
"""Statistics by name; None: it is not defined."""


def judged(
    number: str,
    text: str,
    named: Named,
    numbers: str,
    level: float = 0.0,
    *,
    one: bool = False,
    images: int | None = None,
) -> Claim:
    """Return the claim that statistics lie above a level.

    A statistic whose interval has no width decides nothing. Its values are all equal, as with maps that never change,
    or at their limit. Nor does one of fewer than `FEWEST` images.

    Args:
        number: Number of the claim, or its place in the paper.
        text: The claim.
        named: The statistics.
        numbers: The statistics in words.
        level: The level that they must exceed.
        one: Whether one of them suffices.
        images: Number of images; None: the smallest n of the statistics.
    """
    flat = [name for name, statistic in named.items() if statistic is not None and statistic.flat]
    verdict = (any_above if one else all_above)(list(named.values()), level)
    counts = [statistic.n for statistic in named.values() if statistic is not None] + (
        [] if images is None else [images]
    )
    counted = {"images": min(counts)} if counts else {}
    doubts = [f"no interval, for all values are equal or at their limit: {', '.join(flat)}"] if flat else []
    evidence = Evidence(verdict, numbers, counted, doubts)
    return settle(Claim(number, text, verdict, ""), evidence, dict.fromkeys(counted, FEWEST))


def in_words(claims: Sequence[Claim]) -> str:
    """Return a sentence for each verdict, with the texts of its claims."""
    return " ".join(
        f"{verdict.capitalize()}: {'; '.join(texts)}."
        for verdict in ("holds", "does not hold", "not decided")
        if (texts := [claim.text.rstrip(".") for claim in claims if claim.verdict == verdict])
    )


def few_images(images: int) -> str:
    """Return a sentence if the images are too few for a verdict; empty if they are enough."""
    return f"Nothing is decided: a verdict needs {FEWEST} images, and there are {images}.  " if images < FEWEST else ""


def shown(statistic: PlainStatistic | None, usual: int | None = None) -> str | None:
    """Return a statistic with its interval, and with its n where this is not the usual one."""
    if statistic is None:
        return None
    return f"{statistic}" + ("" if usual in {None, statistic.n} else f", n = {statistic.n}")
