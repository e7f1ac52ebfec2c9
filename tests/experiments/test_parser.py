"""Names of folders as users give them: `~`, names that YAML, rich or a shell take for something else."""

import contextlib
import io
from pathlib import Path

import pytest
import yaml

import evaluate
import train
from experiments.parser import Parser, folder_of, with_home
from experiments.training.run_folder import Run
from experiments.training.settings import read_settings
from experiments.training.stages import plan
from saliency.files import write_text
from tests.experiments.conftest import pipeline_file

FGSM = {"fgsm": {"class_path": "attacks.FGSM"}}


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_home_stands_for_a_tilde_at_the_beginning_of_a_text_at_any_depth(home):
    given = {"a": ["~/x", "a~b", 3], "b": {"c": "~", "d": "~nobody_of_that_name/x"}}
    expected = {"a": [f"{home}/x", "a~b", 3], "b": {"c": str(home), "d": "~nobody_of_that_name/x"}}
    assert with_home(given) == expected


def test_a_pipeline_file_and_its_options_may_name_the_home_folder(home, tmp_path):
    network = {"class_path": "detectors.WrappedNetwork", "init_args": {"network": "torch.nn.Flatten"}}
    network["init_args"]["weights"] = "~/in_the_file.pt"
    entry = {"model": {"class_path": "detectors.Classifier", "init_args": {"network": network}}}
    path = pipeline_file(tmp_path, Path("~/run"), classifier=entry, store="~/store")
    path.rename(home / "small.yaml")
    option = "--saliency.encoder.model.init_args.x=~/on_the_command_line"
    settings = read_settings(["--config=~/small.yaml", option])
    assert settings.run == f"{home}/run"
    assert settings.store == f"{home}/store"
    first, second = plan(settings)[:2]
    assert first.folder == home / "run/classifier/seed_0"
    assert first.config["model"]["init_args"]["network"]["init_args"]["weights"] == f"{home}/in_the_file.pt"
    assert second.config["model"]["init_args"]["x"] == f"{home}/on_the_command_line"


@pytest.mark.slow
def test_a_fit_may_name_the_home_folder(home, capsys):
    model = ["--model", "detectors.ID", "--model.classifier=~/a.ckpt", "--data", "data.Digits"]
    assert train.main(["fit", *model, "--trainer.default_root_dir=~/fit"]) == 1
    assert f"there is no checkpoint {home}/a.ckpt" in capsys.readouterr().err
    model = ["--model=detectors.Classifier", "--model.shape=[1,28,28]", "--model.classes=10", "--data=data.Digits"]
    for option in ("--start_from=~/b.ckpt", "--ckpt_path=~/b.ckpt"):
        assert train.main(["fit", *model, option, "--trainer.default_root_dir=~/fit"]) == 1
        assert f"there is no checkpoint {home}/b.ckpt" in capsys.readouterr().err
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("option", ["run", "photographs", "classifier", "report"])
def test_an_evaluation_may_name_the_home_folder(home, option):
    from experiments.evaluation.command import _parser  # noqa: PLC0415

    run = [] if option == "run" else ["--run", "x"]
    assert _parser("recover").parse_args(["recover", *run, f"--{option}=~/x"]).recover[option] == f"{home}/x"


def test_a_list_of_runs_may_name_the_home_folder(home):
    from experiments.evaluation.command import _parser  # noqa: PLC0415

    options = _parser("pipelines").parse_args(["pipelines", "--run", "x", "--others", "[~/a, b]"]).pipelines
    assert options.others == [f"{home}/a", "b"]


