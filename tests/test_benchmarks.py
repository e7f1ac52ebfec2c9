"""The benchmark runs and prints its table; how fast anything was is no test's matter."""

import json

import pytest
import torch

from benchmarks import attacks
from benchmarks.subjects import SUBJECTS
from detectors import Classifier


@pytest.fixture
def table(tmp_path, monkeypatch, capsys):
    """What the benchmark of an untrained network prints, and the rows that it writes."""
    subject = SUBJECTS["digits"]
    model = Classifier(subject.shape, subject.classes, widths=subject.widths)
    torch.save(model.state_dict(), tmp_path / "digits.pt")
    given = ["--subject", "digits", "--images", "6", "--batch", "4", "--rounds", "1", "--kept", str(tmp_path)]
    chosen = ["--only", "fgsm", "bim", "deepfool", "--libraries", "ours", "advertorch", "foolbox", "bare loop"]
    monkeypatch.setattr("sys.argv", ["attacks", *given, *chosen, "--json", str(tmp_path / "rows.json")])
    attacks.main()
    return capsys.readouterr().out, json.loads((tmp_path / "rows.json").read_text())["rows"]


def test_each_comparison_has_a_row_per_library_with_equal_results(table):
    printed, rows = table
    assert [(row["comparison"], row["contender"]) for row in rows] == [
        ("fgsm", "ours"),
        ("fgsm", "advertorch"),
        ("fgsm", "foolbox"),
        ("bim", "ours"),
        ("bim", "bare loop"),
        ("bim", "advertorch"),
        ("bim", "foolbox"),
        ("deepfool", "ours"),
        ("deepfool", "foolbox"),
    ]
    assert all(f"| {row['contender']} |" in printed for row in rows)
    fgsm = [row for row in rows if row["comparison"] == "fgsm"]
    assert [row["success"] for row in fgsm] == [fgsm[0]["success"]] * 3
    ours, theirs = (row["l2"] for row in rows if row["comparison"] == "deepfool")
    assert ours == pytest.approx(theirs, rel=0.02)


def test_passes_of_every_library_are_counted(table):
    passes = {(row["comparison"], row["contender"]): (row["forward"], row["backward"]) for row in table[1]}
    assert passes["fgsm", "ours"] == passes["fgsm", "advertorch"] == (1, 1)
    assert passes["bim", "bare loop"] == (10, 10)
    assert passes["deepfool", "foolbox"] > passes["deepfool", "ours"]
