"""The pipeline: which stages run, what they leave, and how an interruption is survived."""

import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml

import evaluate
import train
from detectors import ID, SPD, load
from experiments.training.settings import read_settings
from experiments.training.stages import plan
from tests.experiments.conftest import pipeline_file
from tests.forked import forked

STAGES = [
    "classifier/seed_0",
    "saliency/encoder",
    "saliency/selector",
    "saliency/mask",
    "detectors/id/fgsm/seed_0",
    "detectors/spd/fgsm/seed_0",
    "classifier/second",
]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def same(first: Path, second: Path) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_stages_come_in_order_and_know_the_paths_of_earlier_ones(tmp_path):
    stages = plan(read_settings(["--config", str(pipeline_file(tmp_path, tmp_path / "run"))]))
    assert [stage.name for stage in stages] == STAGES
    arguments = stages[5].config["model"]["init_args"]
    assert arguments["classifier"] == str(tmp_path / "run/classifier/seed_0/model.ckpt")
    assert arguments["saliency"] == str(tmp_path / "run/saliency/mask/model.ckpt")
    assert "saliency" not in stages[4].config["model"]["init_args"]  # ID takes none


def test_each_seed_and_attack_has_its_stage(tmp_path):
    path = pipeline_file(tmp_path, tmp_path / "run", seeds=[3, 5], train_on=["fgsm", "none"])
    names = [stage.name for stage in plan(read_settings(["--config", str(path)]))]
    assert names[0] == "classifier/seed_3"
    assert {f"detectors/id/{attack}/seed_{seed}" for attack in ("fgsm", "none") for seed in (3, 5)} <= set(names)


@pytest.mark.slow
def test_whole_pipelines_have_folders_and_seeds_of_their_own(run_pipeline, capsys):
    code, run = run_pipeline("--pipelines", "2", saliency={}, detectors={}, seeds=[0, 3])
    assert code == 0
    again = run.with_name("run_1")
    assert capsys.readouterr().out.replace("\n", "").count("seeds [1000, 1003]") == 1
    assert [path.name for path in sorted((run / "classifier").iterdir())] == ["second", "seed_0"]
    assert [path.name for path in sorted((again / "classifier").iterdir())] == ["second", "seed_1000"]
    assert not same(run / "classifier/seed_0/model.ckpt", again / "classifier/seed_1000/model.ckpt")
    settings = read_settings(["--config", str(again / "pipeline.yaml")])
    assert (settings.run, settings.seeds, settings.pipelines) == (str(again), [1000, 1003], 1)


def test_a_finished_run_holds_every_stage_with_its_files(finished):
    for name in STAGES:
        assert {"last.ckpt", "model.ckpt", "config.yaml"} <= {path.name for path in (finished / name).iterdir()}
        assert list((finished / name).glob("events.out.tfevents.*"))
    assert isinstance(load(finished / STAGES[4] / "model.ckpt"), ID)
    detector = load(finished / STAGES[5] / "model.ckpt")
    assert isinstance(detector, SPD)
    assert len(detector.calibration) == 60  # 15 % of the 400 training images


def test_last_checkpoint_loads_as_the_model(finished):
    assert isinstance(load(finished / STAGES[5] / "last.ckpt"), SPD)


@pytest.mark.slow
def test_finished_stages_are_skipped(finished, capsys):
    before = {name: (finished / name / "model.ckpt").stat().st_mtime_ns for name in STAGES}
    assert train.main(["pipeline", "--config", str(finished / "pipeline.yaml")]) == 0
    assert capsys.readouterr().out.count("done already") == len(STAGES)
    assert before == {name: (finished / name / "model.ckpt").stat().st_mtime_ns for name in STAGES}


@pytest.mark.slow
def test_a_stage_with_another_config_is_refused_and_nothing_is_lost(finished, capsys):
    settings = (finished / "pipeline.yaml").read_text()
    options = ["--detectors.spd.trainer.max_epochs", "7"]
    assert train.main(["pipeline", "--config", str(finished / "pipeline.yaml"), *options]) == 1
    error = capsys.readouterr().err
    assert "trainer.max_epochs was 1, now 7" in error
    assert "detectors/spd/fgsm/seed_0" in error
    assert (finished / "pipeline.yaml").read_text() == settings
    model = finished / "detectors/spd/fgsm/seed_0/model.ckpt"
    kept = model.rename(model.with_name("kept.ckpt"))  # as if the stage had been interrupted
    assert train.main(["pipeline", "--config", str(finished / "pipeline.yaml"), *options]) == 1
    assert "max_epochs was 1, now 7): choose another --run, or delete that folder" in capsys.readouterr().err
    kept.rename(model)


