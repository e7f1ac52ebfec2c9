"""What a run that somebody else made may do when it is evaluated: run none of their code, leave its folder alone."""

from pathlib import Path

import pytest

import evaluate
from experiments.training import untrusted_runs
from experiments.training.run_folder import Run
from experiments.training.settings import read_settings
from tests.experiments.conftest import pipeline_file
from tests.experiments.training.test_pipeline import OWN_DETECTOR

CODE = """
from pathlib import Path
Path({marker!r}).touch()

from attacks import FGSM as Attack
from data import Digits as Images
from lightning.pytorch import Callback
from torch.nn import Flatten as Net
"""
OWN = "strangers_module"


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that appears when the stranger's module is imported, which lies where Python finds it."""
    path = tmp_path / "imported"
    (tmp_path / f"{OWN}.py").write_text(CODE.format(marker=str(path)) + OWN_DETECTOR)
    monkeypatch.syspath_prepend(tmp_path)
    return path


@pytest.mark.parametrize("package", untrusted_runs.OWN)
def test_the_code_of_this_project_may_be_run(package):
    folder = Path(evaluate.__file__).parent / package
    assert all(untrusted_runs._is_installed(str(path)) for path in folder.rglob("*.py"))
    assert not untrusted_runs._is_installed(str(folder.with_name("my_module.py")))


def made(folder: Path, **changes) -> Path:
    """Return a run folder that holds nothing but its settings."""
    run = folder / "run"
    run.mkdir()
    pipeline_file(folder, run, **changes).rename(run / "pipeline.yaml")
    return run


def classifier(**network):
    """Return the entry of a classifier around a network."""
    arguments = {"network": {"class_path": "detectors.WrappedNetwork", "init_args": network}}
    return {"model": {"class_path": "detectors.Classifier", "init_args": arguments}}


FGSM = {"class_path": "attacks.FGSM"}
NAMING = {
    "data": {"data": {"class_path": f"{OWN}.Images"}},
    "data as text": {"data": f"{OWN}.Images"},
    "attack": {"attacks": {"fgsm": {"class_path": f"{OWN}.Attack"}}},
    "attack as text": {"attacks": {"fgsm": f"{OWN}.Attack"}},
    "nested attack": {
        "attacks": {"fgsm": {"class_path": "attacks.OneOf", "init_args": {"attacks": [f"{OWN}.Attack"]}}}
    },
    "attack that retrains": {"retrain": {"attack": f"{OWN}.Attack"}},
    "parameter of any type": {
        "attacks": {
            "fgsm": {
                "class_path": "attacks.Advertorch",
                "init_args": {"attack": "LinfPGDAttack", "parameters": {"eps": {"class_path": f"{OWN}.Net"}}},
            }
        }
    },
    "detector": {"detectors": {"own": {"model": {"class_path": f"{OWN}.Differences"}}}},
    "network": {"classifier": classifier(network=f"{OWN}.Net")},
    "callback": {"trainer": {"callbacks": [{"class_path": f"{OWN}.Callback"}]}},
}


@pytest.mark.parametrize("changes", NAMING.values(), ids=NAMING)
def test_no_string_of_a_run_leads_to_an_import_of_a_strangers_module(tmp_path, marker, capsys, changes):
    run = made(tmp_path, **({"train_on": None, "saliency": {}} | changes))
    assert evaluate.main(["strength", "--run", str(run)]) == 1
    told = capsys.readouterr().err
    assert not marker.exists()
    assert told.count("\n") == 1
    assert f"{run} names the module {OWN}, which is neither" in told
    assert f"--imports '[{OWN}]'" in told
    evaluate.main(["strength", "--run", str(run), "--trust"])
    assert marker.exists()


def test_a_folder_of_a_run_below_the_scripts_is_no_package(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)  # as the folder of the scripts is, where runs/ lies
    run = made(tmp_path, attacks={"fgsm": {"class_path": "run.evil.Attack"}}, train_on=None)
    (run / "evil.py").write_text(CODE.format(marker=str(tmp_path / "imported")))
    assert evaluate.main(["strength", "--run", str(run)]) == 1
    assert "names the module run, which is neither" in capsys.readouterr().err
    assert not (tmp_path / "imported").exists()


def test_a_config_cannot_call_a_function_where_any_value_is_accepted(tmp_path):
    touched = tmp_path / "touched"
    call = {"class_path": "os.system", "init_args": {"command": f"touch {touched}"}}
    parameters = {"attack": "LinfPGDAttack", "parameters": {"eps": call}}
    path = pipeline_file(
        tmp_path, tmp_path, attacks={"fgsm": {"class_path": "attacks.Advertorch", "init_args": parameters}}
    )
    read_settings(["--config", str(path)])
    assert not touched.exists()


@pytest.mark.parametrize(("key", "told"), [("data", "data: expected the class_path"), ("config", "names another file")])
def test_no_other_file_of_settings_is_read(tmp_path, capsys, key, told):
    (tmp_path / "other.yaml").write_text("class_path: data.Digits\nsecret: 1\n")
    run = made(tmp_path, **{key: str(tmp_path / "other.yaml")})
    assert evaluate.main(["strength", "--run", str(run)]) != 0
    error = capsys.readouterr().err
    assert told in error
    assert str(tmp_path / "other.yaml")[:60] in error  # long values are cut
    assert "secret" not in error


def test_a_users_own_modules_are_named_by_imports(tmp_path, marker, capsys):
    run = made(tmp_path, detectors={"own": {"model": {"class_path": f"{OWN}.Differences"}}}, saliency={})
    evaluate.main(["strength", "--run", str(run), "--imports", f"[{OWN}]"])
    assert marker.exists()
    assert f"{run} lacks classifier/seed_0" in capsys.readouterr().err  # it went on


def test_a_run_that_is_read_in_python_is_no_more_trusted(tmp_path, marker):
    run = made(tmp_path, attacks={"fgsm": {"class_path": f"{OWN}.Attack"}}, train_on=None)
    with pytest.raises(ValueError, match="names the module"):
        Run(run)
    assert not marker.exists()


@pytest.mark.parametrize("store", ["../elsewhere", "{outside}"])
def test_a_store_outside_of_the_run_needs_trust_or_another_folder(tmp_path, store):
    outside = tmp_path / "elsewhere"
    run = made(tmp_path, store=store.format(outside=outside))
    with pytest.raises(ValueError, match=r"keeps its adversarial sets outside of it, in .*elsewhere: add --trust"):
        Run(run)
    assert Run(run, trusted=True).store().folder.resolve() == outside
    assert Run(run, tmp_path / "apart").store().folder == tmp_path / "apart/adversarial"


@pytest.mark.parametrize("link", ["report", "adversarial", "report/tensorboard", "classifier/seed_0/model.ckpt"])
def test_a_link_out_of_the_run_needs_trust(tmp_path, link, capsys):
    run, outside = made(tmp_path), tmp_path / "outside"
    (outside / "scores").mkdir(parents=True)
    (run / link).parent.mkdir(parents=True, exist_ok=True)
    (run / link).symlink_to(outside)
    assert evaluate.main(["strength", "--run", str(run)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {run / link} is a link that leads out of the run folder: add ")
    assert [path.name for path in outside.iterdir()] == ["scores"]
    assert Run(run, trusted=True).folder == run


def test_a_link_within_a_run_and_a_run_that_is_a_link_are_fine(tmp_path):
    run = made(tmp_path)
    (run / "other.yaml").symlink_to("pipeline.yaml")
    (tmp_path / "linked").symlink_to(run)
    assert Run(tmp_path / "linked").settings.seeds == [0]
