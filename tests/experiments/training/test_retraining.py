"""Retraining: one fit against an attack that sees the detector, and the stage of a pipeline."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from attacks import Alternating
from data import Images, Pairs
from data.pairs import paired
from detectors import ID, SMD, SPD, Classifier, load
from experiments.training.callbacks import RoundMetrics, counts
from experiments.training.run_folder import Run
from experiments.training.settings import read_settings
from experiments.training.stages import plan
from saliency import Encoder, SaliencyModel, Selector
from saliency.checkpoints import save
from tests.experiments.conftest import pipeline_file
from tests.experiments.ranks import ends, started, stop
from tests.experiments.training.test_pipeline import same, weights
from tests.forked import forked

ALTERNATING = {"class_path": "attacks.Alternating", "init_args": {"step_size": 0.02, "epsilon": 0.1}}
RETRAIN = {"attack": ALTERNATING, "detectors": ["id"], "repeats": 2, "batches": 2, "trainer": {"max_epochs": 1}}
SCALARS = {
    "round/classifier_accuracy_under_attack",
    "round/detector_accuracy",
    "round/sr_at_5",
    "round/clean_false_positive_rate",
}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A folder with a classifier for digits and a detector of it, both as they begin; the working directory."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    classifier = Classifier((1, 28, 28), 10, widths=(4,))
    save(classifier, "classifier.ckpt")
    detector = ID(classifier)
    detector.calibrate(torch.arange(50.0))
    save(detector, "detector.ckpt")
    return tmp_path


def config(folder: Path, name: str = "fit.yaml", *, devices=1, callbacks=(), batch_size=24, weights=None) -> str:
    """Write a config that retrains the detector for three rounds of 6 mini-batches in all, and return its path."""
    attack = {"class_path": "attacks.Joint", "init_args": {"epsilon": 0.1, "steps": 3, "weights": weights}}
    images = {"train_limit": 400, "test_limit": 40, "batch_size": batch_size}
    contents = {
        "start_from": str(folder / "detector.ckpt"),
        "model": {"class_path": "detectors.ID", "init_args": {"classifier": str(folder / "classifier.ckpt")}},
        "data": {
            "class_path": "data.WhiteBoxData",
            "init_args": {
                "images": {"class_path": "data.Digits", "init_args": images},
                "classifier": str(folder / "classifier.ckpt"),
                "attack": attack,
                "repeats": 2,
                "batches": 3,
            },
        },
        "trainer": {
            "accelerator": "cpu",
            "devices": devices,
            "strategy": "auto" if devices == 1 else "ddp",
            "max_epochs": 3,
            "enable_progress_bar": False,
            "default_root_dir": str(folder / name.removesuffix(".yaml")),
            "callbacks": [
                {"class_path": f"tests.experiments.ranks.{each}", "init_args": own} for each, own in callbacks
            ],
        },
    }
    path = folder / name
    path.write_text(yaml.safe_dump(contents))
    return str(path)


def start(path: str, *options: str) -> subprocess.Popen:
    """Start `train.py fit` in a process of its own."""
    root = Path(train.__file__).parent
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, str(root / "train.py"), "fit", "--config", path, *options]
    return subprocess.Popen(command, env=one_thread, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603


def rounds(folder: Path) -> dict[str, list[float]]:
    """Return the scalars of each round by name, without the stage in front of it."""
    events = EventAccumulator(str(folder)).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("retraining/round/")]
    return {tag.removeprefix("retraining/"): [event.value for event in events.Scalars(tag)] for tag in tags}


@pytest.mark.slow
def test_a_fit_begins_with_the_weights_given_and_is_calibrated_anew(parts):
    path = config(parts)
    assert train.main(["fit", "--config", path, "--trainer.max_epochs", "0"]) == 0
    before, after = load(parts / "detector.ckpt", ID), load(parts / "fit/model.ckpt", ID)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    assert len(after.calibration) == 60
    assert train.main(["fit", "--config", path, "--trainer.default_root_dir", "trained"]) == 0
    assert not same(parts / "detector.ckpt", parts / "trained/model.ckpt")
    kept = load(parts / "trained/last.ckpt", ID).calibration
    assert len(kept) == 0  # its thresholds were those of other weights


@pytest.mark.slow
def test_a_finished_retraining_is_tested_by_its_config(parts, capsys):
    assert train.main(["fit", "--config", config(parts)]) == 0
    (parts / "detector.ckpt").unlink()
    assert train.main(["test", "--config", "fit/config.yaml"]) == 0
    assert "test/joint/auroc" in capsys.readouterr().out


@pytest.mark.slow
def test_nothing_is_stored(parts):
    assert train.main(["fit", "--config", config(parts)]) == 0
    assert not list(parts.rglob("*.pt"))
    assert {path.name for path in parts.iterdir()} == {"classifier.ckpt", "detector.ckpt", "fit.yaml", "fit"}


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (None, "there is no checkpoint other.ckpt"),
        (lambda classifier: ID(classifier, widths=[8]), "the weights in other.ckpt do not fit this ID"),
        (lambda classifier: classifier, "other.ckpt holds Classifier, but ID is needed"),
    ],
)
def test_weights_that_do_not_fit_are_told_before_anything_is_made(parts, capsys, made, told):
    if made is not None:
        save(made(load(parts / "classifier.ckpt", Classifier)), "other.ckpt")
    assert train.main(["fit", "--config", config(parts), "--start_from", "other.ckpt"]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert told in lines[0]
    assert not (parts / "fit").exists()


@pytest.mark.slow
def test_a_detector_of_another_kind_with_the_same_weights_is_refused(parts, capsys):
    classifier = load(parts / "classifier.ckpt", Classifier)
    save(SaliencyModel(Selector(Encoder((1, 28, 28), 10, width=4)), classifier), "saliency.ckpt")
    save(SMD(classifier, "saliency.ckpt"), "other.ckpt")
    spd = ["--model", "detectors.SPD", "--model.saliency", "saliency.ckpt", "--start_from", "other.ckpt"]
    assert train.main(["fit", "--config", config(parts), *spd]) == 1
    assert "other.ckpt holds SMD, but SPD is needed" in capsys.readouterr().err


@pytest.mark.slow
def test_each_round_is_shown_in_tensorboard(parts):
    assert train.main(["fit", "--config", config(parts)]) == 0
    found = rounds(parts / "fit")
    assert set(found) == SCALARS
    assert all(len(values) == 3 and all(0 <= value <= 1 for value in values) for values in found.values())


@pytest.mark.slow
def test_the_last_rounds_numbers_are_those_of_the_finished_detector(parts):
    """Everything once more, by hand."""
    attack = ["--data.attack", "attacks.Alternating", "--data.attack.step_size", "0.05", "--data.attack.steps", "2"]
    assert train.main(["fit", "--config", config(parts), *attack]) == 0
    data = read_settings(["--config", str(pipeline_file(parts, parts / "run"))]).data
    data.setup()
    detector = load(parts / "fit/model.ckpt", ID)
    classifier, split = detector.classifier, data.split("detector_train_validation")
    batch = split.__getitems__(list(range(len(split))))
    attacked = Alternating(step_size=0.05, steps=2, epsilon=0.1)(classifier, batch.images, detector=detector)
    before, after = (classifier(images).argmax(1) == batch.labels for images in (batch.images, attacked))
    clean, scores, limit = detector(batch.images), detector(attacked), detector.threshold(0.05)
    expected = {
        "round/classifier_accuracy_under_attack": after.float().mean(),
        "round/detector_accuracy": ((clean <= 0).float().mean() + (scores > 0).float().mean()) / 2,
        "round/sr_at_5": (before & ~after & (scores <= limit)).sum() / before.sum(),
        "round/clean_false_positive_rate": (clean > limit).float().mean(),
    }
    found = rounds(parts / "fit")
    assert before.any()
    assert {name: values[-1] for name, values in found.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, abs=1e-6
    )


@pytest.mark.slow
def test_with_too_few_calibration_images_there_is_no_threshold_to_speak_of(parts):
    few = ["--data.images.train_limit", "100"]
    assert train.main(["fit", "--config", config(parts), *few]) == 0
    assert set(rounds(parts / "fit")) == {"round/classifier_accuracy_under_attack", "round/detector_accuracy"}


def test_a_validation_tells_the_numbers_before_retraining(parts, capsys):
    options = ["--ckpt_path", "detector.ckpt", "--trainer.logger", "false"]
    assert train.main(["validate", "--config", config(parts), *options]) == 0
    assert "round/detector_accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_mixed_precision_retrains(parts):
    assert train.main(["fit", "--config", config(parts), "--trainer.precision", "bf16-mixed"]) == 0
    assert set(rounds(parts / "fit")) == SCALARS


@pytest.mark.slow
def test_killed_amid_a_round_it_goes_on_from_the_last_rounds_end_to_the_same_weights(parts):
    path = config(parts, "killed.yaml", callbacks=[("Kill", {"folder": str(parts)})])
    process = forked(train.main, ["fit", "--config", path])
    process.join(100)
    assert process.exitcode == -signal.SIGKILL
    assert (parts / "killed/last.ckpt").exists()
    assert not (parts / "killed/model.ckpt").exists()
    assert torch.load(parts / "killed/last.ckpt", weights_only=True)["epoch"] == 0
    assert train.main(["fit", "--config", config(parts, "whole.yaml")]) == 0
    (parts / "detector.ckpt").unlink()  # a fit that goes on does without
    on = ["--trainer.default_root_dir", "killed", "--ckpt_path", "killed/last.ckpt"]
    assert train.main(["fit", "--config", "whole.yaml", *on]) == 0
    assert same(parts / "killed/model.ckpt", parts / "whole/model.ckpt")


@pytest.mark.slow
def test_two_processes_train_as_one_with_batches_of_twice_the_size(parts):
    kept = [("Keep", {"folder": str(parts)})]
    assert start(config(parts, "two.yaml", devices=2, callbacks=kept, batch_size=12)).wait(110) == 0
    ranks = [torch.load(parts / f"rank_{rank}.pt", weights_only=True) for rank in (0, 1)]
    one, other = (rank["weights"] for rank in ranks)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not any(rank["changed"] for rank in ranks)

    alone = parts / "alone"
    alone.mkdir()
    kept = [("Keep", {"folder": str(alone)})]
    assert train.main(["fit", "--config", config(parts, "one.yaml", callbacks=kept)]) == 0
    whole = torch.load(alone / "rank_0.pt", weights_only=True)["positions"]
    shares = zip(*(rank["positions"] for rank in ranks), strict=True)
    assert [sorted(torch.cat(each).tolist()) for each in shares] == [sorted(each.tolist()) for each in whole]
    models = weights(parts / "one/model.ckpt"), weights(parts / "two/model.ckpt")
    for name in models[0]:
        torch.testing.assert_close(models[0][name], models[1][name], rtol=1e-2, atol=1e-3)
    for name, values in rounds(parts / "one").items():
        assert rounds(parts / "two")[name] == pytest.approx(values, abs=1e-6), name


@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_takes_the_other_down(parts, victim):
    path = config(parts, devices=2, callbacks=[("Kill", {"folder": str(parts), "rank": victim})], batch_size=12)
    process = start(path, "--trainer.max_epochs", "1000")
    try:
        pids = started(parts, 100)
        assert pids[0] == process.pid
        assert ends(pids[victim], 60)
        assert ends(pids[1 - victim], 30)
        assert process.wait(30) != 0
    finally:
        stop(parts)
    assert not (parts / "fit/model.ckpt").exists()


def test_stages_of_a_pipeline_retrain_each_detector_and_seed_from_its_own(tmp_path):
    changes = {"seeds": [0, 3], "train_on": ["fgsm", "none"], "retrain": {"attack": ALTERNATING, "start": "none"}}
    stages = plan(read_settings(["--config", str(pipeline_file(tmp_path, tmp_path / "run", **changes))]))
    names = [f"retrained/{name}/seed_{seed}" for name in ("id", "spd") for seed in (0, 3)]
    assert [stage.name for stage in stages][-5:] == ["classifier/second", *names]
    last = stages[-1].config
    assert last["start_from"] == str(tmp_path / "run/detectors/spd/none/seed_3/model.ckpt")
    assert last["seed_everything"] == 3
    assert last["model"] == next(s for s in stages if s.name == "detectors/spd/none/seed_3").config["model"]
    assert last["data"]["class_path"] == "data.WhiteBoxData"
    arguments = last["data"]["init_args"]
    assert arguments["classifier"] == str(tmp_path / "run/classifier/seed_0/model.ckpt")
    assert (arguments["repeats"], arguments["batches"]) == (10, 40)
    assert last["trainer"]["max_epochs"] == 10


def test_a_run_finds_all_its_finished_stages_in_the_order_in_which_they_ran(tmp_path):
    changes = {"seeds": [3, 0], "train_on": ["none", "fgsm"], "retrain": {"attack": ALTERNATING, "detectors": ["spd"]}}
    settings = read_settings(["--config", str(pipeline_file(tmp_path, tmp_path / "run", **changes))])
    for stage in plan(settings):
        stage.folder.mkdir(parents=True)
        stage.model.touch()
    (tmp_path / "run/pipeline.yaml").write_text(settings.resolved)
    assert Run(tmp_path / "run").finished() == [stage.model for stage in plan(settings)]


def test_options_of_the_section_and_of_all_stages_reach_the_retraining(tmp_path):
    retrain = {**RETRAIN, "data": {"init_args": {"batch_size": 7}}}
    path = str(pipeline_file(tmp_path, tmp_path / "run", retrain=retrain))
    options = ["--trainer.precision", "64-true", "--retrain.repeats", "5"]
    config = plan(read_settings(["--config", path, *options]))[-1].config
    assert config["trainer"]["precision"] == "64-true"
    assert config["trainer"]["max_epochs"] == 1
    images = config["data"]["init_args"]["images"]["init_args"]
    assert (images["batch_size"], images["train_limit"]) == (7, 400)
    assert config["data"]["init_args"]["repeats"] == 5


def test_the_resolved_file_says_the_same(tmp_path):
    settings = read_settings(["--config", str(pipeline_file(tmp_path, tmp_path / "run", retrain=RETRAIN))])
    again = tmp_path / "again.yaml"
    again.write_text(settings.resolved)
    read = read_settings(["--config", str(again)])
    assert read.resolved == settings.resolved
    assert read.retrain == settings.retrain
    assert plan(read) == plan(settings)


def test_a_run_from_before_there_was_retraining_still_reads(finished, tmp_path):
    old = yaml.safe_load((finished / "pipeline.yaml").read_text())
    assert old.pop("retrain") is None
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(old))
    assert Run(tmp_path).settings.retrain is None


@pytest.mark.slow
def test_a_run_holds_its_retrained_detectors(finished, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    path = pipeline_file(tmp_path, copy, retrain={**RETRAIN, "detectors": ["id", "spd"]})
    assert train.main(["pipeline", "--config", str(path)]) == 0
    assert capsys.readouterr().out.count("done already") == 7
    run = Run(copy)
    for name, kind in {"id": ID, "spd": SPD}.items():
        assert run.retrained_path(name, 0) == copy / f"retrained/{name}/seed_0/model.ckpt"
        detector = run.retrained(name, 0)
        assert isinstance(detector, kind)
        assert len(detector.calibration) == 60
        assert not same(run.retrained_path(name, 0), run.detector_path(name, "fgsm", 0))
    again = copy.rename(tmp_path / "moved")
    assert train.main(["pipeline", "--config", str(again / "pipeline.yaml"), "--run", str(again)]) == 0
    assert capsys.readouterr().out.count("done already") == 9


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"start": "cw"}, "retrain.start: unknown training attack 'cw'. Accepted: fgsm"),
        ({"detectors": ["sdp"]}, "retrain.detectors: unknown detector 'sdp'. Did you mean 'spd'? Accepted: id, spd"),
        ({"detectors": []}, "retrain.detectors must name different detectors"),
        ({"detectors": ["id", "id"]}, "retrain.detectors must name different detectors"),
        ({"repeats": 0}, "retrain.repeats must be at least 1, got 0"),
        ({"batches": 0}, "retrain.batches must be at least 1, got 0"),
        ({"repeats": "x"}, "repeats in retrain: expected a whole number, got x"),
        ({"attack": {"class_path": "attacks.SelectivePGD", "init_args": {"targeted": True}}}, "untargeted attacks"),
        ({"attack": {"class_path": "attacks.Nothing"}}, "attacks.Nothing"),
        ({"attck": 1}, "attck"),
        ({"trainer": {"max_epoch": 3}}, "max_epoch"),
    ],
)
def test_a_wrong_section_is_told_in_one_sentence_before_anything_is_made(run_pipeline, capsys, changes, told):
    status, folder = run_pipeline(retrain=RETRAIN | changes)
    error = capsys.readouterr().err
    assert status in {1, 2}
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert not folder.exists()


def made_up(count: int, seed: int) -> tuple[Pairs, torch.Tensor]:
    """Return pairs of noise as images, and their scores."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (count,), generator=generator)
    batch = Images(torch.rand(count, 1, 28, 28, generator=generator), labels, torch.arange(count))
    before, after = labels, torch.where(torch.rand(count, generator=generator) < 0.5, labels, (labels + 1) % 10)
    pairs = paired(batch, torch.rand(count, 1, 28, 28, generator=generator), before, after)
    return pairs, torch.randn(2 * count, generator=generator)


