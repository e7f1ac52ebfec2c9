"""A folder of safetensors and JSON holds a whole detector."""

import json

import pytest
import torch

from detectors import from_pretrained, save_pretrained
from tests.detectors import helpers


@pytest.mark.parametrize("name", helpers.TRAINED)
def test_a_folder_gives_the_same_detector(name, world, tmp_path):
    detector = helpers.build(name, world)
    detector.calibrate(detector.scores(world.images))
    save_pretrained(detector, tmp_path / "new" / "folder")
    again = from_pretrained(tmp_path / "new" / "folder")
    assert type(again) is type(detector)
    assert not again.training
    assert torch.equal(again.scores(world.images), detector.scores(world.images))
    assert again.threshold(0.25) == detector.threshold(0.25)


def test_what_is_no_such_folder_is_refused_in_a_sentence(grey, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "huggingface_hub" else name)
    with pytest.raises(FileNotFoundError, match="no folder somebody/model; for a name on the hub, run pip install"):
        from_pretrained("somebody/model")
    save_pretrained(helpers.build("ID", grey), tmp_path)
    about = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(ValueError, match="has format 99"):
        from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(about))
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="is damaged"):
        from_pretrained(tmp_path)
