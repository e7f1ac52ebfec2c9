"""Every command of every page is accepted: options, values, files and class paths are those of the programs."""

import contextlib
import importlib
import io
import re
import runpy
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import evaluate
import train
from docs import hooks
from experiments.evaluation import command as evaluation
from experiments.evaluation.protocols import PROTOCOLS
from experiments.training.fitting import ConfigCheck
from experiments.training.settings import read_settings
from tests.documents.pages import COMMANDS, PAGES, ROOT
from tests.documents.place import furnish, untrained_run

OTHERS = ("--help", "--node_rank")
FITS = ("fit", "validate", "test", "predict")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone")
    furnish(folder)
    untrained_run(folder / "runs/digits")
    return folder


@pytest.fixture(autouse=True)
def _in_the_clone(clone, monkeypatch):
    monkeypatch.chdir(clone)
    monkeypatch.syspath_prepend(clone)


def help_of(main, name, capsys) -> str:
    assert main([name, "--help"]) == 0
    return capsys.readouterr().out


def trains(words, capsys):
    if words[0] == "pipeline":
        read_settings(words[1:])
    elif words[0] in FITS and "--model.help" not in words and all(Path(word).exists() for word in configs(words)):
        ConfigCheck(words)
    else:
        told = help_of(train.main, words[0], capsys)
        assert all(option in told for option in options(words)), told


def evaluates(words, capsys):
    if words[0] in PROTOCOLS:
        evaluation._parser(words[0]).parse_args(words)
    else:
        told = help_of(evaluate.main, words[0], capsys)
        assert all(option in told for option in options(words)), told


def options(words) -> list[str]:
    return [word for word in words if word.startswith("--")]


def configs(words) -> list[str]:
    return [after for word, after in pairwise(words) if word == "--config"]


def check(words, capsys):
    """Fail unless a command is accepted; a kind of command that is not known here needs a line here."""
    for script, accept in {"train.py": trains, "evaluate.py": evaluates}.items():
        if script in words:  # also after torchrun or srun
            accept(words[words.index(script) + 1 :], capsys)
            return
    tool, *rest = [Path(word).name if word.startswith(".venv") else word for word in words if "DETECTOR=" not in word]
    assert tool in TOOLS, f"nothing checks {shlex.join(words)!r}: add a rule to TOOLS"
    TOOLS[tool](*rest)


def makes(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def installs(*words):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert all(extra in extras for word in words for extra in re.findall(r"\.\[(\w+)\]", word))


def serves(address):
    module, _, name = address.partition(":")
    assert hasattr(importlib.import_module(module), "served")
    assert name == "app"


def asks(*words):
    assert f'"/{words[-1].rpartition("/")[2]}"' in (ROOT / "examples/server.py").read_text()


def shows(option, folder):
    assert option == "--logdir"
    assert folder.startswith("runs/")


def module_takes(_, module, *words):
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as shown:
        patch.chdir(ROOT)
        patch.setattr("sys.argv", [module, "--help"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__")
    assert ended.value.code in {None, 0}
    assert all(option in shown.getvalue() for option in options(words)), shown.getvalue()


TOOLS = {
    "make": makes, "pip": installs, "uvicorn": serves, "curl": asks, "tensorboard": shows, "python": module_takes,
}  # fmt: skip


def test_pages_have_commands():
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_is_accepted(text, capsys):
    check(COMMANDS[text], capsys)


def test_options_named_in_sentences_exist():
    """Between backticks, on pages that are not about benchmarks; those of a model or trainer are LightningCLI's."""
    known = hooks._commands("train.py") + hooks._commands("evaluate.py")
    for page in set(PAGES) - {ROOT / "CONTRIBUTING.md", ROOT / "docs/benchmarks.md", ROOT / "CHANGELOG.md"}:
        for code in re.findall(r"`([^`\n]+)`", page.read_text()):
            for option in re.findall(r"(?<![\w-])--[a-z]\w+(?![\w.-])", code):
                assert re.search(rf"{option}\b", known) or option in OTHERS, f"{page}: {option}"


def test_a_wrong_command_is_noticed(capsys):
    for wrong in (
        "make nothing",
        "python -m benchmarks.loading --never",
        "ls runs",
        "python evaluate.py scan --never x",
    ):
        with pytest.raises(AssertionError):
            check(wrong.split(), capsys)
