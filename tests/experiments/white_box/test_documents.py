"""The code of the documents runs as it is written there."""

import json
import re
from pathlib import Path

import pytest

import evaluate
from tests.experiments.studies import copy_of

DOCS = Path(evaluate.__file__).parent / "docs"


def block(page, mark):
    """The block of code of a page that holds a mark."""
    text = (DOCS / page).read_text()
    (found,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if mark in code]
    return found


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_detectors.py").write_text(block("tutorials/detector.md", "# my_detectors.py"))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("own_module")
def test_the_detector_of_ones_own(finished, tmp_path):
    page = (DOCS / "tutorials/detector.md").read_text()
    (command,) = re.findall(r"evaluate\.py (white-box --run \S+ --detector .*)", page)
    words = command.replace("50", "4").replace("20", "2").replace("runs/digits", str(copy_of(finished, tmp_path)))
    assert evaluate.main([*words.split(), "--curve_images", "0", "--resamples", "10"]) == 0
    contents = json.loads((tmp_path / "copy/report/white-box-smoothness.json").read_text())
    assert {row["detector"] for row in contents["rows"]} == {"smoothness"}
