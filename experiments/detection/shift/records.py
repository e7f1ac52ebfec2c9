"""The records of the shift study: distances between saliency maps, by attack and sample."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from torch import Tensor

from experiments.results.bootstrap import Interval, Resampling, interval
from experiments.results.two_samples import compare, mean

FULL: Final = "natural - adversarial"
FIXED: Final = "adversarial, clean class"
SWAPPED: Final = "clean, adversarial class"
NOISE: Final = "norm-matched noise"
SAME: Final = "same class"
DIFFERENT: Final = "different images"

SUBSETS: Final = ("all", "successful")


@dataclass(frozen=True)
class ShiftRecords:
    """The L2 distances of one kind of map.

    Attributes:
        name: Name of the kind.
        title: Its name in a sentence.
        scale: The range of its values, and the unit of distances between maps.
        different: (m,) of pairs of different natural images.
        samples: (n,) from the natural image's map, by attack (None: no attack is involved) and sample.
        successful: (n,) bool by attack, whether it fools the classifier.
        success_rates: The success rate of each attack on all test images.
        repeated: The largest distance between maps of the same images made twice.
    """

    name: str
    title: str
    scale: str
    different: Tensor
    samples: Mapping[tuple[str | None, str], Tensor]
    successful: Mapping[str, Tensor]
    success_rates: Mapping[str, float | None]
    repeated: float

    def distances(self, attack: str | None, sample: str, subset: str) -> Tensor:
        """Return the distances of a sample that belong to a subset of the pairs."""
        values = self.samples[attack, sample]
        return values if attack is None or subset == "all" else values[self.successful[attack]]

    def rows(self, resamples: int) -> Iterator[dict[str, Any]]:
        """Yield a row for each attack, sample and subset."""
        for attack, sample in self.samples:
            for subset in SUBSETS if attack else SUBSETS[:1]:
                values = self.distances(attack, sample, subset)
                fixed = sample == FIXED
                share = ratio(values, self.distances(attack, FULL, subset), resamples) if fixed else None
                comparison = compare(values, self.different, resamples)
                yield {
                    "map": self.name,
                    "attack": attack,
                    "sample": sample,
                    "subset": subset,
                    "mean": mean(values),
                    "mean_different": mean(self.different),
                    **asdict(comparison),
                    "direction": comparison.direction,
                    "verdict": comparison.verdict,
                    "ratio_to_full": None if share is None else share.value,
                    "ratio_low": None if share is None else share.low,
                    "ratio_high": None if share is None else share.high,
                    "attack_success_rate": self.success_rates[attack] if attack else None,
                }


def ratio(part: Tensor, whole: Tensor, resamples: int) -> Interval | None:
    """Return the ratio of the means of paired values (n,), with a bootstrap interval of the pairs.

    Returns:
        None if there are no values, or the mean of the whole is not above 0.
    """
    if len(whole) == 0 or whole.mean() <= 0:
        return None
    drawn = Resampling(len(whole), resamples)
    replicates = drawn.mean(part) / drawn.mean(whole)
    return interval((part.mean() / whole.mean()).item(), replicates[replicates.isfinite()])
