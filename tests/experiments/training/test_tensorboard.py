"""TensorBoard's log of a fit, and other loggers in its place."""

import csv

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout as LayoutProto

from detectors import ID
from experiments.training.tensorboard import charts, stage_of
from saliency import Encoder, Selector


def test_each_kind_of_model_has_a_stage_of_its_own(classifier, saliency):
    encoder = Encoder((1, 12, 12), 4, width=4)
    models = {"classifier": classifier, "encoder": encoder, "selector": Selector(encoder), "mask": saliency}
    models |= {"detector": ID(classifier), "linear": torch.nn.Linear(1, 1)}
    assert {name: stage_of(model, None) for name, model in models.items()} == {name: name for name in models}


def test_training_and_validation_share_a_chart():
    metrics = ["train/loss", "validation/loss", "validation/auroc", "train/total", "lr"]
    assert charts("mask", metrics) == {
        "auroc": ["Multiline", ["mask/validation/auroc$"]],
        "loss": ["Multiline", ["mask/train/loss$", "mask/train/total$", "mask/validation/loss$"]],
        "lr": ["Multiline", ["mask/lr$"]],
    }


@pytest.mark.slow
def test_a_monitor_calls_a_scalar_by_its_name_without_the_stage(fit, tmp_path):
    stopping = ["--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint", "--trainer.callbacks.filename=best"]
    assert fit("--data.batch_size", "10", *stopping, "--trainer.callbacks.monitor", "validation/loss") == 0
    events = EventAccumulator(str(tmp_path / "out")).Reload()
    assert "classifier/validation/loss" in events.Tags()["scalars"]
    layout = LayoutProto.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    assert [(each.title, [chart.title for chart in each.chart]) for each in layout.category] == [
        ("classifier", ["accuracy", "loss"])
    ]
    config = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "max_epochs: 1" in config
    assert "null" not in config


@pytest.mark.slow
def test_a_csv_logger_takes_the_place_of_tensorboard(fit, tmp_path):
    logger = ["--trainer.logger", "lightning.pytorch.loggers.CSVLogger", "--trainer.logger.save_dir", "out"]
    assert fit("--data.batch_size", "10", *logger) == 0
    assert not list((tmp_path / "out").rglob("events*"))
    (path,) = (tmp_path / "out").rglob("metrics.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert any(row["validation/loss"] for row in rows)


@pytest.mark.slow
def test_each_stage_of_a_pipeline_has_a_csv_log_and_no_panel_of_maps(run_pipeline):
    status, run = run_pipeline("--trainer.logger", "lightning.pytorch.loggers.CSVLogger", detectors={})
    assert status == 0
    logged = sorted(str(path.relative_to(run).parents[2]) for path in run.rglob("metrics.csv"))
    parts = [f"saliency/{name}" for name in ("encoder", "mask", "selector")]
    assert logged == ["classifier/second", "classifier/seed_0", *parts]
    assert not list(run.rglob("events*"))
