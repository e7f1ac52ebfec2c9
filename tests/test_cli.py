"""train.py and evaluate.py in process: what they leave, and how they tell what is wrong."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train
from detectors import Classifier, load
from saliency import Encoder, Selector
from saliency.checkpoints import save

ROOT = Path(train.__file__).parent
FAST = ["--trainer.accelerator", "cpu", "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
CLASSIFIER = ["--model", "detectors.Classifier", "--model.shape", "[1,28,28]", "--model.classes", "10"]
DATA = ["--data", "data.Digits", "--data.train_limit", "300", "--data.test_limit", "30"]


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Return a function that fits a small classifier in a folder, with more options, and returns the exit status."""
    monkeypatch.chdir(tmp_path)

    def run(*options: str, command: str = "fit", folder: str = "out") -> int:
        where = ["--trainer.default_root_dir", folder]
        return train.main([command, *CLASSIFIER, "--model.widths", "[4]", *DATA, *FAST, *where, *options])

    return run


@pytest.fixture
def told(capsys):
    """Return a function that returns the one line on standard error, and checks that it is one sentence."""

    def read() -> str:
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Seed set")]
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        assert "Traceback" not in lines[0]
        return lines[0]

    return read


@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_importing_a_script_imports_no_torch_so_that_ctrl_c_works_from_its_first_moment(script):
    code = f"import sys, {script}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0  # noqa: S603


@pytest.mark.slow
def test_fit_leaves_model_config_and_tensorboard_log(fit, tmp_path):
    assert fit("--data.batch_size", "10") == 0
    assert isinstance(load(tmp_path / "out/model.ckpt"), Classifier)
    events = EventAccumulator(str(tmp_path / "out")).Reload()
    assert {"classifier/train/loss", "classifier/validation/accuracy"} <= set(events.Tags()["scalars"])
    assert {"config/text_summary", "custom_scalars__config__"} <= set(events.Tags()["tensors"])
    config = yaml.safe_load((tmp_path / "out/config.yaml").read_text())
    assert config["model"]["init_args"]["widths"] == [4]
    assert not list((tmp_path / "out").glob("*.tmp"))


@pytest.mark.slow
def test_test_and_validate_use_the_finished_model_of_the_folder(fit, tmp_path, capsys):
    assert fit() == 0
    config = str(tmp_path / "out/config.yaml")
    for command in ("test", "validate"):
        capsys.readouterr()
        assert train.main([command, "--config", config]) == 0
        assert f"{command.replace('validate', 'validation')}/accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_predict_writes_the_predictions(fit, tmp_path):
    assert fit() == 0
    assert train.main(["predict", "--config", str(tmp_path / "out/config.yaml")]) == 0
    arrays = np.load(tmp_path / "out/predictions.npz")
    assert arrays["logits"].shape == (30, 10)
    assert (arrays["predictions"] == arrays["logits"].argmax(1)).all()


def test_test_without_weights_is_refused(fit, told):
    assert fit(command="test") == 1
    assert "needs trained weights" in told()


@pytest.mark.slow
def test_finished_folder_is_not_overwritten(fit, told, tmp_path, capsys):
    assert fit() == 0
    before = (tmp_path / "out/model.ckpt").read_bytes()
    capsys.readouterr()
    assert fit("--seed_everything", "1") == 1
    assert "holds a finished model" in told()
    assert (tmp_path / "out/model.ckpt").read_bytes() == before


@pytest.mark.slow
def test_unfinished_folder_asks_for_its_checkpoint_and_goes_on_from_it(fit, told, tmp_path, capsys):
    assert fit("--trainer.max_epochs", "2", folder="whole") == 0
    assert fit() == 0
    (tmp_path / "out/model.ckpt").unlink()
    capsys.readouterr()
    assert fit("--trainer.max_epochs", "2") == 1
    assert "--ckpt_path out/last.ckpt" in told()
    assert fit("--trainer.max_epochs", "2", "--ckpt_path", "out/last.ckpt") == 0
    whole, resumed = (load(tmp_path / name / "model.ckpt").state_dict() for name in ("whole", "out"))
    assert all((whole[name] == resumed[name]).all() for name in whole)


def test_fast_dev_run_leaves_nothing(fit, tmp_path):
    assert fit("--trainer.fast_dev_run", "true") == 0
    assert not (tmp_path / "out").exists()


def test_any_trainer_flag_is_accepted(fit, tmp_path):
    assert fit("--trainer.limit_train_batches", "1", "--trainer.gradient_clip_val", "0.5") == 0
    assert load(tmp_path / "out/model.ckpt").classes == 10


