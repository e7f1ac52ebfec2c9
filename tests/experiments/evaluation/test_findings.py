"""Findings are sentences of at most two numbers each, in every protocol; an interval belongs to its number."""

import json
import re

import pytest
import yaml

import evaluate
from tests.experiments.studies import copy_of

METHODS = {"grad_cam": {"class_path": "saliency.GradCAM"}, "gradient": {"class_path": "saliency.Gradient"}}
LIME = {"lime": {"class_path": "saliency.LIME", "init_args": {"samples": 10}}}
QUICK = {"steps": 40, "step_size": 0.05, "probability": 0.15}
STUDIES = {
    "white-box": {"images": 12, "steps": 5, "epsilon": 0.1, "curve_images": 0, "resamples": 20, "detectors": ["id"]},
    "similarity": {"images": 6, "epsilons": [0.1, 0.2], "targets": [1], "methods": METHODS, "resamples": 20},
    "enhance": {"images": 30, "shares": [0.1, 0.5], "methods": METHODS, "resamples": 20},
    "recover": {"images": 14, "regions": 4, "target": None, **QUICK, "methods": METHODS | LIME, "resamples": 20},
}
NAMES = r"SR@\d+|\d+ %|L-?\d|L-inf|\d+ bits|R\d, |s > 0|Figures? [\d and]+|On .* thread\(s\)"
"""What holds a digit and is a name: a rate or threshold of the protocol, a norm, a claim or figure of a paper, a
processor."""


def numbers_of(sentence):
    bare = re.sub(r"\[[^]]*\]|± [\d.]+", "", re.sub(NAMES, "", sentence))
    return re.findall(r"(?<![\w.])[-+]?\d*\.?\d+(?!\w)", bare)


def too_full(finding):
    return [each for each in re.split(r"(?<=[.!?]) +", finding) if len(numbers_of(each)) > 2]


def test_numbers_are_counted_without_names_and_intervals():
    assert numbers_of("SR@5 is 0.9 [0.8, 1.0] of 50 images at 5 % FPR in L2") == ["0.9", "50"]
    assert numbers_of("highest for cw_2, 0.912 ± 0.010.") == ["0.912"]
    assert too_full("One of 3. cw wins 4 images, 2 and 1.") == ["cw wins 4 images, 2 and 1."]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_finding_of_any_protocol_lists_numbers(finished, tmp_path):
    run = copy_of(finished, tmp_path)
    assert evaluate.main(["all", "--run", str(run), "--device", "cpu"]) == 0
    for name, options in STUDIES.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(options))
        assert evaluate.main([name, "--run", str(run), "--device", "cpu", "--config", str(path)]) == 0, name
    findings = {
        path.stem: json.loads(path.read_text())["report"]["finding"] for path in (run / "report").glob("*.json")
    }
    assert len(findings) == 10
    assert {name: full for name, finding in findings.items() if (full := too_full(finding))} == {}
