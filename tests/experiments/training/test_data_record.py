"""A run goes on only with the data that it was made with."""

import shutil

import pytest
import yaml

import evaluate
import train
from experiments.training.run_inputs import DATA_RECORD, check_record, keep_record


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy", ignore=shutil.ignore_patterns("report"))
    return tmp_path / "copy"


def changed(copy, **keys):
    record = yaml.safe_load((copy / DATA_RECORD).read_text())
    (copy / DATA_RECORD).write_text(yaml.safe_dump(record | keys))


def test_a_run_says_which_data_made_it(finished, digits):
    record = yaml.safe_load((finished / DATA_RECORD).read_text())
    assert record["images"]["test"] == 40
    assert record["fingerprint"] == digits_fingerprint(digits)
    assert check_record(finished, digits)


def digits_fingerprint(digits):
    digits.setup()
    return digits.fingerprint()


def test_other_data_are_refused_by_pipeline_and_evaluation(copy, capsys):
    changed(copy, fingerprint="other")
    commands = (
        lambda: train.main(["pipeline", "--config", str(copy / "pipeline.yaml"), "--run", str(copy)]),
        lambda: evaluate.main(["transfer", "--run", str(copy), "--device", "cpu"]),
    )
    for command in commands:
        assert command() == 1
        error = capsys.readouterr().err
        assert "was made with other data" in error
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