def test_print_config_shows_every_default(capsys):
    assert train.main(["fit", *CLASSIFIER, *DATA, "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["init_args"]["learning_rate"] == 0.001
    assert config["data"]["init_args"]["splits"] == "disjoint"


@pytest.mark.parametrize("command", [[], ["pipeline"]])
def test_help_names_the_pipeline(command, capsys):
    assert train.main([*command, "--help"]) == 0
    assert "pipeline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "fit, validate, test, predict, pipeline"),
        (["trian"], 2, "unknown command 'trian'. Accepted: fit, "),
        (["fit"], 2, "required: --model"),
        (["fit", "--model", "detectors.Clasifier"], 2, "Clasifier"),
        (["fit", *CLASSIFIER, *DATA, "--model.widht", "3"], 2, "'widht'"),
        (["fit", *CLASSIFIER, *DATA, "--trainer.max_epoch", "3"], 2, "max_epoch"),
        (["fit", *CLASSIFIER, *DATA, "--trainer.max_epochs", "x"], 2, "got x"),
        (["fit", "--config", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["fit", *CLASSIFIER, *DATA, "--data.batch_size", "0"], 1, "batch_size must be at least 1, got 0"),
        (["fit", *CLASSIFIER, "--data", "data.MNIST", "--ckpt_path", "no.ckpt"], 1, "no checkpoint no.ckpt"),
        (
            ["fit", *CLASSIFIER, *DATA, "--model.learning_rate", "-1"],
            1,
            "learning_rate must be finite and above 0, got ",
        ),
        (["pipeline"], 2, "required: run"),
        (["pipeline", "--config", "nowhere.yaml"], 2, "nowhere.yaml"),
    ],
)
def test_wrong_usage_of_train_is_told_in_one_sentence(tmp_path, monkeypatch, told, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    assert train.main(arguments) == status
    assert words in told()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "transfer"),
        (["trnsfer"], 2, "trnsfer"),
        (["transfer"], 2, "required: --run"),
        (["transfer", "--runn", "x"], 2, "unknown key 'runn'. Did you mean 'run'?"),
        (["transfer", "--run", "x", "--resample", "3"], 2, "unknown key 'resample'. Did you mean 'resamples'?"),
        (["transfer", "--run", "nowhere"], 1, "nowhere does not exist"),
    ],
)
def test_wrong_usage_of_evaluate_is_told_in_one_sentence(tmp_path, monkeypatch, told, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    assert evaluate.main(arguments) == status
    assert words in told()
    assert list(tmp_path.iterdir()) == []


def test_pipeline_file_given_to_fit_names_the_right_command(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    config = Path(train.__file__).parent / "configs/digits.yaml"
    assert train.main(["fit", "--config", str(config)]) == 2
    assert f"train.py pipeline --config {config}" in told()
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_diverged_leaves_no_finished_model(fit, told, tmp_path, monkeypatch):
    monkeypatch.setattr(Classifier, "training_step", lambda self, *_: next(self.parameters()).sum() * float("nan"))
    assert fit() == 1
    assert "diverged: its weights are not finite" in told()
    assert not list(tmp_path.rglob("model.ckpt"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert fit("--ckpt_path", "out/last.ckpt", "--trainer.max_epochs", "9") == 1
    assert "diverged: its weights are not finite; delete out and " in told()


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_during_a_fit_is_told(fit, capsys, tmp_path, monkeypatch, number, status, word):
    monkeypatch.setattr(Classifier, "training_step", lambda *_: signal.raise_signal(number))
    assert fit() == status
    assert capsys.readouterr().err.endswith(f"{word}: what was finished is kept\n")
    assert not list(tmp_path.rglob("model.ckpt"))


def test_unusable_device_is_told(finished_run, told):
    assert evaluate.main(["transfer", "--run", str(finished_run), "--device", "nodevice"]) == 1
    assert "use cpu, or auto" in told()


@pytest.fixture
def finished_run(tmp_path):
    """A run folder that has its settings and nothing else."""
    folder = tmp_path / "run"
    folder.mkdir()
    digits = Path(train.__file__).parent / "configs/digits.yaml"
    (folder / "pipeline.yaml").write_text(digits.read_text())
    return folder


def test_typo_in_a_config_names_what_is_accepted(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    section = {"class_path": "detectors.Classifier", "init_args": {"shape": [1, 28, 28], "classes": 10, "widhts": [4]}}
    Path("typo.yaml").write_text(yaml.safe_dump({"model": section, "data": {"class_path": "data.Digits"}}))
    assert train.main(["fit", "--config", "typo.yaml"]) == 2
    error = told()
    assert "unknown key 'widhts'. Did you mean 'widths'?" in error


def test_missing_checkpoint_is_told_before_anything_is_built(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    config = Path(train.__file__).parent / "configs/mnist/spd.yaml"
    assert train.main(["fit", "--config", str(config)]) == 1
    error = told()
    assert "there is no checkpoint runs/mnist/classifier/seed_0/model.ckpt" in error
    assert "train.py" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "classes", "words"), [((3, 28, 28), 10, "3, 28, 28"), ((1, 28, 28), 4, "of 4 classes")]
)
def test_detector_whose_classifier_saw_other_images_is_refused(tmp_path, monkeypatch, told, shape, classes, words):
    monkeypatch.chdir(tmp_path)
    save(Classifier(shape, classes, widths=(4,)), "other.ckpt")
    pairs = {
        "images": {"class_path": "data.Digits"},
        "classifier": "other.ckpt",
        "attack": {"class_path": "attacks.FGSM"},
    }
    config = {
        "model": {"class_path": "detectors.ID", "init_args": {"classifier": "other.ckpt"}},
        "data": {"class_path": "data.AdversarialData", "init_args": pairs},
    }
    Path("fit.yaml").write_text(yaml.safe_dump(config))
    assert train.main(["fit", "--config", "fit.yaml"]) == 1
    assert words in told()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit.yaml", "other.ckpt"]


def test_classifier_config_of_another_shape_than_the_data_is_refused(fit, told, tmp_path):
    assert fit("--model.shape", "[3,28,28]") == 1
    assert "made for images 3x28x28" in told()
    assert not (tmp_path / "out/model.ckpt").exists()


def test_checkpoint_of_another_kind_is_refused(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    encoder = Encoder((1, 28, 28), 10, width=4)
    save(Selector(encoder), "selector.ckpt")
    arguments = ["fit", "--model", "saliency.Selector", "--model.encoder", "selector.ckpt", *DATA, *FAST]
    assert train.main(arguments) == 1
    assert "selector.ckpt holds Selector, but Encoder is needed" in told()


def test_weights_of_another_architecture_are_refused(fit, told, tmp_path, capsys):
    save(Classifier((1, 28, 28), 10, widths=(8,)), tmp_path / "wide.ckpt")
    capsys.readouterr()
    assert fit("--ckpt_path", "wide.ckpt", command="test") == 1
    assert "wide.ckpt" in told()


@pytest.mark.slow
def test_a_fit_that_begins_with_the_weights_of_another_has_its_own_config(fit, tmp_path):
    assert fit() == 0
    assert fit("--start_from", "out/last.ckpt", "--model.learning_rate", "0.5", folder="again") == 0
    assert load(tmp_path / "again/model.ckpt").learning_rate == 0.5


def test_unwritable_report_folder_is_told_before_the_work(finished_run, told):
    (finished_run / "report").write_text("a file where the folder should be")
    assert evaluate.main(["transfer", "--run", str(finished_run)]) == 1
    assert "report" in told()


def test_text_given_as_a_checkpoint_is_never_read_as_a_config(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("evil_module.py").write_text("raise SystemExit('the code of a checkpoint ran')")
    Path("evil.ckpt").write_text("class_path: evil_module.Evil")
    pairs = {
        "images": {"class_path": "data.Digits"},
        "classifier": "evil.ckpt",
        "attack": {"class_path": "attacks.BIM"},
    }
    model = {"class_path": "detectors.ID", "init_args": {"classifier": "evil.ckpt"}}
    data = {"class_path": "data.AdversarialData", "init_args": pairs}
    Path("fit.yaml").write_text(yaml.safe_dump({"model": model, "data": data}))
    assert train.main(["fit", "--config", "fit.yaml"]) == 1
    assert "evil.ckpt is damaged" in told()


def test_a_module_that_no_checkpoint_can_hold_is_refused_before_it_trains(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    arguments = ["fit", "--model", "lightning.pytorch.demos.boring_classes.BoringModel", *DATA, *FAST]
    assert train.main(arguments) == 1
    assert "BoringModel cannot be saved" in told()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_fit_does_not_go_on_from_a_finished_model(fit, told, capsys):
    assert fit() == 0
    capsys.readouterr()
    assert fit("--ckpt_path", "out/model.ckpt", folder="again") == 1
    assert "a fit goes on from a last.ckpt" in told()


def test_a_single_callback_is_accepted(fit):
    assert fit("--trainer.callbacks", "lightning.pytorch.callbacks.LearningRateMonitor") == 0