@pytest.mark.slow
def test_a_stage_started_before_a_class_had_an_argument_goes_on_with_its_default(finished, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    older = copy / "detectors/spd/fgsm/seed_0/config.yaml"
    config = yaml.safe_load(older.read_text())
    del config["model"]["init_args"]["schedule"]
    older.write_text(yaml.safe_dump(config))
    command = ["pipeline", "--config", str(copy / "pipeline.yaml"), "--run", str(copy)]
    assert train.main(command) == 0
    assert train.main([*command, "--detectors.spd.model.init_args.schedule", "one-cycle"]) == 1
    assert "model.init_args.schedule was constant, now one-cycle" in capsys.readouterr().err


@pytest.mark.slow
def test_a_moved_run_folder_is_recognised(run_pipeline, tmp_path, capsys):
    status, folder = run_pipeline(saliency={}, detectors={})
    assert status == 0
    moved = folder.rename(tmp_path / "moved")
    capsys.readouterr()
    assert train.main(["pipeline", "--config", str(moved / "pipeline.yaml"), "--run", str(moved)]) == 0
    assert "done already" in capsys.readouterr().out


@pytest.mark.slow
def test_a_moved_run_folder_goes_on_again_and_again(finished, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(finished, moved)
    for run in (f"{moved}", f"{moved}/", f"{moved}/."):
        assert train.main(["pipeline", "--config", str(moved / "pipeline.yaml"), "--run", run]) == 0


@pytest.mark.slow
def test_what_changes_no_number_may_change_while_a_run_goes_on(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    options = ["--run", str(copy), "--data.root", "elsewhere", "--trainer.enable_model_summary", "true"]
    assert train.main(["pipeline", "--config", str(copy / "pipeline.yaml"), *options]) == 0


@pytest.mark.slow
def test_missing_data_leave_no_run_folder(tmp_path, monkeypatch, capsys):
    def fail(*_args, **_kwargs):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", fail)
    data = {"class_path": "data.MNIST", "init_args": {"root": str(tmp_path / "nowhere")}}
    path = pipeline_file(tmp_path, tmp_path / "run", data=data)
    assert train.main(["pipeline", "--config", str(path)]) == 1
    assert str(tmp_path / "nowhere" / "MNIST" / "raw") in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_users_own_detector_is_trained_and_evaluated(tmp_path, monkeypatch):
    (tmp_path / "own_detector.py").write_text(OWN_DETECTOR)
    monkeypatch.syspath_prepend(tmp_path)
    own = {"own": {"model": {"class_path": "own_detector.Differences"}, "trainer": {"max_epochs": 1}}}
    path = pipeline_file(tmp_path, tmp_path / "run", detectors=own, saliency={})
    assert train.main(["pipeline", "--config", str(path)]) == 0
    assert evaluate.main(["transfer", "--run", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run/report/transfer.json").exists()


OWN_DETECTOR = """
from detectors import Detector

class Differences(Detector):
    def __init__(self, classifier):
        super().__init__(classifier, channels=1)

    def represent(self, images, logits=None):
        return (images - images.roll(1, -1)).abs().mean(1, keepdim=True)
"""


@pytest.mark.slow
def test_a_stage_config_is_accepted_by_fit(finished, tmp_path):
    config = finished / "detectors/id/fgsm/seed_0/config.yaml"
    again = tmp_path / "again"
    assert train.main(["fit", "--config", str(config), "--trainer.default_root_dir", str(again)]) == 0
    assert same(again / "model.ckpt", config.parent / "model.ckpt")


@pytest.mark.slow
def test_two_runs_with_the_same_seed_give_the_same_weights(finished, run_pipeline):
    status, folder = run_pipeline()
    assert status == 0
    for name in STAGES:
        assert same(folder / name / "model.ckpt", finished / name / "model.ckpt"), name


def test_command_line_trainer_flags_hold_for_every_stage(tmp_path):
    path = pipeline_file(tmp_path, tmp_path / "run")
    stages = plan(read_settings(["--config", str(path), "--trainer.max_epochs=9", "--trainer.precision", "bf16-mixed"]))
    assert {stage.config["trainer"]["max_epochs"] for stage in stages} == {9}
    assert {stage.config["trainer"]["precision"] for stage in stages} == {"bf16-mixed"}


CALLBACKS = "lightning.pytorch.callbacks"
MONITOR = {"class_path": f"{CALLBACKS}.LearningRateMonitor"}
STOPPING = {"class_path": f"{CALLBACKS}.EarlyStopping", "init_args": {"monitor": "validation/loss"}}


def callbacks(path, *options):
    """Return the callbacks of each stage by the stage's name."""
    stages = plan(read_settings(["--config", str(path), *options]))
    return {stage.name: stage.config["trainer"].get("callbacks") for stage in stages}


def test_callbacks_of_every_stage_are_added_and_the_panel_of_the_mask_stays(tmp_path):
    path = pipeline_file(tmp_path, tmp_path / "run")
    added = f"--trainer.callbacks+={CALLBACKS}.LearningRateMonitor"
    both = [added, f"--trainer.callbacks+={CALLBACKS}.EarlyStopping", "--trainer.callbacks.monitor", "validation/loss"]
    plain, found = callbacks(path), callbacks(path, *both)
    panel = plain.pop("saliency/mask")
    assert [callback["class_path"] for callback in panel] == ["experiments.MapPanel"]
    assert set(plain.values()) == {None}
    assert found.pop("saliency/mask") == [*panel, MONITOR, STOPPING]
    assert all(given == [MONITOR, STOPPING] for given in found.values())


@pytest.mark.parametrize(
    "options",
    [
        [f"--trainer.callbacks+={CALLBACKS}.EarlyStopping", "--trainer.callbacks.init_args.monitor", "train/loss"],
        [f"--trainer.callbacks={CALLBACKS}.EarlyStopping", "--trainer.callbacks.monitor=train/loss"],
        [
            f"--trainer.callbacks.class_path={CALLBACKS}.EarlyStopping",
            "--trainer.callbacks.init_args.monitor=train/loss",
        ],
        [f"--trainer.callbacks=[{{class_path: {CALLBACKS}.EarlyStopping, init_args: {{monitor: train/loss}}}}]"],
    ],
)
def test_callbacks_may_be_spelled_as_for_one_fit(options, tmp_path):
    found = callbacks(pipeline_file(tmp_path, tmp_path / "run"), *options)
    stopping = {"class_path": f"{CALLBACKS}.EarlyStopping", "init_args": {"monitor": "train/loss"}}
    assert found["classifier/seed_0"] == [stopping]
    assert [each["class_path"] for each in found["saliency/mask"]] == ["experiments.MapPanel", stopping["class_path"]]


def test_a_callback_of_an_entry_takes_the_place_of_that_of_its_class(tmp_path):
    path = pipeline_file(tmp_path, tmp_path / "run", trainer={"callbacks": [MONITOR["class_path"]]})
    option = (
        f"--detectors.spd.trainer.callbacks={{class_path: {MONITOR['class_path']}, init_args: {{log_momentum: true}}}}"
    )
    found = callbacks(path, option)
    assert found["detectors/spd/fgsm/seed_0"] == [{**MONITOR, "init_args": {"log_momentum": True}}]
    assert found["detectors/id/fgsm/seed_0"] == [{"class_path": MONITOR["class_path"]}]


def test_callbacks_of_an_entry_come_beside_those_of_every_stage_unless_they_are_null(tmp_path):
    path = pipeline_file(tmp_path, tmp_path / "run", trainer={"callbacks": MONITOR["class_path"]})
    option = f"--detectors.spd.trainer.callbacks+={{class_path: {CALLBACKS}.EarlyStopping, init_args: {{}}}}"
    found = callbacks(
        path, option, "--detectors.id.trainer.callbacks", "null", "--saliency.mask.trainer.callbacks=null"
    )
    assert found["detectors/spd/fgsm/seed_0"] == [MONITOR, {**STOPPING, "init_args": {}}]
    assert found["detectors/id/fgsm/seed_0"] is None
    assert found["saliency/mask"] is None
    assert found["saliency/encoder"] == [MONITOR]


def test_arguments_of_a_callback_that_is_not_named_are_refused(tmp_path, capsys):
    path = pipeline_file(tmp_path, tmp_path / "run")
    assert train.main(["pipeline", "--config", str(path), "--trainer.callbacks.monitor", "validation/loss"]) == 2
    assert "callbacks.monitor belongs to no callback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--trainer.max_epochs"], "argument --trainer.max_epochs: expected one value"),
        (["--trainer.max_epochs", "--seeds=[1]"], "argument --trainer.max_epochs: expected one value"),
        (["--trainer.max_epochs", "{"], "argument --trainer.max_epochs: '{' is not YAML"),
    ],
)
def test_an_option_below_a_section_needs_a_value(tmp_path, capsys, options, told):
    assert train.main(["pipeline", "--config", str(pipeline_file(tmp_path, tmp_path / "run")), *options]) == 2
    assert told in capsys.readouterr().err


def test_two_arguments_of_the_last_callback_named_both_reach_it(tmp_path):
    stopping = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=a", "--trainer.callbacks.mode=max"]
    path = str(pipeline_file(tmp_path, tmp_path / "run"))
    first, *_ = plan(read_settings(["--config", path, "--trainer.callbacks+=RichProgressBar", *stopping]))
    arguments = {"monitor": "a", "mode": "max"}
    assert first.config["trainer"]["callbacks"][-2:] == [
        {"class_path": "RichProgressBar"},
        {"class_path": "EarlyStopping", "init_args": arguments},
    ]


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(tmp_path):
    epochs = {"trainer": {"max_epochs": 12}}
    classifier = {"model": {"class_path": "detectors.Classifier", "init_args": {"widths": [4]}}, **epochs}
    changes = {"saliency": {}, "detectors": {}, "classifier": classifier}
    stage = "classifier/seed_0"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train.main(["pipeline", "--config", str(pipeline_file(tmp_path, whole, **changes))]) == 0

    process = forked(train.main, ["pipeline", "--config", str(pipeline_file(tmp_path, killed, **changes))])
    deadline = time.monotonic() + 60
    while not (killed / stage / "last.ckpt").exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, "the process ended before it was killed"
    assert (killed / stage / "last.ckpt").exists()
    assert not (killed / stage / "model.ckpt").exists()

    assert train.main(["pipeline", "--config", str(killed / "pipeline.yaml")]) == 0
    assert same(killed / stage / "model.ckpt", whole / stage / "model.ckpt")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seeds": []}, "seeds must be different whole numbers"),
        ({"seeds": [1, 1]}, "seeds must be different whole numbers"),
        ({"pipelines": 0}, "pipelines must be at least 1, got 0"),
        ({"attacks": {}}, "attacks is empty"),
        ({"train_on": ["all-but-nine"]}, "train_on: unknown attack 'all-but-nine'. Did you mean 'all-but-none'? Acc"),
        ({"train_on": []}, "train_on must name different attacks"),
        ({"train_on": ["fgsm", "fgsm"]}, "train_on must name different attacks"),
        ({"train_on": ["cw"]}, "train_on: unknown attack 'cw'. Accepted: fgsm, none, all-but-fgsm, all-but-none"),
        ({"detectors": {"SPD": {"model": {"class_path": "detectors.SPD"}}}}, "'SPD' cannot name a folder"),
        (
            {"detectors": {"spd": {"modle": {}}}},
            "detectors.spd: unknown key 'modle'. Did you mean 'model'?",
        ),
        ({"detectors": {"spd": {"model": {}}}}, "detectors.spd needs a model with a class_path"),
        (
            {"detectors": {"spd": {"model": {"class_path": "detectors.SDP"}}}},
            "module 'detectors' has no attribute 'SDP'. Did you mean 'detectors.SPD'?",
        ),
        ({"saliency": {"encoder": {"model": {"class_path": "saliency.Encoder"}}}}, "saliency needs all of encoder"),
        ({"attacks": {"fgsm": {"class_path": "attacks.FGSM", "init_args": {"targeted": True}}}}, "untargeted attacks"),
        ({"classifier": {"model": {"class_path": "detectors.Classifier", "init_args": {"wdths": [4]}}}}, "'wdths'"),
        ({"classifier": {"model": {"class_path": 3}}}, "classifier.model: class_path: expected text, got 3"),
        (
            {"classifier": {"model": {"class_path": "detectors.Classifier", "init_args": "x"}}},
            "classifier.model.init_args",
        ),
        (
            {"detectors": {"id": {"model": {"class_path": "detectors.ID"}, "trainer": 7}}},
            "detectors.id.trainer must hold",
        ),
        (
            {"attacks": {"fgsm": {"class_path": "attacks.FGMS"}}},
            "attacks: unknown class_path 'attacks.FGMS'. Did you mean 'attacks.FGSM'?",
        ),
        ({"trainer": {"max_epcohs": 3}}, "stage classifier/seed_0: trainer: unknown key 'max_epcohs'. Did you mean "),
        ({"trainer": {"fast_dev_run": True}}, "trainer.fast_dev_run leaves no model, and later stages need it"),
        ({"trainer": {"precision": "64-true"}}, "trainer.precision must be one of 32-true, 16-mixed, bf16-mixed, got"),
    ],
)
def test_a_wrong_pipeline_file_is_told_in_one_sentence_before_anything_is_made(run_pipeline, capsys, changes, told):
    status, folder = run_pipeline(**changes)
    error = capsys.readouterr().err
    assert status in {1, 2}
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert not folder.exists()


