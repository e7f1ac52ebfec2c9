"""The stages of a pipeline: the `fit` config of each, with the paths of earlier stages filled in."""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.training.fitting import DONE
from experiments.training.overrides import callbacks_of, merge
from experiments.training.retraining import ROUNDS
from experiments.training.settings import SALIENCY_STAGES, Settings


@dataclass(frozen=True)
class Stage:
    """One fit of a pipeline.

    Attributes:
        name: The stage's folder within the run folder, for example detectors/spd/fgsm/seed_0.
        folder: The folder itself.
        config: A `fit` config as nested dicts.
    """

    name: str
    folder: Path
    config: dict[str, Any]

    @property
    def model(self) -> Path:
        """The finished model."""
        return self.folder / DONE


def plan(settings: Settings) -> list[Stage]:
    """Return all stages in the order in which they run.

    Raises:
        ValueError: If a class path of the file names nothing.
    """
    sections = settings.sections
    for module in own_modules(sections):
        _imported(module)
    root, first = Path(settings.run), settings.seeds[0]
    parts: dict[str, Any] = {"shape": list(settings.data.shape), "classes": settings.data.classes}
    stages = [_stage(root, f"classifier/seed_{first}", sections, sections["classifier"], parts, first)]
    parts["classifier"] = str(stages[-1].model)
    for name in SALIENCY_STAGES if sections["saliency"] else ():
        entry = sections["saliency"][name]
        if name == "mask":
            entry = _with_panel(entry, next(iter(sections["attacks"].values())))
        stages.append(_stage(root, f"saliency/{name}", sections, entry, parts, first))
        parts[name] = str(stages[-1].model)
    if "mask" in parts:
        parts["saliency"] = parts["mask"]
    for name, entry in settings.detectors.items():
        for attack in settings.train_on:
            pairs = _pairs("data.AdversarialData", parts, settings.training_attack(attack), store=settings.store)
            stages += [
                _stage(root, f"detectors/{name}/{attack}/seed_{seed}", sections, entry, parts, seed, pairs)
                for seed in settings.seeds
            ]
    alike = {"shape": parts["shape"], "classes": parts["classes"]}
    stages.append(_stage(root, "classifier/second", sections, sections["classifier"], alike, first + 1))
    return [*stages, *_retrained(root, settings, parts)]


def _retrained(root: Path, settings: Settings, parts: Mapping[str, Any]) -> list[Stage]:
    """Return the stages that retrain detectors against an attack that sees them."""
    how, given = settings.retrain, settings.sections["retrain"]
    if how is None:
        return []
    stages = []
    for name in how.detectors or settings.detectors:
        entry = settings.detectors[name]
        rounds = {
            "model": entry["model"],
            "data": merge(entry.get("data") or {}, how.data or {}),
            "trainer": merge(merge({"max_epochs": ROUNDS}, settings.sections["trainer"]), how.trainer or {}),
        }
        pairs = _pairs("data.WhiteBoxData", parts, given["attack"], repeats=how.repeats, batches=how.batches)
        for seed in settings.seeds:
            start = root / "detectors" / name / (how.start or settings.train_on[0]) / f"seed_{seed}" / DONE
            stage = _stage(root, f"retrained/{name}/seed_{seed}", settings.sections, rounds, parts, seed, pairs)
            stages.append(replace(stage, config={**stage.config, "start_from": str(start)}))
    return stages


def _pairs(class_path: str, parts: Mapping[str, Any], attack: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Return a data module of pairs that lacks its images."""
    return {"class_path": class_path, "init_args": {"classifier": parts["classifier"], "attack": attack, **options}}


def _stage(
    root: Path,
    name: str,
    sections: Mapping[str, Any],
    entry: Mapping[str, Any],
    parts: Mapping[str, Any],
    seed: int,
    pairs: Mapping[str, Any] | None = None,
) -> Stage:
    """Return a stage; with `pairs`, a data module that lacks its images, its data are pairs of them."""
    folder = root / name
    data = merge(sections["data"], entry.get("data") or {})
    if pairs is not None:
        data = merge({"class_path": None, "init_args": {"images": data}}, pairs)
    trainer = merge({"enable_model_summary": False}, sections["trainer"])
    config = {
        "imports": own_modules(sections),
        "seed_everything": seed,
        "trainer": merge(merge(trainer, entry.get("trainer") or {}), {"default_root_dir": str(folder)}),
        "model": _filled(entry["model"], parts),
        "data": data,
    }
    return Stage(name, folder, config)


def _filled(model: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's config with those parts that its class takes and the file does not give."""
    accepted = inspect.signature(_class(model["class_path"])).parameters
    filled = {name: value for name, value in parts.items() if name in accepted}
    return merge(model, {"init_args": merge(filled, model.get("init_args") or {})})


def own_modules(sections: Any) -> list[str]:
    """Return the modules of the user's own classes that a pipeline file names, which the loader must know."""
    if isinstance(sections, Mapping):
        named = [sections[key] for key in ("class_path", "network") if isinstance(sections.get(key), str)]
        found = {path.rpartition(".")[0] for path in named} | set(own_modules(list(sections.values())))
    elif isinstance(sections, list):
        found = {module for item in sections for module in own_modules(item)}
    else:
        return []
    return sorted(module for module in found if module and module.partition(".")[0] not in _KNOWN)


_KNOWN = ("attacks", "data", "detectors", "experiments", "lightning", "saliency", "torch", "torchvision")


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (ImportError, ValueError) as error:
        msg = f"the module {module}, which a class path names, cannot be imported: {error}"
        raise ValueError(msg) from error


def _class(path: str) -> type:
    package, _, name = path.rpartition(".")
    try:
        found = getattr(_imported(package), name)
    except (AttributeError, ValueError) as error:
        msg = f"class_path {path} names nothing: {error}"
        raise ValueError(msg) from error
    if not inspect.isclass(found):
        msg = f"class_path {path} names no class"
        raise ValueError(msg)
    return found


def _with_panel(entry: Mapping[str, Any], attack: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mask's entry with a panel of clean and adversarial maps for TensorBoard, if it does not say null."""
    panel = {"class_path": "experiments.MapPanel", "init_args": {"attack": attack}}
    trainer = entry.get("trainer") or {}
    named = [one.get("class_path") for one in callbacks_of(trainer) if isinstance(one, Mapping)]
    if panel["class_path"] in named or trainer.get("callbacks", ()) is None:
        return dict(entry)
    return {**entry, "trainer": merge({"callbacks": [panel]}, trainer)}
