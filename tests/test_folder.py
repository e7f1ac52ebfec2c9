"""configs/folder.yaml as a user with a folder of images goes through it: pipeline, transfer, scan."""

import json
from pathlib import Path

import pytest

import evaluate
import train
from saliency.checkpoints import read
from tests.data.pictures import write

CLASSES = ("cat", "dog", "owl")
SMALL = [
    *("--data.size", "16", "--trainer.max_epochs", "1", "--train_on", "[fgsm]", "--seeds", "[0]"),
    *("--classifier.model.init_args.widths", "[4, 4]", "--saliency.encoder.model.init_args.width", "4"),
]


@pytest.mark.long
def test_a_folder_of_ones_own_leads_to_a_table_and_to_verdicts(tmp_path, monkeypatch, capsys):
    config = Path(train.__file__).parent / "configs/folder.yaml"
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(CLASSES):
        for number in range(40):
            write(Path("images", name, f"{number}.png"), 40 * label + number, size=(24, 20))
    assert train.main(["pipeline", "--config", str(config), "--data.root", "images", *SMALL]) == 0
    assert evaluate.main(["transfer", "--run", "runs/folder", "--device", "cpu"]) == 0
    rows = json.loads(Path("runs/folder/report/transfer.json").read_text())["rows"]
    assert {row["tested_on"] for row in rows} == {"fgsm", "bim", "mim", "deepfool", "cw", "jsma"}
    assert {"id", "jsd", "smd", "spd", "max_softmax"} <= {row["detector"] for row in rows}

    checkpoint = "runs/folder/detectors/id/fgsm/seed_0/model.ckpt"
    assert read(checkpoint)["class_names"] == list(CLASSES)
    capsys.readouterr()
    assert evaluate.main(["scan", "--detector", checkpoint, "images/dog", "--fpr", "0.5", "--format", "jsonl"]) == 0
    verdicts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(verdicts) == 40
    assert all(CLASSES[verdict["predicted"]] == verdict["class_name"] for verdict in verdicts)
