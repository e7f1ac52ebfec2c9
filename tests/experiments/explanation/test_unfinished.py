"""What an interrupted study of maps goes on from."""

import errno
from dataclasses import dataclass
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

import evaluate
from attacks import FGSM
from experiments.explanation.similarity.protocol import similarity
from experiments.explanation.subject import explained
from experiments.explanation.unfinished import forget
from experiments.study import kept_tensors
from saliency import Gradient, Random
from tests.experiments.nets import Grey
from tests.experiments.studies import copy_of, study_of


@pytest.fixture
def run(finished, tmp_path):
    return copy_of(finished, tmp_path)


@pytest.fixture
def slow(monkeypatch):
    """Let all that is made take 100 seconds by the clock."""
    monkeypatch.setattr(kept_tensors, "time", SimpleNamespace(perf_counter=partial(next, count(0, 100))))


@dataclass(frozen=True)
class Counted(Gradient):
    """The gradient; counts its calls."""

    scale: float = 1.0
    calls: ClassVar[int] = 0

    def attribute(self, *arguments):
        Counted.calls += 1
        return self.scale * super().attribute(*arguments)


class Undigested(Counted):
    """Holds something that is no field."""

    def __post_init__(self):
        object.__setattr__(self, "own", object())


class Extra(Grey):
    """A network whose state is more than tensors."""

    def get_extra_state(self):
        return {"version": 1}

    def set_extra_state(self, state):
        pass


METHODS = {"counted": Counted(), "scaled": Counted(scale=2.0), "undigested": Undigested(), "random": Random()}


@pytest.fixture
def subject(run, monkeypatch):
    monkeypatch.setattr(Counted, "calls", 0)
    return partial(explained, study_of(run), "recover", images=6, methods=METHODS)


def kept(run, protocol="recover"):
    return len(list((run / "report" / "unfinished" / protocol).glob("*.pt")))


@pytest.mark.usefixtures("slow")
def test_what_took_long_is_read_by_the_next_start(run, subject):
    first = subject()
    adversarial = first.attacked(FGSM(epsilon=0.1), first.images)
    maps = first.maps("counted", adversarial)
    assert kept(run) == 3  # logits, images, maps
    again = subject()
    assert torch.equal(again.maps("counted", again.attacked(FGSM(epsilon=0.1), again.images)), maps)
    assert Counted.calls == 1
    assert kept(run) == 3


@pytest.mark.usefixtures("slow")
def test_blocks_are_kept_as_soon_as_they_are_made(run, subject, monkeypatch):
    monkeypatch.setattr("experiments.explanation.unfinished.BATCH", 4)
    found = subject()
    expected = found.attributions("counted", found.images, anew=True)
    torch.testing.assert_close(found.attributions("counted", found.images), expected, rtol=0, atol=1e-6)
    assert kept(run) == 4  # two of the logits, two of these


@pytest.mark.slow
@pytest.mark.usefixtures("slow")
def test_each_input_counts(run, subject):
    found = subject()
    images, classes, half = found.images, found.predictions, torch.ones(6, 1, 28, 28)
    half[..., :14] = 0
    made = [
        found.attributions("counted", images),
        found.attributions("counted", images, classes),
        found.attributions("counted", images, (classes + 1) % 10),
        found.attributions("counted", images.flip(3)),
        found.attributions("scaled", images),
        found.attributions("random", images),
        found.attributions("random", images, seed=1),
        found.attacked(FGSM(epsilon=0.1), images),
        found.attacked(FGSM(epsilon=0.2), images),
        found.attacked(FGSM(epsilon=0.1), images, (classes + 1) % 10),
        found.attacked(FGSM(epsilon=0.1), images, region=half),
    ]
    assert kept(run) == len(made) + 1  # and the logits
    with torch.no_grad():
        next(found.classifier.parameters()).add_(0.1)
    subject()
    assert kept(run) == len(made) + 2  # the logits by other weights


@pytest.mark.usefixtures("slow")
def test_maps_made_anew_are_not_read(run, subject):
    found = subject()
    for anew in (False, True, True):
        found.attributions("counted", found.images, anew=anew)
    assert Counted.calls == 3
    assert kept(run) == 2


def test_what_is_quick_is_not_kept(run, subject, monkeypatch):
    monkeypatch.setattr(kept_tensors, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    found = subject()
    found.maps("counted", found.images)
    assert kept(run) == 0


@pytest.mark.usefixtures("slow")
def test_a_method_that_cannot_be_hashed_is_made_each_time(run, subject):
    found = subject()
    for _ in range(2):
        found.attributions("undigested", found.images)
    assert Counted.calls == 2
    assert kept(run) == 1


@pytest.mark.usefixtures("slow")
def test_what_a_classifier_that_cannot_be_hashed_returns_is_not_kept(run, subject):
    assert len(subject(classifier=Extra()).logits) == 6
    assert kept(run, "recover-extra") == 0


@pytest.mark.usefixtures("slow")
def test_a_disk_that_is_full_ends_nothing(subject, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept_tensors, "write_shard", full)
    assert len(subject().logits) == 6


@pytest.mark.slow
@pytest.mark.usefixtures("slow")
def test_an_interrupted_command_goes_on_and_leaves_nothing(run, monkeypatch):
    options = {"images": 6, "targets": [0], "epsilons": [0.1], "methods": {"counted": Counted()}}
    with monkeypatch.context() as patched:
        patched.setattr("experiments.explanation.similarity.protocol.charts", interrupted)
        with pytest.raises(KeyboardInterrupt):
            similarity(study_of(run), **options)
    assert kept(run, "similarity") > 5
    monkeypatch.setattr(Counted, "calls", 0)
    resumed = similarity(study_of(run), **options)
    assert Counted.calls == 1  # the maps that are made anew, to be compared
    forget(run / "report", "similarity")
    assert not (run / "report" / "unfinished").exists()
    assert similarity(study_of(run), **options).rows == resumed.rows


@pytest.mark.slow
@pytest.mark.usefixtures("slow")
def test_a_written_report_leaves_nothing_but_what_other_studies_keep(run, subject):
    subject()
    arguments = ["--images", "6", "--targets", "[0]", "--epsilons", "[.1]", "--methods.gradient", "saliency.Gradient"]
    assert evaluate.main(["similarity", "--run", str(run), *arguments]) == 0
    assert [path.name for path in (run / "report" / "unfinished").iterdir()] == ["recover"]
    assert kept(run) == 1


def interrupted(_records):
    raise KeyboardInterrupt
