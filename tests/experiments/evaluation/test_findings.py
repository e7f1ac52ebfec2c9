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


RATE = re.compile(
    r"\brates?\b|SR@|^Success|attacker's success|accuracy|TPR|FPR|\bshare(?! of pixels)|[Ff]alse positives"
)
COUNT = re.compile(r"^n\b|\bpairs\b|\bimages\b")


def is_bare(value):
    """Whether a cell is a number between 0 and 1, or several seeds' mean, without an interval."""
    return isinstance(value, float) or (isinstance(value, str) and re.fullmatch(r"\d?\.\d+( ± .*)?", value) is not None)


def bare_rates(table):
    """The rates of a table without an interval, by the words over their column, before their row, or over the table."""
    of_rates = RATE.search(table["title"].split(":")[0])
    for row in table["rows"]:
        labels = " ".join(cell for cell in row[:2] if isinstance(cell, str))
        for column, value in zip(table["header"], row, strict=True):
            if is_bare(value) and (of_rates or RATE.search(column) or RATE.search(labels)):
                yield column, labels, value


def says_how_sure(table):
    """Whether a table says how many images its rates are of, and how far they may be off."""
    labels = [*table["header"], *(str(cell) for row in table["rows"] for cell in row[:2])]
    counted = re.search(r"\d+ (\w+ )*(images|pairs)|n = \d", f"{table['title']} {table['note']}")
    return "95 %" in table["note"] and (counted is not None or any(map(COUNT.search, labels)))


def test_rates_without_n_and_interval_are_found():
    table = {"title": "Attacks", "header": ["attack", "success rate"], "rows": [["fgsm", 0.9]], "note": ""}
    assert list(bare_rates(table)) == [("success rate", "fgsm", 0.9)]
    assert not says_how_sure(table)
    assert not says_how_sure(table | {"note": "Of 40 images."})
    assert says_how_sure(table | {"note": "Of 40 images; the 95 % interval reaches 1 / sqrt(n)."})
    assert not list(bare_rates(table | {"rows": [["fgsm", "0.900 [0.800, 0.950]"]]}))


@pytest.fixture(scope="module")
def reports(finished, tmp_path_factory):
    """The report of every protocol on a tiny run, by its name."""
    tmp_path = tmp_path_factory.mktemp("findings")
    run = copy_of(finished, tmp_path)
    assert evaluate.main(["all", "--run", str(run), "--device", "cpu"]) == 0
    for name, options in STUDIES.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(options))
        assert evaluate.main([name, "--run", str(run), "--device", "cpu", "--config", str(path)]) == 0, name
    return {path.stem: json.loads(path.read_text())["report"] for path in (run / "report").glob("*.json")}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_no_finding_of_any_protocol_lists_numbers(reports):
    assert len(reports) == 11
    assert {name: full for name, each in reports.items() if (full := too_full(each["finding"]))} == {}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_rate_has_its_n_and_its_interval(reports):
    wanting = [
        (name, table["title"], bare[0])
        for name, report in reports.items()
        for table in report["tables"]
        if (bare := list(bare_rates(table))) and not says_how_sure(table)
    ]
    assert wanting == []
