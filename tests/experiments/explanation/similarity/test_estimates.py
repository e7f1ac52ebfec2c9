"""Means, differences and AUROCs of similarities some of which are not defined."""

import pytest
import torch

from detectors import metrics
from experiments.results.bootstrap import Estimates, Resampling, average

NAN = torch.nan
COUNT = 50


@pytest.fixture
def estimates():
    return Estimates(COUNT, 500)


def values(seed=0):
    return torch.rand(COUNT, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_mean_is_of_what_is_defined(estimates):
    holed = values()
    holed[::3] = NAN
    found = estimates.mean(holed)
    assert found.value == pytest.approx(holed.nanmean().item())
    error = holed[~holed.isnan()].std().item() / (~holed.isnan()).sum().sqrt().item()
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert estimates.mean(torch.full((COUNT,), NAN)) is None
    constant = estimates.mean(torch.full((COUNT,), 0.3))
    assert (constant.value, constant.low, constant.high) == pytest.approx((0.3, 0.3, 0.3))


def test_differences_are_paired(estimates):
    first = values()
    apart = estimates.difference(first, first - 0.1)
    assert (apart.low, apart.high) == pytest.approx((0.1, 0.1))


def test_the_deviation_between_groups(estimates):
    found = estimates.deviation([values(), values() + 0.2])
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert estimates.deviation([]) is None
    assert estimates.deviation([values(), torch.full((COUNT,), NAN)]) is None


def test_the_oracle_flags_low_similarity_and_leaves_out_what_is_not_defined(estimates):
    noise, attack = values(1), values(2) - 0.2
    attack[:5] = NAN
    found = estimates.auroc(noise, attack)
    wins = (attack[5:, None] < noise[None, 5:]).double().mean().item()
    assert found.value == pytest.approx(wins, abs=1e-6)
    assert 0.5 < found.low < found.value < found.high
    assert estimates.auroc(noise, noise).value == 0.5
    assert estimates.auroc(noise + 1, noise).value == 1
    assert estimates.auroc(noise, torch.full((COUNT,), NAN)) is None


def test_a_difference_of_aurocs_is_paired(estimates):
    noise, attack = values(1), values(2) - 0.2
    same = estimates.auroc_difference((noise, attack), (2 * noise, 2 * attack))
    assert (same.value, same.low, same.high) == (0, 0, 0)
    ahead = estimates.auroc_difference((noise + 1, noise), (noise, attack))
    assert ahead.value == pytest.approx(1 - metrics.auroc(-noise, -attack))
    assert ahead.high == pytest.approx(1 - Resampling(COUNT, 500).auroc(-noise, -attack).quantile(0.025).item())
    assert estimates.auroc_difference((noise, attack), (noise, torch.full((COUNT,), NAN))) is None


def test_an_average_over_versions_is_of_what_is_defined():
    found = average([torch.tensor([1.0, NAN, NAN]), torch.tensor([2.0, 3.0, NAN])])
    assert found[:2].tolist() == [1.5, 3]
    assert found[2].isnan()
