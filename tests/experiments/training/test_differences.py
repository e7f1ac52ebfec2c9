"""Two configs of a fit compute the same, or the first key that says otherwise is named."""

from copy import deepcopy

import pytest

from experiments.errors import UsageError
from experiments.training.run_inputs import changed

ATTACK = {"class_path": "attacks.BIM", "init_args": {"epsilon": 0.1, "steps": 10}}
PLANNED = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 3, "default_root_dir": "runs/new/detectors/id", "devices": 2, "clip": None},
    "model": {"class_path": "A", "init_args": {"classifier": "runs/new/classifier/model.ckpt", "widths": [4, 8]}},
    "data": {"class_path": "B", "init_args": {"root": "here", "attacks": [ATTACK], "weights": "/nets/net.pt"}},
}


def filled(config):
    """Fill the defaults in; there is none for the classifier."""
    config = deepcopy(config)
    arguments = config["model"]["init_args"]
    if "classifier" not in arguments:
        raise UsageError("required: classifier")  # noqa: EM101, TRY003
    config["trainer"].setdefault("clip", None)
    arguments.setdefault("widths", [4, 8])
    for attack in config["data"]["init_args"]["attacks"]:
        attack["init_args"].setdefault("steps", 10)
    return config


def compare(change, **options):
    """Return the key and the values that `changed` names for a config that was changed."""
    started = deepcopy(PLANNED)
    change(started, started["model"]["init_args"], started["data"]["init_args"])
    return changed(started, PLANNED, filled, **options)


@pytest.mark.parametrize(
    "change",
    [
        lambda *_: None,
        lambda _, __, data: data.update(root="elsewhere"),
        lambda started, *_: started["trainer"].update(devices=1, logger="x"),
        lambda started, *_: started["trainer"].pop("clip"),
        lambda _, model, __: model.pop("widths"),
        lambda _, __, data: data["attacks"][0]["init_args"].pop("steps"),
    ],
    ids=["nothing", "where the images lie", "what it runs on", "null by default", "default", "default in a list"],
)
def test_what_changes_no_number_is_no_difference(change):
    assert compare(change) is None


@pytest.mark.parametrize("new", ["runs/new", "/somewhere/new", "new"])
def test_a_folder_that_moved_with_what_lies_beside_the_fit_is_no_difference(new):
    def moved(started, model, _):
        started["trainer"]["default_root_dir"] = f"{new}/detectors/id"
        model["classifier"] = f"{new}/classifier/model.ckpt"

    assert compare(moved) is None


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda started, *_: started.update(seed_everything=1), ("seed_everything", 1, 0)),
        (lambda _, model, __: model.update(widths=[4]), ("model.init_args.widths", [4], [4, 8])),
        (lambda _, model, __: model.update(gone=2), ("model.init_args.gone", 2, None)),
        (
            lambda _, model, __: model.pop("classifier"),
            ("model.init_args.classifier", None, "runs/new/classifier/model.ckpt"),
        ),
        (
            lambda _, model, __: model.update(classifier="runs/old/classifier/model.ckpt"),
            ("model.init_args.classifier", "runs/old/classifier/model.ckpt", "runs/new/classifier/model.ckpt"),
        ),
        (
            lambda _, __, data: data.update(weights="/nets/other.pt"),
            ("data.init_args.weights", "/nets/other.pt", "/nets/net.pt"),
        ),
        (
            lambda _, __, data: data["attacks"][0].update(class_path="attacks.MIM"),
            ("data.init_args.attacks", [{**ATTACK, "class_path": "attacks.MIM"}], [ATTACK]),
        ),
        (lambda started, *_: started["trainer"].update(max_epochs=2), ("trainer.max_epochs", 2, 3)),
        (lambda started, *_: started["trainer"].update(clip=1), ("trainer.clip", 1, None)),
    ],
)
def test_the_first_key_that_differs_is_named_with_both_values(change, found):
    assert compare(change) == found


def test_a_value_that_an_older_config_lacks_and_that_is_not_the_default_differs():
    planned = deepcopy(PLANNED)
    planned["model"]["init_args"]["widths"] = [16]
    started = deepcopy(PLANNED)
    del started["model"]["init_args"]["widths"]
    assert changed(started, planned, filled) == ("model.init_args.widths", [4, 8], [16])


def test_more_keys_may_be_free():
    assert compare(lambda started, *_: started["trainer"].update(max_epochs=2), free={"max_epochs"}) is None
