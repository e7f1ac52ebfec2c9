"""Durations of the parts of a command, and the time left."""

import pytest

from experiments.results.durations import Durations, in_words
from experiments.training.pipeline import kind_of


def test_the_time_left_is_the_mean_of_the_same_kind(tmp_path):
    durations = Durations(tmp_path, kind_of)
    durations.add("detectors/spd/fgsm/seed_0", 10)
    durations.add("detectors/spd/bim/seed_0", 20)
    todo = ["detectors/spd/fgsm/seed_1", "detectors/spd/bim/seed_1"]
    assert Durations(tmp_path, kind_of).left(todo) == "time left: about 30.0 s"
    assert durations.left([*todo, "classifier/second"]) == (
        "time left: at least 30.0 s, 1 of 3 are of a kind not timed yet"
    )


def test_side_by_side_the_time_left_is_shared_but_no_shorter_than_a_part(tmp_path):
    durations = Durations(tmp_path)
    durations.add("long", 20)
    durations.add("short", 4)
    assert durations.left(["long", "short"], at_a_time=2) == "time left: at least 20.0 s"
    assert durations.left(["long", "long", "short"], at_a_time=2) == "time left: at least 22.0 s"


def test_what_was_never_timed_is_not_made_up(tmp_path):
    assert Durations(tmp_path).left(["transfer"]) == "time left: unknown, nothing like it was timed here yet"


def test_where_nothing_was_timed_the_demo_s_seconds_are_told(tmp_path):
    durations = Durations(tmp_path, demo={"transfer": 36.0, "shift": 3.0, "gallery": 2.0})
    unknown = "time left: unknown, nothing like it was timed here yet; on the demo's digits it takes about 5.0 s"
    assert durations.left(["shift", "gallery"]) == unknown
    durations.add("shift", 9)
    told = "time left: at least 9.0 s, 1 of 2 are of a kind not timed yet; on the demo's digits it takes about 5.0 s"
    assert durations.left(["shift", "gallery"]) == told
    assert durations.left(["shift"]) == "time left: about 9.0 s"


@pytest.mark.parametrize("text", ["[", "- 1\n", "transfer: soon\n"])
def test_a_damaged_file_counts_as_none(tmp_path, text):
    (tmp_path / "durations.yaml").write_text(text)
    assert Durations(tmp_path).seconds == {}


@pytest.mark.parametrize(("seconds", "words"), [(3.44, "3.4 s"), (125, "2 min"), (9000, "2.5 h")])
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("classifier/seed_0", "classifier"),
        ("classifier/second", "classifier"),
        ("saliency/mask", "saliency/mask"),
        ("detectors/spd/fgsm/seed_1", "detectors/spd"),
        ("retrained/spd/seed_0", "retrained/spd"),
    ],
)
def test_kinds_of_stages(stage, kind):
    assert kind_of(stage) == kind
