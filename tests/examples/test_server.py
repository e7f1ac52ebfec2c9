"""The example of a server: started as its page says, and asked."""

import pytest
import torch
from fastapi.testclient import TestClient

from detectors import ID
from examples import server
from saliency.checkpoints import save
from tests.data.pictures import write
from tests.fixtures import SHAPE


@pytest.fixture
def detector(classifier):
    made = ID(classifier).eval()
    made.calibrate(made.scores(torch.rand(40, *SHAPE)))
    return made


def test_an_uploaded_image_gets_its_verdict(detector, tmp_path, monkeypatch):
    save(detector, tmp_path / "model.ckpt")
    monkeypatch.setenv("DETECTOR", str(tmp_path / "model.ckpt"))
    monkeypatch.setenv("FPR", "0.25")
    file = write(tmp_path / "x.jpg", size=(40, 30))
    with TestClient(server.app) as client:
        answer = client.post("/judge", files={"file": file.read_bytes()})
        refused = client.post("/judge", files={"file": b"no image"})
        missing = client.post("/judge")
    verdict = detector.judge(file, 0.25)
    assert answer.status_code == 200
    expected = {name: value if isinstance(value, float) else value.item() for name, value in vars(verdict).items()}
    assert answer.json() == pytest.approx(expected, abs=1e-6)
    assert (refused.status_code, missing.status_code) == (422, 422)
    assert refused.json()["detail"].startswith("the image cannot be decoded")
