"""What may be judged together, and what is refused."""

import shutil

import pytest

from experiments.claims.runs import repetitions
from experiments.training.run_folder import Run
from tests.experiments.claims.conftest import change, resettle


def read(folders):
    return repetitions(Run(folders[0]), [str(folder) for folder in folders[1:]])


@pytest.mark.slow
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
    with pytest.raises(
        ValueError, match=r"run_2 does not repeat .*attacks.fgsm.init_args.epsilon is 0.2 there, 0.1 here"
    ):
        read(three)


def test_other_images(three):
    record = three[1] / "data.yaml"
    record.write_text(record.read_text().replace("fingerprint: ", "fingerprint: x"))
    with pytest.raises(ValueError, match="images is x"):
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
    with pytest.raises(ValueError, match=r"classifier/seed_2/model.ckpt was trained anew since `transfer` was run"):
        read(three)


def test_a_checkpoint_that_went_missing(three):
    (three[1] / "classifier/seed_2/model.ckpt").unlink()
    with pytest.raises(ValueError, match=r"classifier/seed_2/model.ckpt went missing since `transfer` was run"):
        read(three)


def test_a_detector_that_came_after_the_evaluation(three):
    change(three[1], lambda contents: contents["meta"]["checkpoints"].pop("detectors/id/fgsm/seed_2/model.ckpt"))
    with pytest.raises(ValueError, match=r"detectors/id/fgsm/seed_2/model.ckpt was trained since `transfer` was run"):
        read(three)


def test_detectors_retrained_after_the_evaluation_are_no_matter(three):
    path = "retrained/id/seed_2/model.ckpt"
    (three[1] / path).parent.mkdir(parents=True)
    shutil.copy(three[1] / "detectors/id/fgsm/seed_2/model.ckpt", three[1] / path)
    assert len(read(three)) == 3


def test_a_report_of_other_attacks_than_the_runs(three):
    for run in three:
        resettle(run, lambda contents: contents["attacks"]["fgsm"]["init_args"].update(epsilon=0.2))
    with pytest.raises(ValueError, match=r"the attacks of .*run changed since `transfer` was run: run `python evalu"):
        read(three)


def test_a_report_of_other_seeds_than_the_runs(three):
    change(three[2], lambda contents: contents["meta"].update(seeds=[0]))
    with pytest.raises(ValueError, match=r"the seeds of .*run_2 became \[4\], from \[0\], since `transfer` was run"):
        read(three)


def test_the_seed_of_a_second_classifier_is_not_that_of_another_runs_first(three):
    resettle(three[1], lambda contents: contents.update(seeds=[1]))
    with pytest.raises(ValueError, match="share the seed 1"):
        read(three)


def test_what_changes_no_number_may_differ(three):
    resettle(three[1], lambda contents: contents["trainer"].update(accelerator="auto", enable_progress_bar=True))
    resettle(three[1], lambda contents: contents["data"]["init_args"].update(root="elsewhere", workers=3))
    resettle(three[1], lambda contents: contents.update(store=None, train_on=["fgsm"]))
    assert len(read(three)) == 3


STRONGER = {"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.5}}


@pytest.mark.parametrize(
    "other",
    [
        lambda contents: contents["trainer"].update(callbacks=[{"class_path": "lightning.pytorch.callbacks.Timer"}]),
        lambda contents: contents["attacks"].update(
            store={"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.5}}
        ),
        lambda contents: contents["detectors"]["id"]["trainer"].update(max_epochs=7),
        lambda contents: contents.update(train_on=["none"]),
    ],
    ids=["callbacks", "an attack named as a free key", "epochs", "training attack"],
)
def test_what_changes_numbers_may_not(three, other):
    resettle(three[1], other)
    with pytest.raises(ValueError, match="does not repeat"):
        read(three)


@pytest.mark.parametrize("record", ["", "[1, 2]", "images: 3"])
def test_a_damaged_record_of_the_data(three, record):
    (three[1] / "data.yaml").write_text(record)
    with pytest.raises(ValueError, match=r"run_1/data.yaml is missing or damaged: run `python train.py pipeline"):
        read(three)


def test_repetitions_are_found_from_anywhere(three, monkeypatch, tmp_path):
    (tmp_path / "run_7").mkdir()
    (tmp_path / "run_8").write_text("no folder")
    monkeypatch.chdir(three[0])
    assert [each.name for each in repetitions(Run("."), None)] == ["run", "run_1", "run_2"]
    link = tmp_path / "linked"
    link.symlink_to(three[0])
    assert [each.name for each in repetitions(Run(link), None)] == ["run", "run_1", "run_2"]


def test_what_is_no_run(three, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read([three[0], tmp_path / "nothing"])
