"""A run goes on only with the data, the files of weights and the configs that it was made with."""

import json
import shutil
from copy import deepcopy

import pytest
import torch
import yaml

import evaluate
import train
from experiments.errors import UsageError
from experiments.training.run_inputs import DATA_RECORD, WEIGHTS_RECORD, changed, check_record, keep_record
from tests.experiments.conftest import pipeline_file
from tests.experiments.nets import Grey

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


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy", ignore=shutil.ignore_patterns("report"))
    return tmp_path / "copy"


def rewrite_record(copy, **keys):
    record = yaml.safe_load((copy / DATA_RECORD).read_text())
    (copy / DATA_RECORD).write_text(yaml.safe_dump(record | keys))


def test_a_run_says_which_data_made_it(finished, digits):
    record = yaml.safe_load((finished / DATA_RECORD).read_text())
    assert record["images"]["test"] == 40
    digits.setup()
    assert record["fingerprint"] == digits.fingerprint()
    assert check_record(finished, digits)


@pytest.mark.slow
def test_other_data_are_refused_by_pipeline_and_evaluation(copy, capsys):
    rewrite_record(copy, fingerprint="other")
    commands = (
        lambda: train.main(["pipeline", "--config", str(copy / "pipeline.yaml"), "--run", str(copy)]),
        lambda: evaluate.main(["transfer", "--run", str(copy), "--device", "cpu"]),
    )
    for command in commands:
        assert command() == 1
        error = capsys.readouterr().err
        assert "was made with other data (as many images, but not the same or in another order): " in error
        assert f"delete {copy / DATA_RECORD} to go on all the same" in error
        assert error.count("\n") == 1


def test_other_splits_are_refused(tmp_path, digits):
    digits.setup()
    keep_record(tmp_path, digits)
    keep_record(tmp_path, digits)
    positions = digits.split("test").positions
    digits.split("test").positions = positions.flip(0)
    with pytest.raises(ValueError, match="images of one split would be in another"):
        check_record(tmp_path, digits)


def test_an_old_run_without_a_record_is_accepted(tmp_path, digits):
    digits.setup()
    assert not check_record(tmp_path, digits)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The file of a pipeline that is finished."""
    folder = tmp_path_factory.mktemp("own")
    torch.manual_seed(0)
    torch.save(Grey().state_dict(), folder / "net.pt")
    wrapped = {"network": "tests.experiments.nets.Grey", "weights": str(folder / "net.pt")}
    network = {"class_path": "detectors.WrappedNetwork", "init_args": wrapped}
    classifier = {
        "model": {"class_path": "detectors.Classifier", "init_args": {"network": network}},
        "trainer": {"max_epochs": 0},
    }
    detectors = {"id": {"model": {"class_path": "detectors.ID", "init_args": {"widths": [4]}}}}
    changes = {"classifier": classifier, "saliency": {}, "detectors": detectors, "trainer": {"max_epochs": 1}}
    file = pipeline_file(folder, folder / "run", **changes)
    assert train.main(["pipeline", "--config", str(file)]) == 0
    return file


@pytest.mark.slow
def test_a_second_classifier_with_the_same_weights_is_left_out(path, capsys):
    assert evaluate.main(["transfer", "--run", str(path.parent / "run"), "--device", "cpu"]) == 0
    assert "the second classifier has the same weights as the attacked one" in " ".join(capsys.readouterr().out.split())
    rows = json.loads((path.parent / "run/report/transfer.json").read_text())["rows"]
    assert {row["detector"] for row in rows} == {"id", "max_softmax"}


@pytest.mark.slow
def test_weights_that_changed_are_refused(path, capsys):
    weights, record = path.parent / "net.pt", path.parent / "run/classifier/seed_0" / WEIGHTS_RECORD
    assert str(weights) in record.read_text()
    assert not (path.parent / "run/detectors/id/fgsm/seed_0" / WEIGHTS_RECORD).exists()
    kept = weights.read_bytes()
    try:
        torch.manual_seed(1)
        torch.save(Grey().state_dict(), weights)
        assert train.main(["pipeline", "--config", str(path)]) == 1
        told = capsys.readouterr().err
        assert f"seed_0 was made with other weights ({weights} has changed since): choose another --run" in told
        weights.unlink()
        assert train.main(["pipeline", "--config", str(path)]) == 0
    finally:
        weights.write_bytes(kept)
    assert train.main(["pipeline", "--config", str(path)]) == 0
