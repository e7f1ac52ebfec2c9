import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from detectors.metrics import (
    auroc,
    average_precision,
    balanced_accuracy,
    fpr_at_tpr,
    probabilities,
    rate_above,
    roc,
    training_metrics,
)


def _tensors(elements):
    return st.lists(elements, min_size=1, max_size=30).map(lambda values: torch.tensor(values, dtype=torch.float32))


TIED = _tensors(st.integers(-4, 4))
LARGE = _tensors(st.floats(20, 120, width=32))
USUAL = _tensors(st.floats(-30, 30, width=32).filter(lambda value: value == 0 or abs(value) > 1e-6))
ANY = _tensors(st.floats(width=32, allow_nan=False, allow_infinity=False))
KINDS = st.sampled_from([TIED, LARGE, USUAL])
PAIRS = KINDS.flatmap(lambda kind: st.tuples(kind, kind))


def _joined(clean, adversarial):
    return np.r_[np.zeros(len(clean)), np.ones(len(adversarial))], torch.cat([clean, adversarial]).double().numpy()


@given(PAIRS)
def test_auroc_equals_scikit_learn_with_ties_and_large_logits(pair):
    assert auroc(*pair) == pytest.approx(roc_auc_score(*_joined(*pair)), abs=1e-6)


@given(PAIRS)
def test_average_precision_equals_scikit_learn_with_ties_and_large_logits(pair):
    assert average_precision(*pair) == pytest.approx(average_precision_score(*_joined(*pair)), abs=1e-6)


@given(PAIRS)
def test_auroc_is_the_share_of_pairs_in_order_with_ties_counted_half(pair):
    clean, adversarial = pair
    difference = adversarial[:, None] - clean[None, :]
    share = (difference > 0).double() + 0.5 * (difference == 0).double()
    assert auroc(clean, adversarial) == pytest.approx(share.mean().item(), abs=1e-6)


@given(ANY, ANY)
def test_auroc_equals_scikit_learn_for_any_finite_scores(clean, adversarial):
    assert auroc(clean, adversarial) == pytest.approx(roc_auc_score(*_joined(clean, adversarial)), abs=1e-6)


@given(PAIRS, st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]))
def test_fpr_at_tpr_equals_brute_force_over_all_thresholds(pair, tpr):
    clean, adversarial = pair
    limits = torch.cat([clean, adversarial]).unique()
    rates = [
        (clean >= limit).double().mean().item()
        for limit in limits
        if (adversarial >= limit).double().mean().item() >= tpr - 1e-9
    ]
    assert fpr_at_tpr(clean, adversarial, tpr) == pytest.approx(min(rates), abs=1e-6)


def test_fpr_at_tpr_is_at_95_percent_unless_told():
    adversarial = torch.arange(20.0)
    clean = torch.tensor([-5.0, 0.5, 1.5, 30.0])
    assert fpr_at_tpr(clean, adversarial) == 0.5  # 19 of 20 are above .5: 1.5 and 30 are as well
    assert fpr_at_tpr(clean, adversarial, 1.0) == 0.75


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0.0, (3 / 4 + 1 / 2) / 2), (1.5, (1 + 1 / 2) / 2), (-10.0, 0.5), (10.0, 0.5), (2.0, 0.5)],
)
def test_balanced_accuracy_weighs_both_kinds_alike(limit, expected):
    clean = torch.tensor([-3.0, 0.0, -1.0, 1.0])
    adversarial = torch.tensor([2.0, -2.0])
    assert balanced_accuracy(clean, adversarial, limit) == pytest.approx(expected)


def test_balanced_accuracy_is_at_score_0_unless_told():
    clean, adversarial = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.5])
    assert balanced_accuracy(clean, adversarial) == 1


@pytest.mark.parametrize(("limit", "share"), [(-1, 1), (0, 0.75), (1, 0.5), (2, 0)])
def test_rate_above_counts_scores_strictly_above(limit, share):
    assert rate_above(torch.tensor([0.0, 1.0, 2.0, 1.5]), limit) == share


@pytest.mark.parametrize("value", [0.0, 50.0, -300.0])
def test_a_constant_score_is_chance(value):
    clean, adversarial = torch.full((7,), value), torch.full((5,), value)
    assert auroc(clean, adversarial) == 0.5
    assert balanced_accuracy(clean, adversarial) == 0.5
    assert fpr_at_tpr(clean, adversarial) == 1
    assert average_precision(clean, adversarial) == pytest.approx(5 / 12)


