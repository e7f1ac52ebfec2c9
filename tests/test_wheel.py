"""A wheel, as a user who has no clone installs it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import adversarial_saliency
import evaluate
import train

ROOT = Path(__file__).parents[1]
OURS = "adversarial_saliency"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of a wheel that was built from the clone and unpacked, as pip does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)  # noqa: S603
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def _run(installed, tmp_path, code):
    """What Python prints, in an empty folder, where only the wheel's folder comes before the other packages."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_one_folder_is_installed_so_that_no_name_collides(installed):
    folders = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert folders == {OURS}


def test_every_file_of_the_packages_and_every_config_is_in_it(installed):
    folders = [ROOT / name for name in ("attacks", "configs", "data", "detectors", "experiments", "saliency")]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    files = [path.relative_to(ROOT) for path in [*paths, ROOT / "train.py", ROOT / "evaluate.py"]]
    assert len(files) > 300
    assert [file for file in files if not (installed / OURS / file).is_file()] == []


@pytest.mark.slow
def test_packages_are_imported_by_their_names_and_from_the_wheel(installed, tmp_path):
    code = f"import {OURS}; from attacks import FGSM; import data; print(data.__file__, FGSM(epsilon=0.1).epsilon)"
    status, out, error = _run(installed, tmp_path, code)
    assert (status, out) == (0, f"{installed / OURS / 'data' / '__init__.py'} 0.1\n"), error


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_both_commands_show_their_help(installed, tmp_path, command):
    code = f"import sys, {OURS}; sys.exit({OURS}.main([{command!r}, '--help']))"
    status, out, error = _run(installed, tmp_path, code)
    assert status == 0, error
    assert "usage" in out


def test_configs_of_the_wheel_are_read_where_the_folder_has_none(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(train, "main", lambda words: given.append(words) or 0)
    monkeypatch.chdir(tmp_path)
    words = ["train", "pipeline", "--config", "configs/digits.yaml", "--run", "configs/nothing"]
    assert adversarial_saliency.main(words) == 0
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "digits.yaml").write_text("run: runs/mine")
    assert adversarial_saliency.main(words) == 0
    bundled = str(ROOT / "configs" / "digits.yaml")
    assert given == [[*words[1:3], bundled, *words[4:]], words[1:]]


def test_the_exit_status_is_that_of_the_command(monkeypatch):
    monkeypatch.setattr(evaluate, "main", lambda _: 1)
    assert adversarial_saliency.main(["evaluate", "list", "runs/none"]) == 1


@pytest.mark.parametrize("words", [[], ["tain"]])
def test_another_word_is_refused_with_the_usage(capsys, words):
    assert adversarial_saliency.main(words) == 2
    assert capsys.readouterr().err.startswith("usage: adversarial-saliency {train,evaluate}")


def test_help_is_no_error(capsys):
    assert adversarial_saliency.main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: adversarial-saliency")
