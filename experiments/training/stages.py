"""The stages of a pipeline: the `fit` config of each, with the paths of earlier stages filled in."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from data import ImageData
from experiments.training import layout
from experiments.training.overrides import callbacks_of, merge
from experiments.training.sections import user_classes
from experiments.training.settings import Settings
from experiments.training.training_free import required
from saliency.class_paths import imported

_ROUNDS: Final = 10
"""Epochs of a retraining in the paper, where the file gives no max_epochs."""

_PANEL: Final = "experiments.MapPanel"


@dataclass(frozen=True)
class Stage:
    """One fit of a pipeline.

    Attributes:
        name: The stage's folder within the run folder, for example detectors/spd/fgsm/seed_0.
        config: A `fit` config as nested dicts.
    """

    name: str
    folder: Path
    config: dict[str, Any]

    @property
    def model(self) -> Path:
        """The finished model."""
        return self.folder / layout.DONE


def plan(settings: Settings) -> list[Stage]:
    """Return all stages in the order in which they run."""
    sections, first = settings.sections, settings.seeds[0]
    images: dict[str, Any] = {"shape": list(settings.data.shape), "classes": settings.data.classes}
    classifier = _made_for(sections["classifier"], settings.data)
    stages = [_stage(settings, layout.CLASSIFIER.format(seed=first), classifier, images, first)]
    parts = {**images, "classifier": str(stages[-1].model)}
    for name in layout.SALIENCY_PARTS if sections["saliency"] else ():
        entry = sections["saliency"][name]
        if name == "mask":
            entry = _with_panel(entry, next(iter(sections["attacks"].values())))
        stages.append(_stage(settings, layout.SALIENCY.format(part=name), entry, parts, first))
        parts[name] = str(stages[-1].model)
    if "mask" in parts:
        parts["saliency"] = parts["mask"]
    for name, entry in settings.detectors.items():
        for attack in settings.train_on:
            pairs = _pairs("data.AdversarialData", parts, settings.training_attack(attack), store=settings.store)
            for seed in settings.seeds:
                folder = layout.DETECTOR.format(name=name, attack=attack, seed=seed)
                stages.append(_stage(settings, folder, entry, parts, seed, pairs))
    stages.append(_stage(settings, layout.SECOND, classifier, images, first + 1))
    return [*stages, *_retrained(settings, parts)]


def _retrained(settings: Settings, parts: Mapping[str, Any]) -> list[Stage]:
    """Return the stages that retrain detectors against an attack that sees them."""
    options = settings.retrain
    if options is None:
        return []
    attack = settings.sections["retrain"]["attack"]
    pairs = _pairs("data.WhiteBoxData", parts, attack, repeats=options.repeats, batches=options.batches)
    stages = []
    for name in options.detectors or settings.detectors:
        before = settings.detectors[name]
        entry = {
            "model": before["model"],
            "data": merge(before.get("data") or {}, options.data or {}),
            "trainer": merge(merge({"max_epochs": _ROUNDS}, settings.sections["trainer"]), options.trainer or {}),
        }
        for seed in settings.seeds:
            start = layout.DETECTOR.format(name=name, attack=options.start or settings.train_on[0], seed=seed)
            stage = _stage(settings, layout.RETRAINED.format(name=name, seed=seed), entry, parts, seed, pairs)
            stage.config["start_from"] = str(Path(settings.run, start, layout.DONE))
            stages.append(stage)
    return stages


def _pairs(class_path: str, parts: Mapping[str, Any], attack: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Return a data module of pairs that lacks its images."""
    return {"class_path": class_path, "init_args": {"classifier": parts["classifier"], "attack": attack, **options}}


def _stage(
    settings: Settings,
    name: str,
    entry: Mapping[str, Any],
    parts: Mapping[str, Any],
    seed: int,
    pairs: Mapping[str, Any] | None = None,
) -> Stage:
    """Return a stage. With `pairs`, a data module that lacks its images, the stage's data are pairs of the images."""
    sections, folder = settings.sections, Path(settings.run) / name
    data = merge(sections["data"], entry.get("data") or {})
    if pairs is not None:
        data = merge({"class_path": None, "init_args": {"images": data}}, pairs)
    trainer = merge({"enable_model_summary": False}, sections["trainer"])
    config = {
        "imports": sorted({path.rpartition(".")[0] for path in user_classes(sections)}),
        "seed_everything": seed,
        "trainer": _placed(merge(trainer, entry.get("trainer") or {}), str(folder)),
        "model": _filled(entry["model"], parts),
        "data": data,
    }
    return Stage(name, folder, config)


def _placed(trainer: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return a trainer whose files, and those of loggers that need a folder, lie in a stage's folder."""
    given = trainer.get("logger")
    loggers = [_logger(logger, folder) for logger in (given if isinstance(given, list) else [given])]
    placed = {"logger": loggers if isinstance(given, list) else loggers[0]} if given is not None else {}
    return {**trainer, **placed, "default_root_dir": folder}


def _logger(logger: Any, folder: str) -> Any:
    """Return a logger's section with the folder, if its class cannot do without."""
    section = {"class_path": logger} if isinstance(logger, str) else logger
    if not isinstance(section, Mapping) or "save_dir" not in required(imported(section["class_path"])):
        return logger
    return merge({"init_args": {"save_dir": folder}}, section)


def _filled(model: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's config with the parts that its class takes and the file does not give."""
    accepted = inspect.signature(imported(model["class_path"])).parameters
    filled = {name: value for name, value in parts.items() if name in accepted}
    return merge(model, {"init_args": merge(filled, model.get("init_args") or {})})


def _made_for(entry: Mapping[str, Any], data: ImageData) -> Mapping[str, Any]:
    """Return the classifier's entry, whose network gets `outputs` and `in_channels` where it takes and lacks them."""
    network = (entry["model"].get("init_args") or {}).get("network")
    if not isinstance(network, Mapping) or "class_path" not in network:
        return entry
    sizes = {"outputs": data.classes, "in_channels": data.shape[0]}
    return merge(entry, {"model": {"init_args": {"network": _filled(network, sizes)}}})


def _with_panel(entry: Mapping[str, Any], attack: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mask's entry with a panel of clean and adversarial maps for TensorBoard, unless callbacks are null."""
    trainer = entry.get("trainer") or {}
    named = [callback.get("class_path") for callback in callbacks_of(trainer) if isinstance(callback, Mapping)]
    if _PANEL in named or trainer.get("callbacks", ()) is None:
        return dict(entry)
    panel = {"class_path": _PANEL, "init_args": {"attack": attack}}
    return {**entry, "trainer": merge({"callbacks": [panel]}, trainer)}
