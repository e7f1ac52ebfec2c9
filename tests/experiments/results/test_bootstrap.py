"""Bootstrap intervals: against plain resampling, and paired."""

import pytest
import torch

from detectors import metrics
from experiments.results.bootstrap import Resampling, interval, mean_of


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


def test_seeds_are_resampled_alike_for_all_detectors():
    resampling = Resampling(10, resamples=200)
    seeds = [torch.full((200,), value) for value in (0.0, 1.0, 2.0)]
    found = resampling.over_seeds(seeds)
    assert set(found.mul(3).round().tolist()) == {0, 1, 2, 3, 4, 5, 6}
    torch.testing.assert_close(resampling.over_seeds([each + 1 for each in seeds]) - found, torch.ones(200))
    assert torch.equal(resampling.over_seeds(seeds[:1]), torch.zeros(200))


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
