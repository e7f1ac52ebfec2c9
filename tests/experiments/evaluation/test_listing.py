"""`evaluate.py list`: what it says of whole runs and of runs that lack something, and that it imports no torch."""

import json
import shutil

import pytest
import yaml

import evaluate
from experiments.evaluation.listing import lacks, run_files
from experiments.evaluation.protocols import PROTOCOLS
from experiments.training.layout import stage_folders
from experiments.training.settings import read_settings
from experiments.training.stages import plan
from tests.experiments.conftest import pipeline_file
from tests.test_start_up import imported


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run, without its sets and reports."""
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("report", "adversarial", "events*"))
    return tmp_path / "run"


@pytest.fixture
def listed(run, capsys):
    """Return a function that lists the run and returns its lines."""

    def lines(*options):
        assert evaluate.main(["list", str(run), *options]) == 0
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return lines


def test_a_whole_run_has_its_parts_and_all_but_the_repetitions_can_be_evaluated(listed):
    lines = listed()
    assert lines[1].startswith("data data.Digits(root=datasets, ")
    assert "train_limit=400, test_limit=40" in lines[1]
    assert "workers" not in lines[1]  # null
    assert lines[2:4] == ["attacks fgsm: attacks.FGSM(epsilon=0.1)", "none: attacks.FGSM(epsilon=0.0)"]
    assert "training-free max_softmax, mask_area, disagreement, second_classifier" in lines
    assert {"detectors/id/fgsm seed 0 trained", "saliency/mask trained", "classifier/second trained"} <= {*lines}
    first, second = lines.index("Cannot be evaluated:"), lines.index("Nothing was evaluated yet.")
    assert [line.split()[0] for line in lines[first + 1 : second - 1]] == ["pipelines"]
    assert "not trained" not in "".join(lines)


def test_missing_stages_are_told_with_what_needs_them_and_the_command_that_makes_them(run, listed):
    (run / "detectors/spd/fgsm/seed_0/model.ckpt").unlink()
    shutil.rmtree(run / "classifier/second")
    lines = listed()
    assert {"detectors/spd/fgsm seed 0 begun", "classifier/second missing"} <= {*lines}
    command = f"python train.py pipeline --config {run}/pipeline.yaml --run {run}"
    assert f"2 of 7 are not trained. Go on with `{command}`." in lines
    cannot = {line.split()[0]: line for line in lines[lines.index("Cannot be evaluated:") + 1 :] if line}
    assert cannot["transfer"] == "transfer lacks detectors/spd/fgsm/seed_0"
    assert {"shift", "strength", "museum"}.isdisjoint(cannot)


@pytest.mark.parametrize(
    ("stage", "names"),
    [
        ("classifier/seed_0", ["transfer", "strength", "shift", "threshold", "white-box", "similarity"]),
        ("saliency/mask", ["shift", "gallery", "corruptions", "speed"]),
        ("detectors/id/fgsm/seed_0", ["transfer", "threshold", "corruptions", "speed", "white-box", "benchmark"]),
    ],
)
def test_protocols_that_are_said_to_lack_a_stage_refuse_with_its_name(stage, names, run, capsys):
    (run / stage / "model.ckpt").unlink()
    files = run_files(run, run / "report")
    for name in names:
        assert lacks(files, PROTOCOLS[name].needs) == f"lacks {stage}"
        assert evaluate.main([name, "--run", str(run), "--device", "cpu"]) == 1
        assert f"{run} lacks {stage}: make it with" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["saliency/encoder", "saliency/selector", "classifier/second"])
def test_stages_that_no_protocol_needs_are_not_told_to_lack(stage, run):
    (run / stage / "model.ckpt").unlink()
    files = run_files(run, run / "report")
    assert [name for name in PROTOCOLS if lacks(files, PROTOCOLS[name].needs)] == ["pipelines"]


def test_without_an_attack_with_an_epsilon_there_is_no_threshold(run):
    settings = yaml.safe_load((run / "pipeline.yaml").read_text())
    settings["attacks"]["fgsm"] = {"class_path": "attacks.DeepFool"}
    (run / "pipeline.yaml").write_text(yaml.safe_dump(settings))
    what = lacks(run_files(run, run / "report"), PROTOCOLS["threshold"].needs)
    assert what == "no detector is trained on an attack with an epsilon"


def test_pipelines_need_a_run_with_a_number_and_its_transfer(run):
    other, needs = run.with_name("run_1"), PROTOCOLS["pipelines"].needs
    assert f"no {run}_1" in lacks(run_files(run, run / "report"), needs)
    shutil.copytree(run, other)
    assert lacks(run_files(run, run / "report"), needs) == f"evaluate.py transfer was not run on {run}, {other}"
    for folder in (run, other):
        (folder / "report").mkdir()
        (folder / "report/transfer.json").write_text("{}")
    assert not lacks(run_files(run, run / "report"), needs)


def test_reports_have_their_dates_and_options_and_damaged_ones_a_sentence(run, listed):
    folder = run.with_name("apart")
    folder.mkdir()
    report = dict.fromkeys(("title", "question", "finding"), "") | {"tables": [], "figures": [], "flags": []}
    meta = {"command": "python evaluate.py all", "options": {"images": 50, "norm": "l2", "steps": None}}
    (folder / "white-box-l2.json").write_text(json.dumps({"meta": meta, "rows": [], "report": report}))
    (folder / "transfer.json").write_text("{")
    told = {line.split()[0]: line for line in listed("--report", str(folder))[-2:]}
    assert told["white-box-l2"].endswith(" UTC images 50, norm l2")
    assert "transfer.json is damaged: delete it, and evaluate again" in told["transfer"]


@pytest.mark.parametrize("settings", ["[1]", "a: 1", "{", "{attacks: 3, seeds: [0], detectors: 1, saliency: 0}"])
def test_other_settings_are_refused_in_a_sentence(settings, tmp_path, capsys):
    (tmp_path / "pipeline.yaml").write_text(settings)
    assert evaluate.main(["list", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_of_runs_names_them(run, capsys):
    assert evaluate.main(["list", str(run.parent)]) == 1
    assert f"holds no pipeline.yaml: give one of {run}" in capsys.readouterr().err
    assert evaluate.main(["list", str(run / "nowhere")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_it_imports_no_torch_and_shows_control_characters_as_escapes(run):
    with (run / "pipeline.yaml").open("a") as file:
        file.write('training_free: {"\\e[31mred": {}}\n')
    code = f"import evaluate; assert evaluate.main(['list', {str(run)!r}]) == 0"
    assert imported(code) == set()


def test_the_stages_of_the_settings_are_those_of_the_plan(tmp_path):
    retrain = {"attack": {"class_path": "attacks.Alternating", "init_args": {"epsilon": 0.1}}, "detectors": ["spd"]}
    for changes in ({}, {"seeds": [0, 1], "retrain": retrain, "train_on": None}, {"saliency": None, "detectors": {}}):
        settings = read_settings(["--config", str(pipeline_file(tmp_path, tmp_path / "run", **changes))])
        assert stage_folders(yaml.safe_load(settings.resolved)) == [stage.name for stage in plan(settings)]