def test_counts_of_unequal_ranks_add_up_to_the_shares_of_all_images_together():
    classifier = Classifier((1, 28, 28), 10, widths=(4,)).eval()
    (few, few_scores), (many, many_scores) = made_up(3, 0), made_up(40, 1)
    ranks = [counts(few, few_scores, classifier, 0.2), counts(many, many_scores, classifier, 0.2)]
    shares = {name: first / of for name, (first, of) in ((name, ranks[0][name] + ranks[1][name]) for name in ranks[0])}
    clean = torch.cat([few_scores[:3], many_scores[:40]])
    attacked = torch.cat([few_scores[3:], many_scores[40:]])
    won = torch.cat([few.successful[:3], many.successful[:40]])
    accuracy = ((clean <= 0).float().mean() + (attacked > 0).float().mean()) / 2
    assert shares["detector_accuracy"].item() == pytest.approx(accuracy.item())
    assert shares["sr_at_5"].item() == pytest.approx((won & (attacked <= 0.2)).float().mean().item())
    assert shares["clean_false_positive_rate"].item() == pytest.approx((clean > 0.2).float().mean().item())


def test_where_nothing_was_right_before_there_is_no_success_rate():
    classifier = Classifier((1, 28, 28), 10, widths=(4,)).eval()
    pairs, scores = made_up(4, 0)
    pairs = pairs._replace(successful=torch.zeros(8, dtype=torch.bool), failed=torch.zeros(8, dtype=torch.bool))
    metrics, logged = RoundMetrics(), {}
    metrics._counts = counts(pairs, scores, classifier, 0.2)
    one_rank = SimpleNamespace(strategy=SimpleNamespace(reduce=lambda tensor, reduce_op: tensor))  # noqa: ARG005
    metrics.on_validation_epoch_end(one_rank, SimpleNamespace(log_dict=lambda shares, **_: logged.update(shares)))
    assert set(logged) == SCALARS - {"round/sr_at_5"}
