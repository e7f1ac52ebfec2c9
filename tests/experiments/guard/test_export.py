"""`evaluate.py export`: the graph says what the detector says of any number of images; its card says what it is."""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.testing import assert_close

import evaluate
from experiments.guard import export
from tests.fixtures import SHAPE

OUTPUTS = ["score", "probability", "is_adversarial", "logits"]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)  # pytest would keep megabytes of it


@pytest.fixture
def export_to(capsys):
    """Return a function that exports and returns exit status, standard output and standard error."""

    def run(path, *arguments):
        status = evaluate.main(["export", "--detector", path, *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def runner(target, kind):
    """Return a function from images to the outputs of a file by name, without this project."""
    if kind == "torch":
        module = torch.export.load(target).module()
        return lambda images: dict(zip(OUTPUTS, module(images), strict=True))
    onnx.checker.check_model(onnx.load(target))
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: {
        name: torch.from_numpy(values)
        for name, values in zip(names, session.run(None, {"images": images.numpy()}), strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("id", "onnx"), ("id", "torch"), ("smd", "torch"), ("spd", "onnx")])
def test_the_graph_says_what_the_detector_says_of_any_number_of_images(export_to, checkpoint, tmp_path, name, kind):
    detector, path = checkpoint(name)
    target = tmp_path / "exported" / f"graph.{kind}"
    status, _, err = export_to(path, "--format", kind, "--output", target, "--fpr", "0.5")
    assert (status, err) == (0, "")
    run = runner(target, kind)
    flagged = []
    for count in (1, 3, 7):
        images = torch.rand(count, *SHAPE)
        outputs, verdict = run(images), detector.judge(images, 0.5)
        assert list(outputs) == OUTPUTS
        assert_close(outputs["score"], verdict.score, rtol=1e-5, atol=1e-5)
        assert_close(outputs["probability"], verdict.probability, rtol=1e-5, atol=1e-5)
        assert_close(outputs["logits"], detector.classifier(images).detach(), rtol=1e-5, atol=1e-5)
        assert torch.equal(outputs["is_adversarial"], verdict.is_adversarial)
        flagged += verdict.is_adversarial.tolist()
    assert 0 < sum(flagged) < len(flagged)


@pytest.mark.slow
def test_a_card_beside_the_file_says_what_it_is(export_to, checkpoint):
    detector, path = checkpoint()
    assert export_to(path)[0] == 0
    card = json.loads(Path(path).with_suffix(".onnx.json").read_text())
    assert (card["detector"], card["format"], card["calibration_images"]) == ("ID", "onnx", 40)
    assert card["threshold"] == detector.threshold(0.05)
    assert card["checkpoint_sha256"] == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert card["input"] == {"images": "float32 (N, 1, 12, 12) in [0, 1]"}
    assert list(card["outputs"]) == OUTPUTS
    assert max(card["largest_difference"].values()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_detector_that_sees_a_gradient_is_refused_in_a_sentence(export_to, checkpoint, tmp_path, kind):
    _, path = checkpoint("jsd")
    status, _, err = export_to(path, "--format", kind, "--output", tmp_path / "x")
    assert status == 1
    assert len(err.splitlines()) == 1
    assert err.startswith("error: JSD cannot be exported: torch.export cannot trace it")
    assert not (tmp_path / "x").exists()


def test_wrong_input_is_told_in_a_sentence(export_to, checkpoint, monkeypatch):
    _, path = checkpoint()
    status, _, err = export_to(path, "--format", "tensorrt")
    assert status == 2
    assert "format: expected one of 'onnx', 'torch', got tensorrt" in err
    _, few = checkpoint("spd", clean=torch.rand(3))
    assert "3 calibration images are too few" in export_to(few)[2]
    monkeypatch.setattr("detectors.extras.find_spec", lambda name: None if name == "onnxscript" else name)
    assert "error: onnxscript is not installed: run pip install -e '.[export]'" in export_to(path)[2]


@pytest.mark.slow
def test_an_export_that_differs_is_not_written(checkpoint, tmp_path, monkeypatch):
    detector, _ = checkpoint()
    packed = export._of_torch

    def wrong(graph, program):
        right = packed(graph, program)
        return right._replace(run=lambda images: [output + np.float32(1) for output in right.run(images)])

    monkeypatch.setitem(export._FORMATS, "torch", wrong)
    with pytest.raises(RuntimeError, match="differs from the detector by 1"):
        export.export_detector(detector, "torch", tmp_path / "x.pt2")
    assert not (tmp_path / "x.pt2").exists()
