"""Every file in configs/ is accepted and builds."""

from inspect import signature
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

import train
from attacks import Attack
from data import ImageData, PairData
from detectors import Classifier, Detector, TorchvisionNetwork
from experiments.evaluation import command
from experiments.evaluation.protocols import PROTOCOLS
from experiments.training.fitting import ConfigCheck
from experiments.training.settings import read_settings
from experiments.training.stages import plan
from saliency import Encoder, SaliencyModel, Selector
from saliency.checkpoints import save
from saliency.class_paths import imported

ROOT = Path(train.__file__).parent / "configs"
RETRAIN = ROOT / "retrain.yaml"
PIPELINES = sorted(path for path in ROOT.glob("*.yaml") if path != RETRAIN)
ATTACKS = sorted((ROOT / "attacks").rglob("*.yaml"))
NETWORKS = sorted((ROOT / "networks").glob("*.yaml"))
EXPLAIN = sorted((ROOT / "explain").glob("*.yaml"))
MODELS = [*sorted(path for path in ROOT.glob("*/*.yaml") if path not in [*ATTACKS, *NETWORKS, *EXPLAIN]), RETRAIN]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_all_files_are_covered():
    assert {*PIPELINES, *ATTACKS, *MODELS, *NETWORKS, *EXPLAIN} == set(ROOT.rglob("*.yaml"))
    assert min(len(PIPELINES), len(ATTACKS), len(MODELS), len(NETWORKS), len(EXPLAIN)) > 0


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Stand in for the trained parts that the configs name, with untrained ones of the right sizes."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/mnist")
    classifier = Classifier((1, 28, 28), 10)
    encoder = Encoder((1, 28, 28), 10, width=4)
    selector = Selector(encoder)
    parts = {
        "classifier/seed_0": classifier,
        "saliency/encoder": encoder,
        "saliency/selector": selector,
        "saliency/mask": SaliencyModel(selector, classifier),
    }
    for name, module in parts.items():
        save(module, folder / name / "model.ckpt")


