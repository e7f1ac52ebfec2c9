"""The example of a package with a detector: importing it is all that registers it."""

import os
import subprocess
import sys

import pytest
import torch

import train
from examples.edge_detector import Edges
from tests.data.pictures import write
from tests.documents.pages import ROOT
from tests.documents.place import RUN, untrained_run


def test_it_sees_the_differences_to_the_right_and_below(classifier):
    images = torch.zeros(1, *classifier.shape)
    images[0, 0, 3, 4] = 1
    seen = Edges(classifier, reach=2).represent(images)
    assert seen.shape == (1, 2, *classifier.shape[1:])
    assert seen.nonzero().tolist() == [[0, 0, 3, 2], [0, 0, 3, 4], [0, 1, 1, 4], [0, 1, 3, 4]]


@pytest.mark.slow
def test_the_command_line_trains_and_uses_it_after_its_import(tmp_path, monkeypatch):
    untrained_run(tmp_path / RUN)
    write(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    classifier = f"{RUN}/classifier/seed_0/model.ckpt"
    model = ["--model", "examples.edge_detector.Edges", "--model.classifier", classifier]
    data = ["--data", "data.AdversarialData", "--data.images", "data.Digits", "--data.classifier", classifier]
    few = ["--data.images.train_limit", "300", "--data.images.test_limit", "20", "--data.attack", "attacks.FGSM"]
    trainer = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--trainer.default_root_dir", "edges"]
    assert train.main(["fit", *model, *data, *few, *trainer]) == 0

    scan = ["scan", "--detector", "edges/model.ckpt", "image.png", "--format", "csv"]
    imports = ["--imports", "[examples.edge_detector]"]
    code = f"import evaluate\nassert evaluate.main({scan}) == 1\nassert evaluate.main({scan + imports}) == 0"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert shown.returncode == 0, shown.stderr
    assert "Edges" in shown.stderr
    assert shown.stdout.splitlines()[1].startswith("image.png,")
