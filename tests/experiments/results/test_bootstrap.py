"""Bootstrap intervals: against plain resampling, and paired."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats

from detectors import metrics
from experiments.results.bootstrap import (
    Resampling,
    Statistic,
    average,
    clopper_pearson,
    interval,
    mean_of,
    mean_of_seeds,
    over_seeds,
)


def test_replicates_are_the_auroc_of_the_images_that_were_drawn():
    generator = torch.Generator().manual_seed(0)
    clean, adversarial = torch.randn(30, generator=generator), torch.randn(30, generator=generator) + 0.5
    clean[:5] = adversarial[5:10]  # ties
    resampling = Resampling(30, resamples=20)
    found = resampling.auroc(clean, adversarial)
    for weights, value in zip(resampling.weights, found, strict=True):
        rows = torch.repeat_interleave(torch.arange(30), weights.long())
        assert value.item() == pytest.approx(metrics.auroc(clean[rows], adversarial[rows]), abs=1e-6)
        assert len(rows) == 30


def test_mean_of_a_resample_is_that_of_the_images_drawn():
    resampling = Resampling(10, resamples=50)
    values = torch.arange(10.0)
    rows = torch.repeat_interleave(torch.arange(10), resampling.weights[3].long())
    assert resampling.mean(values)[3].item() == pytest.approx(values[rows].mean().item())


def test_the_same_draws_serve_all_detectors():
    first, second = Resampling(40, 100), Resampling(40, 100)
    assert torch.equal(first.weights, second.weights)
    scores = torch.rand(40), torch.rand(40)
    assert torch.equal(first.auroc(*scores), second.auroc(*scores))
    assert not torch.equal(Resampling(40, 100, seed=1).weights, first.weights)


def statistic(value: float, replicates: torch.Tensor | None = None) -> Statistic:
    return Statistic(value, torch.full((1000,), value) if replicates is None else replicates, 10)


def test_seeds_that_differ_widen_the_interval_by_students_t():
    mean = over_seeds([statistic(value) for value in (0.6, 0.7, 0.8)])
    half = stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert mean.value == pytest.approx(0.7)
    assert (mean.interval.low, mean.interval.high) == pytest.approx((0.7 - half, 0.7 + half), rel=0.01)
    one = over_seeds([statistic(0.6)]).interval
    assert (one.low, one.high) == pytest.approx((0.6, 0.6))


def test_a_difference_of_two_detectors_is_taken_seed_by_seed():
    first = over_seeds([statistic(value) for value in (0.6, 0.7, 0.8)])
    second = over_seeds([statistic(value) for value in (0.5, 0.6, 0.7)])
    apart = first.minus(second).interval
    assert (apart.value, apart.low, apart.high) == pytest.approx((0.1, 0.1, 0.1))
    alone = first.minus(statistic(0.5))  # of a training-free detector
    assert list(alone.by_seed) == pytest.approx([0.1, 0.2, 0.3])
    assert list(average([first, second]).by_seed) == pytest.approx([0.55, 0.65, 0.75])
    assert list(average([first, statistic(0.5)]).by_seed) == pytest.approx([0.55, 0.6, 0.65])


def test_an_interval_holds_the_middle_95_percent():
    found = interval(0.5, torch.arange(1001) / 1000)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))
    assert str(found) == "0.500 [0.025, 0.975]"


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = torch.Generator().manual_seed(1)
    truth = torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(1 / 2**0.5)).item()
    covered = 0
    for number in range(200):
        clean, adversarial = torch.randn(60, generator=generator), torch.randn(60, generator=generator) + 1
        resampling = Resampling(60, resamples=200, seed=number)
        found = interval(metrics.auroc(clean, adversarial), resampling.auroc(clean, adversarial))
        covered += found.low <= truth <= found.high
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.long
@pytest.mark.parametrize("images", [20, 100])
@pytest.mark.parametrize("deviation", [0.0, 0.1, 0.3, 1.0])
def test_intervals_over_three_seeds_cover_no_difference_between_equal_detectors(images, deviation):
    """The scores of a seed move by `deviation`, where those of the images have a standard deviation of 1."""
    generator = torch.Generator().manual_seed(0)
    resampling, covered = Resampling(images, 500), 0
    for _ in range(300):
        clean, attacked = torch.randn(2, images, generator=generator)
        detectors = []
        for _ in range(2):
            shifts = 1 + deviation * torch.randn(3, generator=generator)
            scores = [
                (0.7 * clean + own[0], 0.7 * attacked + own[1] + shift)
                for shift, own in zip(shifts, 0.7 * torch.randn(3, 2, images, generator=generator), strict=True)
            ]
            detectors.append(
                over_seeds([Statistic(metrics.auroc(*pair), resampling.auroc(*pair), images) for pair in scores])
            )
        apart = detectors[0].minus(detectors[1]).interval
        covered += apart.low <= 0 <= apart.high
    assert covered / 300 >= 0.93


@pytest.mark.parametrize("count", [20, 35, 100, 200])
def test_the_interval_of_a_rate_covers_every_rate(count):
    """The coverage is exact: the chances of all numbers of hits whose interval holds the rate."""
    ends = [clopper_pearson(hits / count, count) for hits in range(count + 1)]
    for rate in np.linspace(0.05, 0.95, 37):
        held = [hits for hits, each in enumerate(ends) if each.low <= rate <= each.high]
        assert stats.binom.pmf(held, count, rate).sum() >= 0.95
    known = stats.binomtest(7, count).proportion_ci(method="exact")
    assert (ends[7].low, ends[7].high) == (pytest.approx(known.low), pytest.approx(known.high))
    assert (ends[0].low, ends[-1].high) == (0, 1)


@pytest.mark.long
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("deviation", [0.0, 0.1, 0.2, 0.3, 0.5])
@pytest.mark.parametrize("count", [20, 200, 1000])
def test_the_mean_rate_of_three_seeds_is_covered(count, deviation, together, monkeypatch):
    """Seeds' rates are drawn around the truth by `deviation` of its binomial one; together: on the same images."""
    monkeypatch.setattr("experiments.results.bootstrap.clopper_pearson", cache(clopper_pearson))  # it is slow
    generator = np.random.default_rng(0)
    ends = [clopper_pearson(hits / count, count) for hits in range(count + 1)]
    for rate in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 0.95):
        spread = 1 / deviation**2 - 1 if deviation else 0
        covered = 0
        for _ in range(2000):
            rates = generator.beta(rate * spread, (1 - rate) * spread, 3) if deviation else np.full(3, rate)
            hits = (generator.random((1 if together else 3, count)) < rates[:, None]).sum(1)
            mean = mean_of_seeds([ends[number] for number in hits])
            covered += mean.low <= rate <= mean.high
        assert covered / 2000 >= 0.93, (rate, covered)


