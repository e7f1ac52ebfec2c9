"""`evaluate.py scan`: verdicts on files of any kind, in every format, and what it refuses."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import evaluate
from saliency.checkpoints import save

ORDER = ["a.jpg", "b.png", "broken.png", "small.png", "deep/er/c.webp"]


@pytest.fixture
def scan(capsys):
    """Return a function that scans and returns exit status, standard output and standard error."""

    def run(path, *arguments):
        status = evaluate.main(["scan", "--detector", path, "--device", "cpu", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_json_lines_hold_what_the_detector_says_of_every_image_below_a_folder(scan, checkpoint, photos):
    detector, path = checkpoint("spd")
    status, out, err = scan(path, photos, "--format", "jsonl", "--fpr", "0.5")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [row["file"] for row in rows] == [str(photos / name) for name in ORDER]
    files = [row["file"] for row in rows if not row["error"]]
    verdict = detector.judge(files, 0.5)
    judged = [row for row in rows if not row["error"]]
    for name in ("score", "probability", "is_adversarial", "predicted", "confidence"):
        assert [row[name] for row in judged] == pytest.approx(getattr(verdict, name).tolist(), abs=1e-5), name
    assert rows[2]["score"] is None
    assert "broken.png cannot be decoded" in rows[2]["error"]
    assert rows[2]["error"] in err
    assert f"{sum(row['is_adversarial'] for row in judged)} of 4 images are adversarial" in err
    assert "1 file could not be judged" in err


def test_images_of_another_size_are_named_once(scan, checkpoint, photos):
    _, path = checkpoint()
    for files in ([photos], [photos / "small.png", photos / "b.png", photos / "a.jpg"]):
        assert scan(path, *files)[2].count("of another size than 12 x 12") == 1
    assert "the first is " + str(photos / "b.png") + " (40 x 30)" in scan(path, *files)[2]
    assert "another size" not in scan(path, photos / "small.png")[2]


def test_csv_and_table_have_a_line_for_each_file(scan, checkpoint, photos):
    _, path = checkpoint()
    rows = list(csv.DictReader(io.StringIO(scan(path, photos, "--format", "csv")[1])))
    assert [row["file"] for row in rows] == [str(photos / name) for name in ORDER]
    table = scan(path, photos)[1]
    assert all(name in table for name in ORDER)
    assert table.count("no image") == 1


def test_classes_have_their_names_where_the_checkpoint_holds_them(scan, checkpoint, photos):
    detector, path = checkpoint(class_names=["ant", "[bee]", "c\x1bat", "dog"])
    predicted = detector.judge([photos / "b.png"]).predicted.item()
    name = ["ant", "[bee]", "c\\x1bat", "dog"][predicted]
    assert json.loads(scan(path, photos / "b.png", "--format", "jsonl")[1])["class_name"] == name
    assert f" {name} " in scan(path, photos / "b.png")[1]
    for names in (None, ["ant"], "abc"):  # numbers where there are none, or a stranger's checkpoint has wrong ones
        _, path = checkpoint(class_names=names)
        assert json.loads(scan(path, photos / "b.png", "--format", "jsonl")[1])["class_name"] is None
        assert f"│ {predicted} │" in " ".join(scan(path, photos / "b.png")[1].split())


@pytest.mark.parametrize("flag", ["--fail_on_adversarial", "--fail-on-adversarial"])
@pytest.mark.parametrize(("score", "count"), [(-100.0, 4), (100.0, 0)])
def test_the_exit_status_says_whether_a_file_is_adversarial_if_asked_for(scan, checkpoint, photos, score, count, flag):
    _, path = checkpoint(clean=torch.full((40,), score))
    status, out, err = scan(path, photos, flag)
    assert (status, f"{count} of 4 images are adversarial" in err) == (int(count > 0), True)
    assert out.count("│ adversarial │") == count
    assert scan(path, photos)[0] == 0


def test_a_dash_reads_paths_from_standard_input(scan, checkpoint, photos, monkeypatch):
    _, path = checkpoint()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos / 'b.png'}\n\n{photos / 'deep'}\n"))
    rows = scan(path, photos / "small.png", "-", "--format", "jsonl")[1].splitlines()
    assert [json.loads(row)["file"] for row in rows] == [
        str(photos / name) for name in ("small.png", "b.png", "deep/er/c.webp")
    ]


@pytest.mark.parametrize("name", ["id", "jsd", "smd"])
def test_maps_lie_over_the_images_the_detector_saw(scan, checkpoint, photos, tmp_path, name):
    _, path = checkpoint(name)
    assert scan(path, photos, "--maps", tmp_path / "maps")[0] == 0
    written = {str(file.relative_to(tmp_path / "maps")) for file in (tmp_path / "maps").rglob("*.png")}
    assert written == {f"{file}.png" for file in ORDER if file != "broken.png"}
    picture = np.asarray(Image.open(tmp_path / "maps/small.png.png"))
    assert picture.shape == (12 * 19, 2 * 12 * 19, 3)
    left = picture[::19, : 12 * 19 : 19]
    grey = np.asarray(Image.open(photos / "small.png").convert("L"))
    assert np.array_equal(left, np.stack([grey] * 3, 2))  # as the detector saw it
    assert (picture[:, 12 * 19 :].std(2) > 0).any()  # the map is coloured


def test_what_cannot_be_scanned_is_told_in_a_sentence(scan, checkpoint, photos, classifier, tmp_path):
    _, path = checkpoint()
    save(classifier, tmp_path / "classifier.ckpt")
    (tmp_path / "empty").mkdir()
    _, few = checkpoint("jsd", clean=torch.rand(5))
    sentences = {
        (path, tmp_path / "missing"): "there is no file or folder",
        (path, tmp_path / "empty"): "has no image files (.jpg,",
        (path, photos / "notes.txt"): "none of 1 files could be judged",
        (tmp_path / "classifier.ckpt", photos): "holds Classifier, but Detector is needed",
        (photos / "b.png", photos): "is damaged, or not a checkpoint",
        (few, photos): "5 calibration images are too few for a threshold at a false-positive rate of 0.05",
        (path, photos, "--fpr", "2"): "the false-positive rate must lie between 0 and 1, got 2",
        (path, photos, "--device", "tpu9"): "cannot be used here",
    }
    for arguments, sentence in sentences.items():
        status, out, err = scan(*map(str, arguments))
        assert (status, out.count("clean")) == (1, 0)
        last = err.splitlines()[-1]
        assert last.startswith("error: "), arguments
        assert sentence in last
    assert scan(path)[0] == 2


def test_a_reader_of_the_output_may_leave(checkpoint, photos, monkeypatch, capsys):
    _, path = checkpoint()

    class Left(io.StringIO):
        def write(self, _):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("sys.stdout", Left())
    assert evaluate.main(["scan", "--detector", path, str(photos), "--format", "jsonl"]) == 128 + 13
    assert "standard output cannot be written (Broken pipe)" in capsys.readouterr().err
