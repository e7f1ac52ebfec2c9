"""A fit goes on from its own last.ckpt; another file or config is refused before anything is written."""

import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch.plugins import AsyncCheckpointIO, TorchCheckpointIO

import train
from detectors import load
from experiments.training.checkpoints import AtomicCheckpoints, atomic
from saliency.checkpoints import save
from tests.experiments.conftest import SMALL_FIT
from tests.saliency.helpers import same, snapshot

RATE = "--model.learning_rate"
ONE_CYCLE = ["--model.schedule", "one-cycle"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder of two fits of two epochs, one of each schedule, whose finished models were deleted."""
    folder = tmp_path_factory.mktemp("begun")
    for schedule in ("constant", "one-cycle"):
        where = ["--trainer.default_root_dir", str(folder / schedule)]
        assert train.main(["fit", *SMALL_FIT, "--trainer.max_epochs", "2", "--model.schedule", schedule, *where]) == 0
        (folder / schedule / "model.ckpt").unlink()
    return folder


@pytest.fixture
def unfinished(begun, tmp_path):
    """Return a function that copies one of those fits to the folder out, and returns that."""
    return lambda schedule="constant": shutil.copytree(begun / schedule, tmp_path / "out")


@pytest.fixture
def go_on(fit):
    """Return a function that goes on from the copy, for three epochs unless told otherwise."""
    return lambda *options: fit("--ckpt_path", "out/last.ckpt", "--trainer.max_epochs", "3", *options)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def change(path, how):
    """Change the contents of a checkpoint."""
    contents = torch.load(path, weights_only=True)
    how(contents)
    torch.save(contents, path)


@pytest.mark.parametrize(
    ("schedule", "options", "told"),
    [
        ("constant", [RATE, "0.5"], "(model.init_args.learning_rate was 0.001, now 0.5): give what it was, or begin"),
        ("constant", ["--model.widths", "[8]"], "(model.init_args.widths was [4], now [8])"),
        ("constant", ONE_CYCLE, "(model.init_args.schedule was constant, now one-cycle)"),
        ("constant", ["--data.split_seed", "3"], "(data.init_args.split_seed was 0, now 3)"),
        ("constant", ["--data.batch_size", "10"], "(data.init_args.batch_size was 128, now 10)"),
        ("constant", ["--trainer.gradient_clip_val", "1"], "(trainer.gradient_clip_val was None, now 1"),
        ("constant", ["--seed_everything", "7"], "(seed_everything was 0, now 7)"),
        ("constant", ["--trainer.max_epochs", "1"], "was written after 2 epochs, and max_epochs is 1: give at least 2"),
        ("constant", ["--trainer.max_steps", "1"], "was written after 2 steps, and max_steps is 1: give at least 2"),
        ("one-cycle", ONE_CYCLE, "(trainer.max_epochs was 2, now 3; its schedule spans the whole fit)"),
        ("one-cycle", [], "(trainer.max_epochs was 2, now 3; its schedule spans the whole fit)"),
    ],
)
def test_a_fit_that_differs_is_refused_and_nothing_is_changed(
    unfinished, go_on, tmp_path, capsys, schedule, options, told
):
    before = files(unfinished(schedule))
    assert go_on(*options) == 1
    assert told in capsys.readouterr().err
    assert files(tmp_path / "out") == before


def test_how_long_it_lasts_where_it_runs_and_what_it_shows_may_differ(unfinished, go_on, tmp_path):
    unfinished()
    shown = ["--trainer.log_every_n_steps", "3", "--trainer.callbacks+=lightning.pytorch.callbacks.LearningRateMonitor"]
    assert go_on(*shown, "--trainer.max_steps", "90", "--imports", "[json]", "--start_from", "nowhere.ckpt") == 0
    assert torch.load(tmp_path / "out/model.ckpt", weights_only=True)["epoch"] == 3


def test_a_fit_whose_epochs_are_all_done_is_finished(unfinished, go_on, tmp_path):
    before = snapshot(load(unfinished("one-cycle") / "last.ckpt"))
    assert go_on(*ONE_CYCLE, "--trainer.max_epochs", "2") == 0
    assert same(load(tmp_path / "out/model.ckpt"), before)


@pytest.mark.slow
def test_a_checkpoint_that_was_moved_knows_its_config(unfinished, go_on, tmp_path, capsys):
    (unfinished() / "last.ckpt").rename(tmp_path / "sent.ckpt")
    shutil.rmtree(tmp_path / "out")
    assert go_on("--ckpt_path", "sent.ckpt", RATE, "0.5") == 1
    assert "sent.ckpt was written by a fit with another config" in capsys.readouterr().err
    assert go_on("--ckpt_path", "sent.ckpt") == 0


@pytest.mark.slow
def test_a_checkpoint_without_a_config_is_compared_with_the_one_beside_it_if_there_is_one(unfinished, go_on, capsys):
    folder = unfinished()
    change(folder / "last.ckpt", lambda contents: contents.pop("config.yaml"))
    assert go_on(RATE, "0.5") == 1
    assert "(model.init_args.learning_rate was 0.001, now 0.5)" in capsys.readouterr().err
    (folder / "config.yaml").unlink()
    assert go_on() == 0


@pytest.mark.parametrize("text", ["[1, 2]", "{", 5])
def test_a_config_that_is_none_is_refused(unfinished, go_on, capsys, text):
    change(unfinished() / "last.ckpt", lambda contents: contents.update({"config.yaml": text}))
    assert go_on() == 1
    assert "error: the config in out/last.ckpt is damaged: begin a new fit with its weights" in capsys.readouterr().err


def test_no_module_that_the_config_of_a_checkpoint_names_is_imported(unfinished, go_on, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_a_stranger.py").write_text("raise SystemExit('the code of a checkpoint ran')")
    config = "{model: {class_path: of_a_stranger.Net}, imports: [of_a_stranger]}"
    change(unfinished() / "last.ckpt", lambda contents: contents.update({"config.yaml": config}))
    assert go_on() == 1
    assert "(model.class_path was of_a_stranger.Net, now detectors.Classifier)" in capsys.readouterr().err


@pytest.mark.parametrize("left", [0, 5, 900])
def test_a_damaged_checkpoint_says_what_to_delete(unfinished, go_on, capsys, left):
    path = unfinished() / "last.ckpt"
    path.write_bytes(path.read_bytes()[:left])
    assert go_on() == 1
    told = capsys.readouterr().err
    assert "error: out/last.ckpt is damaged, or " in told
    assert told.endswith(": delete it, and begin the fit anew, without --ckpt_path\n")


@pytest.mark.slow
def test_a_damaged_checkpoint_of_a_stage_says_that_the_stage_begins_anew(run_pipeline, capsys):
    _, run = run_pipeline(saliency={}, detectors={})
    stage, command = run / "classifier/second", ["pipeline", "--config", str(run / "pipeline.yaml")]
    before = snapshot(load(stage / "model.ckpt"))
    (stage / "model.ckpt").unlink()
    (stage / "last.ckpt").write_bytes(b"")
    assert train.main(command) == 1
    told = capsys.readouterr().err
    assert f"{stage}/last.ckpt is damaged" in told
    assert told.endswith(": delete it, and run the pipeline again: the stage begins anew\n")
    (stage / "last.ckpt").unlink()
    assert train.main(command) == 0
    assert same(load(stage / "model.ckpt"), before)


def _of_sgd(contents):
    (state,) = contents["optimizer_states"]
    (group,) = state["param_groups"]
    state["param_groups"] = [{"lr": 0.1, "momentum": 0.0, "params": group["params"]}]
    state["state"] = {}


@pytest.mark.parametrize(
    ("change_it", "told"),
    [
        (
            lambda contents: contents.pop("loops"),
            "holds no unfinished fit: a fit goes on from a last.ckpt, or begin a ",
        ),
        (lambda contents: contents.pop("optimizer_states"), "holds no unfinished fit"),
        (lambda contents: contents.pop("lr_schedulers"), "holds no unfinished fit"),
        (lambda contents: contents.update(loops={"fit_loop": {}}), "holds no unfinished fit"),
        (lambda contents: contents.update(optimizer_states=[3]), "holds no unfinished fit"),
        (_of_sgd, "holds the state of other optimisers than Classifier has now (Adam; its betas is missing)"),
        (
            lambda contents: contents["optimizer_states"].clear(),
            "other optimisers than Classifier has now (Adam; it has 0)",
        ),
        (
            lambda contents: contents["optimizer_states"][0]["param_groups"][0]["params"].pop(),
            "does not fit this model and trainer (ValueError: loaded state dict contains a parameter group that",
        ),
        (
            lambda contents: contents["loops"]["fit_loop"].update({"epoch_loop.batch_progress": 3}),
            "does not fit this model",
        ),
        (lambda contents: contents.update(callbacks=3), "does not fit this model and trainer"),
        (lambda contents: contents.pop("architecture"), "is not a checkpoint of this project"),
        (lambda contents: contents["state_dict"].popitem(), "the weights in out/last.ckpt do not fit this Classifier"),
    ],
)
def test_what_is_no_checkpoint_of_this_fit_is_one_sentence(unfinished, go_on, capsys, change_it, told):
    change(unfinished() / "last.ckpt", change_it)
    assert go_on() == 1
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith("error: ")
    assert told in sentence
    assert "Traceback" not in sentence


def test_a_finished_model_is_no_fit_to_go_on_with(unfinished, go_on, tmp_path, capsys):
    save(load(unfinished() / "last.ckpt"), tmp_path / "renamed.ckpt")
    assert go_on("--ckpt_path", "renamed.ckpt") == 1
    assert "renamed.ckpt holds no unfinished fit: a fit goes on from a last.ckpt" in capsys.readouterr().err


def test_an_error_of_the_fit_itself_is_not_laid_to_the_checkpoint(unfinished, go_on, monkeypatch):
    unfinished()
    monkeypatch.setattr("detectors.Classifier.training_step", lambda *_: {}["a bug"])
    with pytest.raises(KeyError, match="a bug"):
        go_on()


class Own(TorchCheckpointIO):
    """A user's own plugin."""


@pytest.fixture
def full_disk(monkeypatch):
    """Return a function that lets the writing of a file of that name fail from then on."""
    replace = Path.replace

    def fill(name):
        def fail(path, target):
            if Path(target).name == name:
                raise OSError(28, "No space left on device")
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", fail)

    return fill


def test_lightning_s_way_of_writing_is_replaced_and_a_users_own_is_not():
    own, around = Own(), AsyncCheckpointIO(Own())
    assert isinstance(atomic(TorchCheckpointIO()), AtomicCheckpoints)
    assert isinstance(atomic(AsyncCheckpointIO(TorchCheckpointIO())).checkpoint_io, AtomicCheckpoints)
    assert atomic(own) is own
    assert atomic(around).checkpoint_io is around.checkpoint_io


def test_a_checkpoint_of_another_machine_is_left_to_lightning():
    AtomicCheckpoints().save_checkpoint({"a": 1}, "memory://folder/last.ckpt")
    assert AtomicCheckpoints().load_checkpoint("memory://folder/last.ckpt", weights_only=True) == {"a": 1}


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_second_epoch_leaves_the_first_from_which_the_fit_goes_on(
    fit, full_disk, tmp_path, capsys, monkeypatch
):
    assert fit("--trainer.max_epochs", "2", "--trainer.default_root_dir", "never_full") == 0
    assert fit() == 0
    (tmp_path / "out/model.ckpt").unlink()
    before = (tmp_path / "out/last.ckpt").read_bytes()
    full_disk("last.ckpt")
    further = ["--trainer.max_epochs", "2", "--ckpt_path", "out/last.ckpt"]
    assert fit(*further) == 1
    assert "out/last.ckpt could not be written (No space left on device)" in capsys.readouterr().err
    assert (tmp_path / "out/last.ckpt").read_bytes() == before
    assert not list((tmp_path / "out").glob("*.tmp"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert fit(*further) == 0
    assert same(load(tmp_path / "out/model.ckpt"), snapshot(load(tmp_path / "never_full/model.ckpt")))


def test_a_checkpoint_written_in_the_background_is_whole_too(fit, full_disk, tmp_path, capsys):
    full_disk("last.ckpt")
    assert fit("--trainer.plugins", "lightning.pytorch.plugins.AsyncCheckpointIO") == 1
    assert "out/last.ckpt could not be written" in capsys.readouterr().err
    assert not (tmp_path / "out/last.ckpt").exists()
