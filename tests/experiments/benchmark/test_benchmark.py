"""The benchmark of one detector in one call, and its card."""

import copy
import json
import re
from importlib.metadata import version
from inspect import signature

import jsonschema
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from attacks import FGSM
from detectors import Classifier
from detectors.metrics import auroc
from detectors.published import Mahalanobis
from docs.render import ROOT
from experiments.benchmark import PRESETS, benchmark, check_card, read_card
from experiments.benchmark.call import PROTOCOLS
from experiments.benchmark.given import GivenTensors
from experiments.white_box.records import WORST
from tests.experiments.white_box.test_documents import block

SMALL = {
    "transfer": {"resamples": 50},
    "corruptions": {"images": 40, "names": ["jpeg", "brightness"]},
    "speed": {"repeats": 2},
    "white-box": {"images": 12, "steps": 4, "curve_images": 0, "suite_attacks": ["hinged", "square"], "resamples": 50},
}
PIXELS, LABELS = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
IMAGES = (PIXELS.view(-1, 1, 8, 8) / 16).float()
KNOWN = 600
DATA = IMAGES[KNOWN:], LABELS[KNOWN:]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(IMAGES[:KNOWN]), LABELS[:KNOWN].long()).backward()
        optimizer.step()
    return net


def small(detector, network, data=DATA, **changes):
    return benchmark(detector, network, data, "quick", options=SMALL, **changes)


@pytest.fixture(scope="module")
def report(network):
    return small(lambda images: images.mean((1, 2, 3)), network)


def figure(report, name, under=None):
    (found,) = [each for each in report.figures if (each.name, each.under) == (name, under)]
    return found


@pytest.mark.slow
def test_the_figures_of_unaware_attacks_are_those_of_the_scores(report, network):
    data = GivenTensors(*DATA, classes=10)
    test = data.split("test").__getitems__(list(range(len(data.split("test")))))
    attacked = FGSM(epsilon=0.1)(network.eval(), test.images)
    clean, moved = (images.mean((1, 2, 3)) for images in (test.images, attacked))
    found = figure(report, "auroc", "fgsm")
    assert found.value == pytest.approx(auroc(clean, moved))
    assert found.low < found.value < found.high
    assert found.n == len(clean) == round(0.4 * len(DATA[0]))
    assert {each.under for each in report.figures if each.name == "auroc"} == {"fgsm", "bim", "mim", "deepfool", "cw"}
    assert report.card["classifier"]["accuracy"] == pytest.approx(
        (network(test.images).argmax(1) == test.labels).double().mean().item()
    )


def test_the_other_figures_are_those_of_the_commands(report):
    (worst,) = [row for row in report.results["white-box"].rows if row["attack"] == WORST]
    found = figure(report, "worst_case_sr_at_5")
    assert (found.value, found.low, found.high) == (worst["sr_at_5"], worst["sr_at_5_low"], worst["sr_at_5_high"])
    assert found.n == worst["n_right"] > 0
    rows = [row["flagged"] for row in report.results["corruptions"].rows if row["corruption"] == "brightness"]
    benign = figure(report, "false_positives", "brightness")
    assert benign.value == pytest.approx(sum(rows) / 5)
    assert benign.low <= benign.value <= benign.high
    assert figure(report, "latency_ms").value > 0
    assert figure(report, "latency_ratio").n is None


@pytest.mark.slow
def test_a_detector_with_fit_is_fitted_and_one_by_class_path_is_built(network):
    fitted = Mahalanobis(Classifier((1, 8, 8), 10, widths=(4,), network=network))
    first, second = small(fitted, network), small("detectors.published.Mahalanobis", network)
    assert fitted.fitted
    assert first.detector == second.detector == "mahalanobis"
    for name, under in {"auroc": "bim", "worst_case_sr_at_5": None}.items():
        assert figure(first, name, under) == figure(second, name, under)
    assert first.card["detector"]["digest"] == second.card["detector"]["digest"]


def test_what_is_given_stays_as_it_was(network):
    network.train().requires_grad_()
    small(Mahalanobis, network)
    assert all(weights.requires_grad for weights in network.parameters())
    assert all(module.training for module in network.modules())


