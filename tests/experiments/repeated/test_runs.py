"""What may be judged together, and what is refused."""

import shutil

import pytest

from experiments.repeated.runs import repetitions
from experiments.run import Run
from tests.experiments.repeated.conftest import resettle


def read(folders):
    return repetitions(Run(folders[0]), [str(folder) for folder in folders[1:]])


def test_repetitions_come_in_the_order_given(three):
    assert [each.name for each in read([three[0], three[2], three[1]])] == ["run", "run_2", "run_1"]


def test_the_tenth_comes_after_the_second(three):
    three[1].rename(three[1].with_name("run_10"))
    assert [each.name for each in repetitions(Run(three[0]), None)] == ["run", "run_2", "run_10"]


def test_folders_of_one_name_go_by_their_paths(three, tmp_path):
    other = tmp_path / "elsewhere" / "run"
    shutil.move(three[1], other)
    assert [each.name for each in read([three[0], other])] == [str(three[0]), str(other)]


def test_the_split_may_be_another(three):
    resettle(three[1], lambda contents: contents["data"]["init_args"].update(split_seed=5))
    assert len(read(three)) == 3


def test_a_run_named_twice(three):
    with pytest.raises(ValueError, match="was named twice"):
        read([three[0], three[1], three[1]])


def test_a_shared_seed(three):
    resettle(three[1], lambda contents: contents.update(seeds=[3, 0]))
    with pytest.raises(ValueError, match=r"run and .*run_1 share the seed 0"):
        read(three)


def test_another_setting_is_named(three):
    resettle(three[2], lambda contents: contents["attacks"]["fgsm"]["init_args"].update(epsilon=0.2))
    with pytest.raises(ValueError, match=r"run_2 does not repeat .*attacks.fgsm.init_args.epsilon was 0.1, now 0.2"):
        read(three)


def test_other_images(three):
    record = three[1] / "data.yaml"
    record.write_text(record.read_text().replace("fingerprint: ", "fingerprint: x"))
    with pytest.raises(ValueError, match=r"the images of data\.yaml are others"):
        read(three)


def test_a_run_that_was_not_evaluated(three):
    shutil.rmtree(three[1] / "report")
    with pytest.raises(FileNotFoundError, match=r"run_1 was not evaluated: run `python evaluate.py all --run .*run_1`"):
        read(three)


def test_a_damaged_report(three):
    (three[1] / "report/transfer.json").write_text("{")
    with pytest.raises(ValueError, match=r"transfer\.json is damaged"):
        read(three)


def test_a_checkpoint_that_changed_after_the_evaluation(three):
    with (three[1] / "classifier/seed_2/model.ckpt").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"classifier/seed_2/model.ckpt was trained anew after `transfer`"):
        read(three)


def test_what_is_no_run(three, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read([three[0], tmp_path / "nothing"])
