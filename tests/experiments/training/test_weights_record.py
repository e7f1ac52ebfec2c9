"""A pipeline around a network with weights of its own: which file they came from, and what a second seed is then."""

import json

import pytest
import torch

import evaluate
import train
from experiments.training.run_inputs import WEIGHTS_RECORD
from tests.experiments.conftest import pipeline_file
from tests.experiments.nets import Grey


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


def test_a_second_classifier_with_the_same_weights_is_left_out(path, capsys):
    assert evaluate.main(["transfer", "--run", str(path.parent / "run"), "--device", "cpu"]) == 0
    assert "the second classifier is the attacked one once more" in " ".join(capsys.readouterr().out.split())
    rows = json.loads((path.parent / "run/report/transfer.json").read_text())["rows"]
    assert {row["detector"] for row in rows} == {"id", "max_softmax"}


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