@pytest.mark.slow
def test_the_example_of_the_documents_runs(network, tmp_path, capsys, monkeypatch):
    code = block("python.md", "import benchmark").replace('preset="standard"', "preset='quick', options=SMALL")
    monkeypatch.chdir(tmp_path)
    classifier = Classifier((1, 8, 8), 10, widths=(4,), network=network)
    code = code.replace('load("runs/digits/classifier/seed_0/model.ckpt")', "given").replace("Digits()", "DATA")
    exec(code, {"given": classifier, "DATA": DATA, "SMALL": SMALL})  # noqa: S102
    assert "| worst_case_sr_at_5 | - |" in capsys.readouterr().out
    assert read_card("benchmarks/mahalanobis/card.json")["detector"]["name"] == "mahalanobis"


def test_a_card_comes_back_as_it_was_saved(report, tmp_path):
    path = report.save(tmp_path / "out")
    assert read_card(path) == json.loads(report.to_json()) == report.card
    files = {each.name for each in path.parent.iterdir()}
    assert {"card.json", "card.md", "transfer.json", "corruptions.md", "speed.csv", "white-box.png"} <= files
    assert report.table() in (path.parent / "card.md").read_text()


def test_a_card_states_the_threat_model(report):
    model = report.card["threat_model"]
    assert model["unaware"]["fgsm"] == repr(FGSM(epsilon=0.1))
    assert (model["aware"]["norm"], model["aware"]["epsilon"], model["aware"]["steps"]) == ("linf", 0.1, 4)
    assert {"hinged", "square"} <= model["aware"]["attacks"].keys()
    assert report.card["versions"]["torch"] == version("torch")


def without(card, *path):
    *outer, last = path
    for key in outer:
        card = card[key]
    del card[last]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: without(card, "data"), "card lacks the field 'data'"),
        (lambda card: without(card, "threat_model", "aware", "epsilon"), "aware lacks the field 'epsilon'"),
        (lambda card: without(card, "figures", 3, "low"), "card.figures[3] lacks the field 'low'"),
        (lambda card: card.update(rank=1), "card has an unknown field 'rank'"),
        (lambda card: card["data"].update(classes="10"), "card.data.classes must be of type integer, got '10'"),
        (lambda card: card["figures"][0].update(value=True), "must be of type number or null, got True"),
        (lambda card: card.update(card=2), "card.card must be 1, got 2"),
    ],
)
def test_what_is_no_card_is_refused(report, change, message):
    card = copy.deepcopy(report.card)
    change(card)
    with pytest.raises(ValueError, match=re.escape(message)):
        check_card(card)


def test_a_card_is_one_by_a_validator_of_json_schema(report):
    schema = json.loads((ROOT / "experiments/benchmark/card.schema.json").read_text())
    jsonschema.validate(json.loads(report.to_json()), schema)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "fast"}, "unknown preset 'fast'"),
        ({"options": {"white_box": {}}}, "options: unknown protocol 'white_box'. Did you mean 'white-box'?"),
        ({"options": {"speed": {"repeat": 3}}}, "options of speed: unknown option 'repeat'. Did you mean 'repeats'?"),
        ({"detector": 7}, "a detector must be a class path, a .ckpt, a torch.nn.Module or a function"),
        ({"classifier": 7}, "classifier must be a torch.nn.Module or the path of a checkpoint, got int"),
        ({"data": (DATA[0], DATA[1][:5])}, "data must be images (M, C, H, W) and labels (M,)"),
        ({"data": (DATA[0] * 2, DATA[1])}, "images must be uint8, or float in [0, 1]"),
        ({"data": (torch.rand(200, 3, 9, 9), torch.zeros(200))}, "does not take images (3, 9, 9)"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(network, changes, message):
    arguments = {"detector": nn.Flatten(), "classifier": network, "data": DATA} | changes
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        benchmark(**arguments)


def test_presets_name_options_that_exist():
    for options in PRESETS.values():
        assert all(of.keys() <= signature(PROTOCOLS[name]).parameters.keys() for name, of in options.items())
