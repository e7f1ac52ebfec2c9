"""What a page tells a reader to do is done in order, in a folder like a clone, with small settings."""

import importlib.util
import re
import shutil
import sys
from itertools import count
from pathlib import Path

import pytest
import torch
import yaml

import evaluate
import train
from experiments.training.settings import read_settings
from tests.documents.pages import PAGES, ROOT, blocks, short
from tests.documents.place import (
    RUN,
    copy_run,
    furnish,
    runs_of,
    small_code,
    small_evaluation,
    small_fit,
    small_pipeline,
    untrained_run,
)
from tests.experiments.benchmark.test_benchmark import SMALL

QUICK = ("scan", "export")
"""Commands of evaluate.py that take seconds."""

SCRIPTS = ("train.py", "evaluate.py")

WITH_CODE = [page for page in PAGES if any(block.language in ("python", "yaml") for block in blocks(page))]
WITH_COMMANDS = [page for page in PAGES if any(block.commands for block in blocks(page))]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder like a clone, which the test is in; modules imported from it are forgotten afterwards."""
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run_python(text: str, module: str | None, names: dict[str, object]) -> None:
    """Run a block of Python; of a module that needs packages which are not installed, only compile it."""
    needed = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    code = compile(text, module or "page", "exec")
    if module is None:
        exec(code, names)  # noqa: S102 - the pages' own code
    elif all(importlib.util.find_spec(name) for name in needed):
        Path(module).write_text(text)
        exec(code, made := {"__name__": module.removesuffix(".py")})  # noqa: S102
        for name in re.findall(r"^def (\w+)\(\)", text, re.MULTILINE):
            logits = made[name]().eval()(torch.rand(2, 3, 64, 64))
            assert getattr(logits, "logits", logits).ndim == 2


def read_yaml(text: str, module: str | None, folder: Path) -> None:
    """Check a block of YAML: options of a command if it is a file of its own, else sections of a pipeline file."""
    if module is not None:
        return  # a command of the page takes it, or its first line names the command
    over = folder / "over.yaml"
    over.write_text(text)
    small = small_pipeline(ROOT / "configs/digits.yaml", folder / "small")
    sections = set(yaml.safe_load(text))
    assert sections <= set(vars(read_settings(["--config", str(small), "--config", str(over)]))) | {
        "classifier", "detectors", "data", "attacks", "training_free",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", WITH_CODE, ids=short)
def test_the_code_of_a_page_runs(page, clone):
    untrained_run(clone / RUN)
    names: dict[str, object] = {"SMALL": SMALL}
    for block in blocks(page):
        if block.language == "python":
            run_python(small_code(block.text), block.module, names)
        elif block.language == "yaml":
            read_yaml(block.text, block.module, clone)
        for words in block.commands:
            if words[1:2] == ["evaluate.py"] and words[2] in QUICK:
                for run in runs_of(words) - {RUN}:
                    untrained_run(clone / run)
                if all(Path(word).exists() for word in words if word.endswith(".ckpt")):  # else a fit before makes it
                    assert evaluate.main(words[2:]) == 0, words


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run with everything that the demo has."""
    folder = tmp_path_factory.mktemp("trained")
    config = small_pipeline(ROOT / "configs/digits.yaml", folder / "config")
    assert train.main(["pipeline", "--config", str(config), "--run", str(folder / "run")]) == 0
    return folder / "run"


def run_training(words: list[str], number: int, folder: Path) -> int:
    if words[0] == "pipeline":
        first = words.index("--config") + 1
        config = small_pipeline(Path(words[first]), folder / f"config_{number}")
        size = ["--classifier.model.init_args.network.init_args.size", "32", "--seeds", "[0]"]
        weights = ["--classifier.model.init_args.network.init_args.weights", "null"]
        return train.main(
            [*words[:first], str(config), *words[first + 1 :], *(size + weights if "networks" in str(words) else [])]
        )
    if words[0] == "store" and "--prune" in words:
        store = folder / words[1]
        words = ["store", words[1], "--prune", *sorted(each.name for each in store.iterdir() if each.is_dir())[:2]]
    return train.main(small_fit(words, number) if words[0] != "store" else words)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=short)
def test_the_commands_of_a_page_run(page, clone, trained):
    names: dict[str, object] = {"SMALL": SMALL}
    copy_run(trained, clone / RUN)
    numbers = count()
    for block in blocks(page):
        if block.language == "python":
            run_python(small_code(block.text), block.module, names)
        for words in block.commands:
            after = words[next((at for at, word in enumerate(words) if word in SCRIPTS), len(words)) :]
            if not after or "Logger" in words[-1]:
                continue  # test_commands.py checks it; other loggers need packages of their own
            named = runs_of(words) | ({"runs/mnist"} if after[1] == "fit" else set())  # the configs of models name it
            for run in named:
                if not (clone / run).exists() and after[1] != "pipeline":
                    copy_run(trained, clone / run)
            small = small_evaluation(after[1:])
            done = evaluate.main(small) if after[0] == "evaluate.py" else run_training(after[1:], next(numbers), clone)
            assert done == 0, words
    shutil.rmtree(clone / "runs", ignore_errors=True)


def test_every_message_of_the_page_of_troubles_is_one_of_the_project():
    text = "".join(
        path.read_text() for path in [ROOT / "Makefile", *ROOT.glob("*/**/*.py")] if ".venv" not in path.parts
    )
    source = re.sub(r'"\s*\n\s*f?"', "", text)
    messages = re.findall(r"^`(.*)`$", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    assert len(messages) > 20
    for message in messages:
        assert message in source, message