def test_the_interval_of_a_rate_ends_where_rates_end_and_that_of_a_difference_does_not():
    seeds = [Statistic(value, torch.full((200,), value), 50, within=(0, 1)) for value in (0.7, 0.9, 1.0)]
    mean = over_seeds(seeds)
    assert mean.interval.high == mean.plain.high == average([mean, mean]).interval.high == 1
    unbounded = over_seeds([Statistic(area.value, area.replicates, area.n) for area in seeds]).interval
    assert unbounded.high > 1
    assert mean.interval.low == unbounded.low
    none = Statistic(0.0, torch.zeros(200), 50)
    assert mean.minus(none).interval.high == unbounded.high


def test_seeds_that_agree_on_nothing_leave_room_for_one_that_differs():
    none = clopper_pearson(0.0, 1000)
    assert mean_of_seeds([none]) == none
    few = mean_of_seeds([none] * 3)
    assert (few.value, few.low, few.high) == (0, 0, pytest.approx(clopper_pearson(0.0, 21).high))
    every = mean_of_seeds([clopper_pearson(1.0, 1000)] * 3)
    assert (every.low, every.high) == (pytest.approx(1 - few.high), 1)
    middle = clopper_pearson(0.5, 1000)
    alike = mean_of_seeds([middle] * 3)
    assert (alike.low, alike.high) == pytest.approx((middle.low, middle.high))


@pytest.mark.parametrize("resamples", [0, -1])
def test_too_few_resamples_are_refused(resamples):
    with pytest.raises(ValueError, match=f"resamples must be at least 1, got {resamples}"):
        Resampling(5, resamples)


def test_without_a_known_replicate_the_interval_is_the_value():
    found = interval(0.3, torch.full((4,), torch.nan))
    assert (found.value, found.low, found.high) == (0.3, 0.3, 0.3)


def test_a_mean_is_of_what_is_known():
    values = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values[::3] = torch.nan
    resampling = Resampling(50, 500)
    mean = mean_of(values, resampling)
    assert (mean.value, mean.n) == (pytest.approx(values.nanmean().item()), 33)
    error = values[~values.isnan()].std().item() / mean.n**0.5
    assert mean.interval.high - mean.interval.low == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert mean_of(torch.full((50,), torch.nan), resampling) is None
    apart = mean.minus(mean_of(values - 0.1, resampling)).interval
    assert (apart.low, apart.high) == pytest.approx((0.1, 0.1))