@pytest.mark.parametrize("name", ["1e3", "1.5e3", "null", "true", "12", "0x10", "2020-01-01", "a b", "100%", "[bold]"])
def test_a_name_that_reads_as_something_else_stays_text(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = pipeline_file(tmp_path, tmp_path / "run", attacks=FGSM, train_on=None, saliency={}, detectors={})
    settings = read_settings(["--config", str(path), f"--run={name}"])
    assert settings.run == name
    write_text(Path(name) / "pipeline.yaml", settings.resolved)
    run = Run(name)
    assert run.settings.run == name
    assert plan(run.settings)[0].config["trainer"]["default_root_dir"] == f"{name}/classifier/seed_0"
    assert yaml.safe_load(settings.resolved)["run"] == name


@pytest.mark.parametrize("name", ["", "-x", "#x", "a\nb", "a\x1b[2Jb", "\udcff", "a::b", "file:x", "s3://bucket/x"])
def test_a_name_that_the_files_of_a_run_cannot_hold_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    path = pipeline_file(tmp_path, tmp_path / "run")
    commands = [
        lambda: train.main(["pipeline", "--config", str(path), f"--run={name}"]),
        lambda: evaluate.main(["strength", f"--run={name}"]),
        lambda: evaluate.main(["strength", "--run=x", f"--report={name}"]),
    ]
    for command in commands if name else commands[:2]:
        assert command() == 1
        told = capsys.readouterr().err
        assert f" cannot be {name!r}: name a folder that " in told
        assert told.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.yaml"]


def test_a_fit_refuses_such_a_name_as_well(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = ["--model=detectors.Classifier", "--model.shape=[1,28,28]", "--model.classes=10", "--data=data.Digits"]
    assert train.main(["fit", *model, "--trainer.default_root_dir=a::b"]) == 1
    assert "trainer.default_root_dir cannot be 'a::b'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["runs/x", "/a/b c", "1:30", "a:b", "a%20b", "日本", "x.ckpt", ".", "runs/", "[a]"])
def test_other_names_are_taken(name):
    assert folder_of("run", name) == Path(name)


@pytest.mark.slow
def test_names_that_rich_or_a_shell_would_change_are_printed_as_they_are(finished, tmp_path, capsys):
    folder = tmp_path / "[bold]a  b"
    folder.symlink_to(finished)
    assert train.main(["pipeline", "--config", f"{finished}/pipeline.yaml", "--run", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert f"run folder: {folder}\nTensorBoard: tensorboard --logdir '{folder}'\n" in shown
    assert evaluate.main(["transfer", "--run", str(folder / "x[/y]")]) == 1
    assert f"the run folder {folder}/x[/y] does not exist" in capsys.readouterr().err


def test_a_name_that_standard_output_cannot_hold_is_printed_with_escapes(tmp_path):
    (tmp_path / "\udcff").mkdir()
    output = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(output):
        assert train.main(["store", str(tmp_path / "\udcff")]) == 0
    assert output.buffer.getvalue().decode() == f"{tmp_path}/\\udcff: 0 sets, 0 B\n"


def test_a_name_in_a_pipeline_file_that_is_no_text_is_told(tmp_path, capsys):
    detectors = {12: {"model": {"class_path": "detectors.ID"}}}
    path = pipeline_file(tmp_path, tmp_path / "run", detectors=detectors)
    assert train.main(["pipeline", "--config", str(path)]) == 1
    assert capsys.readouterr().err.startswith("error: 12 cannot name a folder and a row: use lower-case letters")


def test_text_that_looks_like_a_number_is_written_in_quotes():
    parser = Parser()
    parser.add_argument("--name", type=str)
    for text in ("1e3", "-1E+5", "1_0e2", "1.e3"):
        dumped = parser.dump(parser.parse_args([f"--name={text}"]))
        assert dumped == f"name: '{text}'\n"
        assert parser.parse_string(dumped).name == text


def test_help_shows_the_command_as_it_is_typed_types_by_name_and_no_empty_default():
    inner = Parser()
    inner.add_argument("--section", type=dict, required=True, help="A section.")
    inner.add_argument("--report", type=str, default="", help="Folder.")
    inner.add_argument("--steps", type=int, default=3, help="Steps of ``fit``, a :class:`~a.b.Fit`.")
    Parser(prog="evaluate.py").add_subcommands(dest="command").add_subcommand("transfer", inner)
    text = " ".join(inner.format_help().split())
    assert text.startswith("usage: evaluate.py transfer ")
    assert "A section. (required, type: dict)" in text
    assert "Folder. (type: str)" in text
    assert "Steps of fit, a Fit. (type: int, default: 3)" in text
