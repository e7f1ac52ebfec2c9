"""On a device the host waits only where a loop looks at who is done, and looks change no result; shown on the CPU."""

import pytest
import torch
from torch import nn

from attacks import JSMA, DeepFool, GreedyL0, LocalizedBIM, jsma, loop
from attacks.pixel_pairs import best_pair
from tests.attacks.cases import OURS, each, goals
from tests.attacks.minimal import trained_net
from tests.attacks.waits import Waits, waits_by_pass

_VALUES = torch.arange(6.0)
_MASK = _VALUES > 2
_ROWS = torch.tensor([1, 4])

WAITING = {
    "item": lambda x: x[0].item(),
    "truth": lambda x: bool((x > 0).all()),
    "whole number": lambda x: int(x.max()),
    "mask": lambda x: x[_MASK],
    "write by mask": lambda x: x.__setitem__(_MASK, -x[:3]),
    "mask of some rows": lambda x: x[_ROWS[_MASK[_ROWS]]],
    "nonzero": lambda x: x.nonzero(),
    "masked_select": lambda x: x.masked_select(_MASK),
    "unique": lambda x: x.unique(),
    "equal": lambda x: torch.equal(x, x),
    "new tensor": lambda _: torch.tensor([1.0, 2.0]),
}
PLAIN = {
    "rows": lambda x: x[_ROWS],
    "write to rows": lambda x: x.__setitem__(_ROWS, -x[:2]),
    "added to rows": lambda x: x[_ROWS].add_(1),
    "number to rows": lambda x: x.__setitem__(_ROWS, 1.0),
    "number by mask": lambda x: x.__setitem__(_MASK, 1.0),  # becomes masked_fill_
    "where": lambda x: torch.where(_MASK, x, -x) + torch.where(_MASK, x, 0.0),
    "topk and gather": lambda x: x.gather(0, x.topk(2).indices),
    "type": lambda x: x.double() + _MASK.to(x.dtype),
    "slices": lambda x: x[1:3] * x[None, -2:],
}


def looked(interval, monkeypatch):
    """Let loops look after so many steps."""
    monkeypatch.setattr(loop, "steps_between_looks", lambda _device: interval)


@pytest.mark.parametrize("name", WAITING)
def test_operations_that_wait_are_counted(name):
    with Waits() as counted:
        WAITING[name](_VALUES.clone())
    assert counted.counts[0] >= 1


@pytest.mark.parametrize("name", PLAIN)
def test_other_operations_are_not_counted(name):
    with Waits() as counted:
        PLAIN[name](_VALUES.clone())
    assert counted.counts == [0]


def test_waits_of_a_backward_pass_are_counted_with_its_pass():
    class Asking(torch.autograd.Function):
        @staticmethod
        def forward(_, x):
            return x.clone()

        @staticmethod
        def backward(_, gradient):
            return gradient * gradient.sum().item()

    model = nn.Flatten()
    with waits_by_pass(model) as counts:
        for _ in range(2):
            Asking.apply(model(torch.ones(1, 1, 2, 2, requires_grad=True))).sum().backward()
    assert counts == [0, 1, 1]


@each(OURS)
def test_the_host_waits_in_the_first_pass_the_last_and_at_looks_only(attack, classifier, images, labels, monkeypatch):
    looked(6, monkeypatch)
    labels = goals(attack, classifier, images)
    with waits_by_pass(classifier) as counts:
        attack(classifier, images, labels)
    passes = len(counts) - 1
    # DeepFool's looks are another loop's, for those that start from it; a restart of PGD is judged in a pass of its own
    assert sum(count > 0 for count in counts[1:]) <= 3 + passes // 6


@pytest.mark.parametrize("attack", [DeepFool(steps=40), LocalizedBIM(steps=40), JSMA(gamma=0.6)], ids=repr)
def test_images_that_never_get_there_are_looked_at_now_and_then(attack, linear, images, monkeypatch):
    looked(10, monkeypatch)
    with torch.no_grad():
        linear[1].bias.copy_(torch.tensor([1e4, 0.0, 0.0, 0.0]))
    with waits_by_pass(linear) as counts:
        result = attack.report(linear, images)
    assert not result.success.any()
    assert len(counts) > 35
    assert sum(count > 0 for count in counts[1:]) <= 4 + len(counts) // 10


@pytest.mark.parametrize("interval", [1, 4])
@pytest.mark.parametrize("attack", [JSMA(), GreedyL0(), GreedyL0(gamma=0.0)], ids=repr)
def test_images_of_too_few_values_for_a_step_stay_as_they_are(attack, interval, monkeypatch):
    looked(interval, monkeypatch)
    images = torch.full((2, 1, 1, 1), 0.5)
    result = attack.report(nn.Sequential(nn.Flatten(), nn.Linear(1, 3)), images)
    assert torch.equal(result.images, images)
    assert result.backward_passes.tolist() == [0, 0]


@pytest.mark.parametrize("interval", [2, 7])
@each(OURS)
def test_results_do_not_depend_on_when_loops_look(attack, interval, classifier, images, monkeypatch):
    model, images = classifier.double(), images.double()
    labels = goals(attack, model, images)
    expected = attack.report(model, images, labels)
    looked(interval, monkeypatch)
    result = attack.report(model, images, labels)
    torch.testing.assert_close(result.images, expected.images, rtol=0, atol=1e-6)
    assert (result.forward_passes >= expected.forward_passes).all()  # what goes along is counted


@pytest.mark.slow
@each({name: attack for name, attack in OURS.items() if type(attack).__name__ not in {"FGSM", "BIM", "MIM"}})
def test_results_of_a_trained_net_do_not_depend_on_when_loops_look(attack, monkeypatch):
    net, images = trained_net(12)
    model, images = net.double(), images.double()
    labels = goals(attack, model, images)
    expected = attack(model, images, labels)
    looked(4, monkeypatch)
    torch.testing.assert_close(attack(model, images, labels), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("targeted", [False, True])
def test_images_whose_pair_is_not_known_wait_for_the_next_look(targeted, monkeypatch):
    net, images = trained_net(12)
    model, images = net.double(), images.double()
    attack = JSMA(gamma=0.4, targeted=targeted)
    labels = goals(attack, model, images)
    expected = attack.report(model, images, labels)

    def nothing_known(target, others, free):
        pairs, found = best_pair(target, others, free)
        return torch.zeros_like(pairs), ~found, torch.zeros_like(found)

    monkeypatch.setattr(jsma, "likely_pair", nothing_known)
    looked(3, monkeypatch)
    result = attack.report(model, images, labels)
    assert expected.success.any()
    assert torch.equal(result.success, expected.success)
    torch.testing.assert_close(result.images, expected.images, rtol=0, atol=1e-9)
    assert result.forward_passes.sum() > 2 * expected.forward_passes.sum()