@pytest.mark.parametrize("path", PIPELINES, ids=short)
def test_pipeline_file_plans_stages_whose_configs_are_accepted(path, tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
    own = ["--data.root", str(tmp_path)] if path.stem == "folder" else []
    settings = read_settings(["--config", str(path), *own])
    stages = plan(settings)
    learnt = ["saliency/encoder", "saliency/selector", "saliency/mask"] if settings.sections["saliency"] else []
    first = ["classifier/seed_0", *learnt]
    assert [stage.name for stage in stages[: len(first)]] == first
    retrained = 0 if settings.retrain is None else len(settings.retrain.detectors or settings.detectors)
    trained = len(settings.detectors) * len(settings.train_on)
    assert len(stages) == len(first) + 1 + (trained + retrained) * len(settings.seeds)
    checked: dict[str, set[str]] = {"model": set(), "data": set()}
    for stage in stages:
        parts = {name: str(stage.config[name]) for name in checked}
        if all(part in checked[name] for name, part in parts.items()):
            continue  # each model and each kind of data once, not each with each
        for name, part in parts.items():
            checked[name].add(part)
        resolved = yaml.safe_load(ConfigCheck({"subcommand": "fit", "fit": stage.config}).resolved())
        assert resolved["trainer"]["default_root_dir"] == str(stage.folder)


@pytest.mark.parametrize("path", MODELS, ids=short)
@pytest.mark.usefixtures("trained")
def test_model_config_builds(path):
    config = yaml.safe_load(path.read_text())
    parser = ArgumentParser()
    parser.add_subclass_arguments((Classifier, Encoder, Selector, SaliencyModel, Detector), "model")
    parser.add_subclass_arguments((ImageData, PairData), "data")
    built = parser.instantiate(parser.parse_object({key: config[key] for key in ("model", "data")}))
    assert tuple(built.model.shape) == tuple(built.data.shape)
    resolved = yaml.safe_load(ConfigCheck(["fit", "--config", str(path)]).resolved())
    assert resolved["start_from"] == config.get("start_from")
    assert resolved["trainer"]["default_root_dir"] == config["trainer"]["default_root_dir"]
    assert resolved["trainer"]["max_epochs"] == config["trainer"]["max_epochs"]


@pytest.mark.parametrize("path", ATTACKS, ids=short)
def test_attack_config_goes_over_a_detector_config(path):
    detector = str(ROOT / "mnist" / "spd.yaml")
    resolved = yaml.safe_load(ConfigCheck(["fit", "--config", detector, "--config", str(path)]).resolved())
    given = yaml.safe_load(path.read_text())["data"]["init_args"]["attack"]
    parser = ArgumentParser()
    parser.add_subclass_arguments(Attack, "attack")
    built = parser.instantiate(parser.parse_object({"attack": resolved["data"]["init_args"]["attack"]})).attack
    assert f"attacks.{type(built).__name__}" == given["class_path"]
    for name, value in given["init_args"].items():
        if isinstance(value, dict) and "class_path" in value:  # the attack inside
            assert f"attacks.{type(getattr(built, name)).__name__}" == value["class_path"]
        else:
            assert getattr(built, name) == value
    assert resolved["data"]["init_args"]["images"]["class_path"] == "data.MNIST"


@pytest.mark.parametrize("path", NETWORKS, ids=short)
def test_network_config_goes_over_a_classifier_config(path):
    classifier = str(ROOT / "mnist" / "classifier.yaml")
    fitting = {"residual": "in_channels=1", "efficientnet_lite": "size=64"}  # MNIST's images are grey and small
    given = fitting.get(path.stem)
    own = [f"--model.init_args.network.init_args.{given}"] if given else []
    resolved = yaml.safe_load(ConfigCheck(["fit", "--config", classifier, "--config", str(path), *own]).resolved())
    arguments = resolved["model"]["init_args"]
    network = arguments["network"]
    assert network["init_args"].get("name", path.stem) == path.stem
    assert network["init_args"]["outputs"] == arguments["classes"]
    with torch.device("meta"):
        built = imported(network["class_path"])(**network["init_args"]).eval()
        assert built(torch.empty(2, *arguments["shape"])).shape == (2, arguments["classes"])


@pytest.mark.parametrize("path", NETWORKS, ids=short)
def test_network_config_goes_over_a_pipeline_file_with_an_output_per_class(path, tmp_path):
    pipeline = yaml.safe_load((ROOT / "mnist.yaml").read_text())
    folder = tmp_path / "images"
    for name in "abc":
        (folder / name).mkdir(parents=True)
    options = ["--data.class_path", "data.ImageFolder", "--data.root", str(folder), "--data.size", "32"]
    own = {"residual": {"in_channels": 3}, "efficientnet_lite": {}}  # those not of torchvision
    sizes = {"widths": [4, 8]} if path.stem == "residual" else {"size": 80}
    given = [f"--classifier.model.init_args.network.init_args.{name}={value}" for name, value in sizes.items()]
    settings = read_settings([f"--config={ROOT / 'mnist.yaml'}", "--config", str(path), *given, *options])
    stages = {stage.name: stage.config["model"]["init_args"] for stage in plan(settings)}
    for name in ("classifier/seed_0", "classifier/second"):
        network = stages[name]["network"]
        named = own.get(path.stem, {"name": path.stem, "weights": None})
        assert network["init_args"] == {"outputs": 3, **sizes, **named}
        assert stages[name]["widths"] == pipeline["classifier"]["model"]["init_args"]["widths"]


@pytest.mark.parametrize("path", EXPLAIN, ids=short)
def test_options_of_a_protocol_are_accepted(path):
    protocol = path.stem.partition("_")[0]
    parser = command._parser(protocol)
    options = parser.parse_args([protocol, "--run", "runs/any", "--config", str(path)])[protocol]
    given = yaml.safe_load(path.read_text())
    assert set(given) <= signature(PROTOCOLS[protocol].run).parameters.keys()
    for name, value in given.items():
        if isinstance(value, dict):  # a class with its arguments, or several: defaults are filled in
            assert options[name].keys() == value.keys() if name == "methods" else options[name].class_path
        else:
            assert options[name] == value


def test_the_alexnet_of_the_similarity_study_sees_images_in_minus_one_to_one():
    settings = read_settings(["--config", str(ROOT / "cifar10_alexnet.yaml")])
    assert not settings.detectors
    network = settings.sections["classifier"]["model"]["init_args"]["network"]["init_args"]
    assert network["weights"] == "IMAGENET1K_V1"
    built = TorchvisionNetwork(**{**network, "weights": None}).eval()
    assert built.normalize(torch.tensor([0.0, 0.5, 1.0]).expand(1, 3, 1, 3))[0, 0, 0].tolist() == [-1, 0, 1]
    with torch.no_grad():
        assert built(torch.rand(1, *settings.data.shape)).shape == (1, settings.data.classes)