def test_a_damaged_config_of_a_stage_is_named(finished, capsys):
    path = finished / "classifier/seed_0/config.yaml"
    kept = path.read_bytes()
    path.write_text("trainer: {max_epochs: [")
    try:
        assert train.main(["pipeline", "--config", str(finished / "pipeline.yaml"), "--run", str(finished)]) == 1
    finally:
        path.write_bytes(kept)
    assert f"{path} is damaged" in capsys.readouterr().err


def test_pipeline_file_keeps_the_defaults_it_was_run_with(finished):
    settings = yaml.safe_load((finished / "pipeline.yaml").read_text())
    assert settings["data"]["init_args"]["batch_size"] == 128
    assert settings["attacks"]["fgsm"]["init_args"] == {"epsilon": 0.1, "targeted": False}


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "warns"), [(1e-9, True), (1e-2, False)])
def test_a_detector_that_hardly_learns_is_named_and_no_other(run_pipeline, capsys, rate, warns):
    learns = {
        "class_path": "detectors.ID",
        "init_args": {"widths": [8], "architecture": "residual", "learning_rate": rate},
    }
    detectors = {"id": {"model": learns, "trainer": {"max_epochs": 15}}}
    assert run_pipeline(saliency=None, detectors=detectors)[0] == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "it detects little" in line]
    assert [line[:31] for line in lines] == ["[2/3] detectors/id/fgsm/seed_0:"] * warns


@pytest.mark.slow
def test_a_pipeline_says_what_it_will_do_and_prints_a_line_for_each_epoch(run_pipeline, capsys):
    status, run = run_pipeline("--trainer.enable_progress_bar", "null", saliency=None, detectors={})
    assert status == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "2 stages, 0 finished:",
        "  classifier: 2",
        "time left: unknown, nothing like it was timed here yet",
    ]
    epochs = [line for line in lines if "epoch" in line]
    assert [re.sub(r"[\d.]+ s$|(?<=accuracy )[\d.]+", "#", line) for line in epochs] == [
        "[1/2] classifier/seed_0: epoch 1/1, validation/accuracy #, #",
        "[2/2] classifier/second: epoch 1/1, validation/accuracy #, #",
    ]
    assert any(line.startswith("time left: about ") for line in lines)
    (run / "classifier/second/model.ckpt").unlink()
    (run / "classifier/second/last.ckpt").unlink()
    assert run_pipeline(saliency=None, detectors={})[0] == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["2 stages, 1 finished:", "  classifier: 2, 1 finished"]
    assert not any("epoch 1" in line for line in lines)