@pytest.mark.parametrize("shift", [0.0, 100.0, -100.0])
def test_perfect_and_reversed_scores(shift):
    low, high = torch.arange(5.0) + shift, torch.arange(5.0, 9.0) + shift
    assert auroc(low, high) == pytest.approx(1, abs=1e-6)
    assert average_precision(low, high) == pytest.approx(1, abs=1e-6)
    assert fpr_at_tpr(low, high) == 0
    assert auroc(high, low) == pytest.approx(0, abs=1e-6)
    assert fpr_at_tpr(high, low) == 1


def test_logits_whose_sigmoid_is_exactly_1_do_not_tie():
    clean, adversarial = torch.tensor([40.0, 41.0]), torch.tensor([42.0, 90.0])
    assert clean.sigmoid().eq(1).all()
    assert auroc(clean, adversarial) == 1


@given(st.tuples(*[st.floats(-1e6, 1e6, width=32).filter(lambda value: value == 0 or abs(value) > 1e-6)] * 2))
def test_probabilities_keep_the_order_strictly_within_0_and_1(pair):
    low, high = sorted(pair)
    assume(low < high)
    first, second = probabilities(torch.tensor([low, high])).tolist()
    assert 0 < first < second < 1


def test_probabilities_of_scores_around_0_lie_around_one_half():
    values = probabilities(torch.tensor([-1.0, 0.0, 1.0, 3.0]))
    assert values.tolist() == [0.25, 0.5, 0.75, 0.875]
    assert values.dtype == torch.float64


@given(PAIRS)
def test_training_metrics_over_batches_equal_those_of_all_scores(pair):
    clean, adversarial = pair
    scores = torch.cat([clean, adversarial])
    targets = torch.cat([torch.zeros(len(clean)), torch.ones(len(adversarial))]).long()
    metrics = training_metrics()
    for rows in torch.arange(len(scores)).split(7):
        metrics.update(probabilities(scores[rows]), targets[rows])
    values = {name: value.item() for name, value in metrics.compute().items()}
    right = ((scores > 0).long() == targets).double().mean().item()
    assert values == {
        "auroc": pytest.approx(auroc(clean, adversarial), abs=1e-6),
        "average_precision": pytest.approx(average_precision(clean, adversarial), abs=1e-6),
        "accuracy": pytest.approx(right, abs=1e-6),
    }


SCORES, NONE = torch.tensor([0.0, 1.0, 2.0]), torch.empty(0)
BROKEN = torch.tensor([0.0, torch.nan, 2.0])
UNDEFINED = {
    "no clean": (NONE, SCORES),
    "no adversarial": (SCORES, NONE),
    "none": (NONE, NONE),
    "NaN of a clean one": (BROKEN, SCORES),
    "NaN of an adversarial one": (SCORES, BROKEN),
}


@pytest.mark.parametrize("pair", UNDEFINED.values(), ids=UNDEFINED)
@pytest.mark.parametrize("metric", [auroc, average_precision, fpr_at_tpr, balanced_accuracy, roc])
def test_of_one_kind_or_of_nan_nothing_is_known(metric, pair):
    assert metric(*pair) is None


def test_no_rate_of_no_scores_or_of_nan():
    assert rate_above(NONE, 0.0) is None
    assert rate_above(BROKEN, 0.0) is None


def test_infinite_scores_have_an_order():
    assert auroc(torch.tensor([-torch.inf, 0.0]), torch.tensor([1.0, torch.inf])) == 1
    assert rate_above(torch.tensor([-torch.inf, torch.inf]), 0.0) == 0.5


@pytest.mark.filterwarnings("ignore:No (positive|negative) samples")
@pytest.mark.parametrize("pair", [pair for name, pair in UNDEFINED.items() if name != "none"])
def test_training_metrics_of_one_kind_or_of_nan_are_nan(pair):
    clean, adversarial = pair
    metrics = training_metrics()
    targets = torch.cat([torch.zeros(len(clean)), torch.ones(len(adversarial))]).long()
    metrics.update(probabilities(torch.cat(pair)), targets)
    values = metrics.compute()
    assert values["auroc"].isnan()
    assert values["average_precision"].isnan()
