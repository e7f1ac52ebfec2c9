"""Training-free detectors of a pipeline file: a user's own, and what is refused."""

import json
import sys

import pytest
import yaml
from torch import nn

import evaluate
from experiments.errors import UsageError
from experiments.training.settings import read_settings
from experiments.training.training_free import TRAINING_FREE, check_training_free
from tests.experiments.conftest import pipeline_file
from tests.experiments.studies import copy_of, study_of

OWN = '''
import torch
from torch import nn


class Uneven(nn.Module):
    """Flags images whose neighbouring pixels differ."""

    def __init__(self, power=1.0):
        super().__init__()
        self.power = power

    def forward(self, images):
        return (images.diff(dim=-1).abs() ** self.power).mean((1, 2, 3))


class Area(nn.Module):
    def __init__(self, *, saliency, classifier):
        super().__init__()
        self.saliency, self.classifier = saliency, classifier

    def forward(self, images):
        return self.saliency(self.classifier, images).mean((1, 2, 3))


class Wide(nn.Linear):
    def __init__(self):
        super().__init__(5, 1)


class Needy(nn.Module):
    def __init__(self, classifier, depth):
        super().__init__()


class Broken(nn.Module):
    def __init__(self):
        raise KeyError("nothing")


class Plain:
    pass
'''


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A module of the user's own, outside of what is installed."""
    (tmp_path / "my_scores.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_scores"


def changed(finished, folder, **sections):
    """Return a copy of a run with other sections in its pipeline file."""
    copy = copy_of(finished, folder)
    path = copy / "pipeline.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections, sort_keys=False))
    return copy


@pytest.mark.slow
def test_a_module_of_ones_own_is_a_row_of_transfer_and_is_attacked(finished, tmp_path, own_module, capsys):
    free = {
        "max_softmax": {"class_path": "detectors.MaxSoftmax"},
        "uneven": {"class_path": f"{own_module}.Uneven", "init_args": {"power": 2.0}},
        "own_area": {"class_path": f"{own_module}.Area"},
    }
    copy = changed(finished, tmp_path, training_free=free)
    command = ["--run", str(copy), "--device", "cpu", "--resamples", "10"]
    assert evaluate.main(["transfer", *command]) == 1
    assert f"add --imports '[{own_module}]' if it is yours" in capsys.readouterr().err
    sys.modules.pop(own_module, None)
    assert evaluate.main(["transfer", *command, "--imports", f"[{own_module}]"]) == 0
    rows = json.loads((copy / "report" / "transfer.json").read_text())["rows"]
    assert list(dict.fromkeys(row["detector"] for row in rows)) == ["id", "spd", "max_softmax", "uneven", "own_area"]
    small = ["--images", "4", "--steps", "1", "--curve_images", "0", "--detectors", "[uneven,own_area]"]
    assert evaluate.main(["white-box", *command, *small, "--trust"]) == 0
    rows = json.loads((copy / "report" / "white-box.json").read_text())["rows"]
    assert {row["detector"] for row in rows if row["attack"] == "transfer"} == {"uneven", "own_area"}


def test_a_run_from_before_the_section_has_the_four(finished, tmp_path):
    contents = yaml.safe_load((finished / "pipeline.yaml").read_text())
    assert contents.pop("training_free") == TRAINING_FREE
    copy = copy_of(finished, tmp_path)
    (copy / "pipeline.yaml").write_text(yaml.safe_dump(contents, sort_keys=False))
    assert [each.name for each in study_of(copy).training_free] == list(TRAINING_FREE)


def test_a_detector_whose_part_the_run_lacks_is_left_out_with_a_line(finished, tmp_path, capsys):
    study = study_of(changed(finished, tmp_path, saliency={}, detectors={}))
    study.__dict__["second"] = None
    assert [each.name for each in study.training_free] == ["max_softmax"]
    assert capsys.readouterr().out.splitlines() == [
        "mask_area is left out: the run has no saliency model",
        "disagreement is left out: the run has no saliency model",
        "second_classifier is left out: the run has no second classifier of other weights",
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("detectors.MaxSoftmax", "needs a class_path, for example {class_path: detectors.MaxSoftmax}, got 'detectors"),
        ({"class_path": "detectors.MaxSoftmax", "args": {}}, "unknown key 'args'. Did you mean 'init_args'?"),
        (
            {"class_path": "detectors.MaxSoftmax", "init_args": [1]},
            "must have init_args with arguments by name, got [1]",
        ),
        ({"class_path": "detectors.MaxSoftmx"}, "'MaxSoftmx'. Did you mean 'detectors.MaxSoftmax'?"),
        ({"class_pth": "detectors.MaxSoftmax"}, "has an unknown key 'class_pth'. Did you mean 'class_path'?"),
        ({"class_path": "my_scores.Plain"}, "names my_scores.Plain, which is no class of torch.nn.Module"),
        ({"class_path": "my_scores.Needy"}, "lacks depth, which my_scores.Needy needs: give init_args, for example"),
        (
            {"class_path": "my_scores.Uneven", "init_args": {"pwer": 1}},
            "gives my_scores.Uneven an unknown argument 'pwer'. Did you mean 'power'?",
        ),
    ],
)
@pytest.mark.usefixtures("own_module")
def test_what_cannot_be_built_is_refused_when_the_file_is_read(tmp_path, entry, message):
    file = pipeline_file(tmp_path, tmp_path / "run", training_free={"own": entry})
    with pytest.raises((ValueError, UsageError), match=r"^training_free\.own") as error:
        read_settings(["--config", str(file)])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Wide", "my_scores.Wide does not take the run's images (RuntimeError: "),
        ("Broken", "my_scores.Broken cannot be built (KeyError: 'nothing')"),
    ],
)
@pytest.mark.usefixtures("own_module")
def test_what_does_not_take_the_images_is_refused_in_a_sentence(finished, tmp_path, capsys, name, message):
    copy = changed(finished, tmp_path, training_free={"own": {"class_path": f"my_scores.{name}"}})
    assert evaluate.main(["transfer", "--run", str(copy), "--device", "cpu", "--trust"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "options", "names"),
    [
        ({}, [], list(TRAINING_FREE)),
        ({"training_free": {"a": {"class_path": "torch.nn.Identity"}}}, [], ["a"]),
        ({"training_free": None}, [], []),
        ({}, ["--training_free.a.class_path=torch.nn.Identity"], [*TRAINING_FREE, "a"]),
    ],
)
def test_the_section_replaces_the_four_and_an_option_adds_to_them(tmp_path, changes, options, names):
    file = pipeline_file(tmp_path, tmp_path / "run", **changes)
    settings = read_settings(["--config", str(file), *options])
    assert list(settings.sections["training_free"]) == names
    assert list(yaml.safe_load(settings.resolved)["training_free"]) == names
    check_training_free(settings.sections["training_free"])


def test_two_detectors_of_one_name_are_refused(tmp_path):
    file = pipeline_file(tmp_path, tmp_path / "run", training_free={"spd": {"class_path": "detectors.MaxSoftmax"}})
    with pytest.raises(ValueError, match="detectors and training_free both name spd"):
        read_settings(["--config", str(file)])


def test_a_part_that_has_a_default_may_be_lacking(finished, tmp_path, monkeypatch):
    class Optional(nn.Module):
        def __init__(self, saliency=None):
            super().__init__()
            self.saliency = saliency

    monkeypatch.setattr("detectors.MaskArea", Optional)
    free = {"area": {"class_path": "detectors.MaskArea"}}
    study = study_of(changed(finished, tmp_path, saliency={}, detectors={}, training_free=free))
    assert study.training_free_detector("area").saliency is None
