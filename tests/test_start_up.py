"""What light commands import, how they end, and what packages offer that import it on first use."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import train
from experiments.evaluation.protocols import COMMANDS
from experiments.guard.commands import COMMANDS as OF_A_DETECTOR
from experiments.process import chosen

ROOT = Path(train.__file__).parent

COUNTED = (
    "torch", "numpy", "lightning", "torchvision", "torchmetrics", "jsonargparse", "captum", "skimage", "sklearn",
    "advertorch", "tensorboard",
)  # fmt: skip


def imported(code: str) -> set[str]:
    """Return which of the modules counted a process of its own has imported at its end."""
    counting = f"import atexit, sys; atexit.register(lambda: print(chr(10), *(set({COUNTED}) & sys.modules.keys())))"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", f"{counting}\n{code}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("script", ["train", "evaluate"])
@pytest.mark.parametrize(("word", "status"), [("--help", 0), ("piepline", 2)])
def test_help_and_a_typo_import_no_module_that_takes_seconds(script, word, status):
    assert imported(f"import {script}; assert {script}.main([{word!r}]) == {status}") == set()


@pytest.mark.parametrize("package", ["attacks", "saliency", "detectors", "data"])
def test_a_package_imports_nothing_before_it_is_used(package):
    assert imported(f"import {package}; assert len({package}.__all__) > 5") == set()


@pytest.mark.slow
def test_the_loader_of_checkpoints_imports_no_lightning_before_it_loads_and_knows_classes_that_were_not_imported():
    first = (
        f"from detectors import load; import sys; assert set({COUNTED}) & sys.modules.keys() == {{'torch', 'numpy'}}"
    )
    named = "assert all(name in Portable._known for name in ('Selector', 'WrappedNetwork', 'Mahalanobis'))"
    assert "lightning" in imported(f"{first}; from saliency.known_classes import Portable; {named}")


@pytest.mark.parametrize("package", ["attacks", "saliency", "detectors", "data"])
def test_all_that_a_package_lists_is_there(package):
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    assert all(getattr(module, name).__name__.endswith(name) for name in module.__all__)


def test_a_function_named_as_its_module_stays_a_function():
    assert imported("import saliency.jacobian; from saliency import jacobian; assert jacobian.__name__ == 'jacobian'")


@pytest.mark.parametrize(
    ("script", "commands"), [("train.py", train.COMMANDS), ("evaluate.py", {**COMMANDS, **OF_A_DETECTOR})]
)
def test_help_has_a_line_on_each_command(script, commands, capsys):
    with pytest.raises(SystemExit) as ended:
        chosen(script, "about", commands, ["-h"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out.splitlines()
    assert all(sum(line.split() == [name, *text.split()] for line in shown) == 1 for name, text in commands.items())
    assert max(map(len, shown)) <= 80
