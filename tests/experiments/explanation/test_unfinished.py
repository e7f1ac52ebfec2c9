"""What an interrupted study of maps goes on from."""

from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
import torch

import evaluate
from attacks import FGSM
from experiments.explanation.similarity.protocol import similarity
from experiments.explanation.subject import explained
from experiments.study import kept_tensors
from saliency import Gradient, Random
from tests.experiments.studies import copy_of, study_of


@pytest.fixture
def run(finished, tmp_path):
    return copy_of(finished, tmp_path)


@pytest.fixture
def slow(monkeypatch):
    """Let all that is made take 100 seconds by the clock."""
    monkeypatch.setattr(kept_tensors, "time", SimpleNamespace(perf_counter=partial(next, count(0, 100))))


class Counted(Gradient):
    """The gradient; counts its calls."""

    calls = 0

    def attribute(self, *arguments):
        type(self).calls += 1
        return super().attribute(*arguments)


@pytest.fixture
def subject(run, monkeypatch):
    monkeypatch.setattr(Counted, "calls", 0)
    return partial(explained, study_of(run), "recover", images=6, methods={"counted": Counted(), "random": Random()})


def kept(run, protocol="recover"):
    return len(list((run / "report" / "unfinished" / protocol).glob("*.pt")))


def test_what_took_long_is_read_by_the_next_start(run, slow, subject):
    first = subject()
    adversarial = first.attacked(FGSM(epsilon=0.1), first.images)
    maps = first.maps("counted", adversarial)
    assert kept(run) == 3  # logits, images, maps
    again = subject()
    assert torch.equal(again.maps("counted", again.attacked(FGSM(epsilon=0.1), again.images)), maps)
    assert Counted.calls == 1
    assert kept(run) == 3


def test_each_input_counts(run, slow, subject):
    found = subject()
    images, classes = found.images, found.predictions
    made = [
        found.attributions("counted", images),
        found.attributions("counted", images, classes),
        found.attributions("counted", images, (classes + 1) % 10),
        found.attributions("counted", images.flip(3)),
        found.attributions("random", images),
        found.attributions("random", images, seed=1),
        found.attacked(FGSM(epsilon=0.1), images),
        found.attacked(FGSM(epsilon=0.2), images),
    ]
    assert kept(run) == len(made) + 1  # and the logits


def test_maps_made_anew_are_not_read(run, slow, subject):
    found = subject()
    for _ in range(2):
        found.attributions("counted", found.images, anew=True)
    assert Counted.calls == 2
    assert kept(run) == 1


def test_what_is_quick_is_not_kept(run, subject):
    found = subject()
    found.maps("counted", found.images)
    assert kept(run) == 0


def test_a_method_that_cannot_be_hashed_is_made_each_time(run, slow, subject):
    found = subject()
    object.__setattr__(found.methods["counted"], "reduction", object())
    for _ in range(2):
        found.attributions("counted", found.images)
    assert Counted.calls == 2


def test_an_interrupted_command_goes_on_and_leaves_nothing(run, slow, monkeypatch):
    options = {"images": 6, "targets": [0], "epsilons": [0.1], "methods": {"gradient": Gradient()}}
    with monkeypatch.context() as patched:
        patched.setattr("experiments.explanation.similarity.protocol.charts", interrupted)
        with pytest.raises(KeyboardInterrupt):
            similarity(study_of(run), **options)
    made = kept(run, "similarity")
    assert made > 5
    resumed = similarity(study_of(run), **options)
    assert kept(run, "similarity") == made  # all was read
    arguments = ["--images", "6", "--targets", "[0]", "--epsilons", "[.1]", "--methods.gradient", "saliency.Gradient"]
    assert evaluate.main(["similarity", "--run", str(run), *arguments]) == 0
    assert not (run / "report" / "unfinished" / "similarity").exists()
    assert similarity(study_of(run), **options).rows == resumed.rows


def interrupted(_records):
    raise KeyboardInterrupt
