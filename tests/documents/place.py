"""A folder that looks like a clone in which the demo has run, and small settings for what pages do in it."""

import re
import shutil
from inspect import signature
from itertools import pairwise
from pathlib import Path

import torch
import yaml

from data import Digits
from detectors import ID, JSD, SMD, SPD, Classifier
from experiments.evaluation.protocols import PROTOCOLS
from saliency import Encoder, SaliencyModel, Selector
from saliency.checkpoints import save
from tests.data.pictures import write, write_classes
from tests.documents.pages import ROOT, module_blocks
from tests.experiments.conftest import ENTRY, pipeline_file

RUN = "runs/digits"


def furnish(folder: Path) -> None:
    """Put there what pages take for granted: configs, examples, modules of the reader, and image files."""
    for name in ("configs", "examples"):
        (folder / name).symlink_to(ROOT / name)
    for name, text in module_blocks().items():
        (folder / name).write_text(small_code(text))
    for name, count in {"photos": 90, "images": 20, "FOLDER": 20}.items():  # 90: enough to calibrate on
        write_classes(folder / name, ("cat", "dog"), count, ending="jpg")
    for name in ("a", "b"):
        write(folder / "digits" / f"{name}.png")
    width = 64
    shapes = {"1.weight": (width, 784), "1.bias": (width,), "3.weight": (10, width), "3.bias": (10,)}
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, folder / "net.pt")


def untrained_run(folder: Path) -> None:
    """Write the checkpoints of a run like the demo's, of small networks that were not trained."""
    data = Digits(train_limit=300, test_limit=120, batch_size=120)
    classifier = Classifier(data.shape, data.classes, widths=(4,)).eval()
    encoder = Encoder(data.shape, data.classes, width=4)
    selector = Selector(encoder)
    saliency = SaliencyModel(selector, classifier)
    parts = {"encoder": encoder, "selector": selector, "mask": saliency}
    for name, part in {
        "classifier/seed_0": classifier,
        **{f"saliency/{key}": part for key, part in parts.items()},
    }.items():
        save(part, folder / name / "model.ckpt")
    clean = next(iter(data.loader("test"))).images
    looking = {
        "id": ID(classifier),
        "jsd": JSD(classifier),
        "smd": SMD(classifier, saliency),
        "spd": SPD(classifier, saliency),
    }
    for name, detector in looking.items():
        detector.eval().calibrate(detector.scores(clean))
        for attack in ("fgsm", "bim"):
            save(detector, folder / "detectors" / name / attack / "seed_0" / "model.ckpt")


def small_pipeline(source: Path, folder: Path, **changes) -> Path:
    """Write a pipeline file that takes seconds in the place of one of configs/: its run, small networks, few images."""
    given = yaml.safe_load(source.read_text())
    own = given["data"]["class_path"] == "data.ImageFolder"
    data = given["data"] if own else {"class_path": "data.Digits", "init_args": {"train_limit": 700, "test_limit": 40}}
    names = {"id": "ID", "jsd": "JSD", "smd": "SMD", "spd": "SPD"}
    kept = {key: given[key] for key in ("pipelines",) if key in given}
    sections = {
        "data": data,
        "attacks": {name: {"class_path": f"attacks.{name.upper()}"} for name in ("fgsm", "bim")},
        "detectors": {name: {"model": {"class_path": f"detectors.{kind}"}, **ENTRY} for name, kind in names.items()},
        "train_on": ["fgsm", "bim"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    return pipeline_file(folder, Path(given["run"]), **{**sections, **kept, **changes})


_SMALLER = [
    (r'weights="\w+"', "weights=None"),
    ("pretrained=True", "pretrained=False"),
    (r"steps=\d+", "steps=2"),
    (r"Digits\(\)", "Digits(train_limit=300, test_limit=100)"),
    ('preset="standard"', 'preset="quick", options=SMALL'),
    (r"\(3, 224, 224\)", "(3, 64, 64)"),
]


def small_code(text: str) -> str:
    """Return code of a page with few steps and images, and without weights that would be downloaded."""
    for pattern, instead in _SMALLER:
        text = re.sub(pattern, instead, text)
    return text


FEW = {
    "images": "4",
    "steps": "2",
    "curve_images": "0",
    "resamples": "10",
    "pairs": "10",
    "repeats": "1",
    "regions": "2",
}
LIME = "{class_path: saliency.LIME, init_args: {samples: 20, segments: 9}}"
METHODS = f"{{gradient: {{class_path: saliency.Gradient}}, lime: {LIME}}}"
STRONG = {"images": "8", "regions": "4", "steps": "40", "step_size": "0.1", "probability": "0.11", "target": "null"}
"""Options of `recover` with which some of few attacks succeed."""

_RESNET = {"weights": "null", "name": "resnet18", "outputs": "3", "size": "40", "std": "[0.02,0.02,0.02]"}
RESNET = {f"classifier.init_args.{name}": value for name, value in _RESNET.items()} | {
    "size": "40",
    "probability": "0.5",
}
"""A small network in the place of Inception v3: 299 pixels take minutes."""

DETECTORS = "[id,detectors.published.Mahalanobis]"


def small_evaluation(words: list[str]) -> list[str]:
    """Return the words of an evaluation with few images, steps, methods and detectors."""
    words = [*words, "--devices", "1"] if "--devices" in words else words
    if words[0] not in PROTOCOLS:
        return words
    options = signature(PROTOCOLS[words[0]].run).parameters
    few = {name: value for name, value in FEW.items() if name in options}
    few |= STRONG if words[0] == "recover" else {}
    few |= {"methods": METHODS} if "methods" in options else {}
    few |= {"detectors": DETECTORS} if words[0] in ("benchmark", "museum") else {}
    few |= {"photographs": "FOLDER", "size": "32"} if "my_nets.resnet" in words else {}  # the run has grey images
    few |= RESNET if any("inception" in word for word in words) else {}
    return [*words, *(word for name, value in few.items() for word in (f"--{name}", value))]


def small_fit(words: list[str], number: int) -> list[str]:
    """Return the words of a fit of some batches of digits, on one device, into a folder of its own."""
    configs = [Path(after) for word, after in pairwise(words) if word == "--config"]
    fresh = [
        yaml.safe_load(path.read_text())["data"]["init_args"] for path in configs[:1] if path.parts[0] == "configs"
    ]
    prefix = "data.images" if any("images" in given for given in fresh) else "data"
    digits = [f"--{prefix}", "data.Digits", f"--{prefix}.train_limit", "200", f"--{prefix}.test_limit", "20"]
    small = ["--trainer.accelerator", "cpu", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
    small += ["--trainer.devices", "1", "--trainer.num_nodes", "1", "--trainer.strategy", "auto"]
    small += ["--trainer.enable_progress_bar", "false"]
    given = [Path(after) for word, after in pairwise(words) if word == "--trainer.default_root_dir"]
    small += ["--trainer.default_root_dir", f"out/{number}"] if not given or given[0].exists() else []
    small += (
        ["--model.init_args.network.init_args.size", "32"] if any("networks" in path.parts for path in configs) else []
    )
    if "--model.help" in words or not configs:
        return words
    return [*words, *(digits if fresh else []), *(small if words[0] == "fit" else small[:2])]


def runs_of(words: list[str]) -> set[str]:
    """The run folders that a command's words name."""
    return {found for word in words for found in re.findall(r"runs/\w+", word)}


def copy_run(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("report"))
