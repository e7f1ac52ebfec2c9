"""Errors become one sentence; those of a bug keep their traceback."""

import copy
import sys

import lightning
import pytest
import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException

import evaluate
import train
from attacks.checks import at_least
from attacks.errors import OutputError, unknown
from data.decoding.files import Files
from detectors import Classifier
from experiments.errors import UsageError, explained
from experiments.process import guarded
from saliency.checkpoints import Portable, save
from tests import smoke
from tests.saliency.helpers import loader, short_trainer

UNION = """Parser key "trainer.max_epochs":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'int'>, <class 'NoneType'>]
  Errors:
    - Expected a <class 'int'>
    - Expected a <class 'NoneType'>
  Given value type: <class 'str'>
  Given value: x"""


def raising(error):
    def command(_arguments):
        raise error

    return command


def test_a_value_error_of_python_on_a_line_of_this_project_is_a_bug_and_keeps_its_traceback(tmp_path):
    (tmp_path / "a").touch()

    def command(_arguments):
        Files(tmp_path, names=("a",), labels=(0, 0), is_test=None, class_names=("one",)).digest()

    with pytest.raises(ValueError, match="zip"):
        guarded(command, [])


def test_union_message_becomes_one_line_with_key_expectation_and_value():
    assert explained(UNION) == "trainer.max_epochs: expected a whole number or null, got x"


def test_a_message_of_no_known_form_stays_as_it_is():
    assert explained("  Something\n  that a newer version says") == "Something that a newer version says"


def test_many_accepted_names_are_listed_only_where_none_is_near():
    names = [f"option_{number}" for number in range(20)]
    assert unknown("key", "option_3x", names) == "unknown key 'option_3x'. Did you mean 'option_3'?"
    assert unknown("key", "xyz", names).endswith(", option_18, option_19")


def test_arguments_that_a_class_passes_on_to_its_base_are_accepted_there(capsys):
    command = ["fit", "--model", "detectors.Classifier", "--data", "data.ImageFolder", "--data.batchsize", "3"]
    assert train.main(command) == 2
    assert capsys.readouterr().err == (
        "error: data: unknown key 'batchsize'. Did you mean 'batch_size'? Accepted: root, size, channels, cache, "
        "batch_size, workers, splits, train_limit, test_limit, split_seed\n"
    )


@pytest.mark.parametrize("beside", [[], ["--data", "data.MNIST"]])
def test_a_misspelt_class_path_of_a_section_is_found(capsys, beside):
    command = ["fit", "--model", "detectors.Classifier", *beside, "--data.class_pth", "data.MNIST"]
    assert train.main(command) == 2
    assert capsys.readouterr().err.startswith("error: data: unknown key 'class_pth'. Did you mean 'class_path'? ")


STOPPING = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "validation/loss"}}
OPTIMISED = {"class_path": "attacks.OneOf", "init_args": {"attacks": [{"class_path": "attacks.BIM", "init_args": {}}]}}
FIT = {
    "model": {"class_path": "detectors.ID", "init_args": {"classifier": "no.ckpt"}},
    "data": {
        "class_path": "data.AdversarialData",
        "init_args": {"images": {"class_path": "data.Digits"}, "classifier": "no.ckpt", "attack": OPTIMISED},
    },
    "trainer": {"max_epochs": 1, "callbacks": [STOPPING]},
}
ATTACK = "data.init_args.attack"
MEMBER = f"{ATTACK}.init_args.attacks.0"
SECTION = "model: unknown key {}. Did you mean 'init_args'? Accepted: class_path, init_args"


def changed(path: str, value):
    """Return the config of a fit with one value put at a path."""
    config = copy.deepcopy(FIT)
    *before, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    section = config
    for part in before:
        section = section[part]
    section[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (
            "model.class_path",
            "detectors.JDS",
            "model: unknown class_path 'detectors.JDS'. Did you mean 'detectors.JSD'?\n",
        ),
        ("model.class_path", None, "model: class_path: expected text, got null"),
        ("model.class_path", "Net", "model: expected the class_path of a class, as my_module.MyClass, got Net"),
        ("model.class_path", "my-nets.Net", "model: expected the class_path of a class, as my_module.MyClass, got my-"),
        (
            "model.class_path",
            "torch.nn.Linear",
            "model: Import path torch.nn.Linear does not correspond to a subclass of ",
        ),
        ("model", 7, "model: expected the class_path of a LightningModule or null, got 7"),
        ("model.init_args", "text", "model: the init_args of detectors.ID must be its arguments by name"),
        ("model.init_agrs", {}, SECTION.format("'init_agrs'")),
        (
            "model.init_args.classifier",
            7,
            "classifier in model: expected text or the class_path of a Classifier, got 7",
        ),
        (
            "model.init_args.schedule",
            "cyclic",
            "schedule in model: expected one of 'constant', 'one-cycle', got cyclic",
        ),
        (
            "model.init_args.schedule",
            "one_cycle",
            "schedule in model: expected one of 'constant', 'one-cycle', got one_cycle. Did you mean 'one-cycle'?",
        ),
        ("modle", {"class_path": "detectors.ID"}, "unknown key 'modle'. Did you mean 'model'? Accepted: "),
        (
            "data.init_args.images.class_path",
            "data.Digtis",
            "images in data: unknown class_path 'data.Digtis'. Did you mean 'data.Digits'?\n",
        ),
        (
            "data.init_args.images.init_args",
            {"batch_size": None},
            "batch_size in data: expected a whole number, got null",
        ),
        (f"{ATTACK}.class_path", "attacks.OneOff", "attack in data: unknown class_path 'attacks.OneOff'. Did "),
        (
            f"{ATTACK}.init_args",
            {"attcks": []},
            "data: unknown key 'attcks'. Did you mean 'attacks'? Accepted: targeted, attacks\n",
        ),
        (f"{MEMBER}.class_path", "attacks.BMI", "attacks in data: unknown class_path 'attacks.BMI'. Did you mean "),
        (f"{MEMBER}.init_args.stepsize", 1, "data: unknown key 'stepsize'. Did you mean 'step_size'? Accepted: "),
        (f"{MEMBER}.init_args.steps", [3], "steps in data: expected a whole number, got [3]"),
        ("trainer", None, "trainer: expected keys with values, got null"),
        ("trainer.max_epcohs", 3, "trainer: unknown key 'max_epcohs'. Did you mean 'max_epochs'?\n"),
        (
            "trainer.callbacks.0.class_path",
            "torch.Nothing",
            "trainer.callbacks: unknown class_path 'torch.Nothing' (",
        ),
        ("trainer.callbacks.0.init_args.monitor", 7, "monitor in trainer.callbacks: expected text, got 7"),
    ],
)
def test_a_mistake_in_a_config_is_one_short_sentence_that_names_it(tmp_path, monkeypatch, capsys, path, value, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(changed(path, value)))
    assert train.main(["fit", "--config", "fit.yaml"]) == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith(f"error: {told}")
    assert sentence.count("\n") == 1
    assert len(sentence) < 250
    assert [entry.name for entry in tmp_path.iterdir()] == ["fit.yaml"]


def test_a_module_that_fails_on_import_is_told_with_its_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_nets.py").write_text("import a_package_that_is_missing")
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(changed("model.class_path", "broken_nets.Net")))
    assert train.main(["fit", "--config", str(tmp_path / "fit.yaml")]) == 2
    told = capsys.readouterr().err
    assert "model: class_path broken_nets.Net cannot be imported: " in told
    assert "No module named 'a_package_that_is_missing'" in told


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ("{a: {class_path: saliency.Gradeint}}", "methods: unknown class_path 'saliency.Gradeint'. Did you mean "),
        (
            "{a: {class_path: saliency.LIME, init_args: {samples: few}}}",
            "samples in methods: expected a whole number, ",
        ),
        ("{a: 7}", "methods: expected the class_path of a SaliencyMethod, got 7"),
        ("[saliency.LIME]", "methods: expected keys with values or null, got ['saliency.LIME']"),
    ],
)
def test_a_mistake_in_an_option_of_a_protocol_is_told_alike(capsys, methods, told):
    assert evaluate.main(["recover", "--run", "none", "--methods", methods]) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")


def test_what_lightning_refuses_is_told(capsys):
    assert guarded(lambda _: lightning.Trainer(accelerator="gpuu"), []) == 1
    assert "invalid accelerator name" in capsys.readouterr().err
    with pytest.raises(RuntimeError):
        guarded(lambda _: torch.zeros(2) @ torch.zeros(3), [])


@pytest.mark.parametrize(("command", "meant"), [("white_box", "white-box"), ("transfr", "transfer"), ("xyz", None)])
def test_the_nearest_protocol_is_told(command, meant, capsys):
    assert evaluate.main([command]) == 2
    answer = f"Did you mean {meant!r}?" if meant else "Accepted: list, transfer, "
    assert capsys.readouterr().err.startswith(f"error: unknown command {command!r}. {answer}")


def test_required_argument_is_told_as_it_is_typed():
    assert explained("the following arguments are required: transfer.run").endswith("required: --run")
    told = explained("the following arguments are required: run, classifier, attacks, data")
    assert told.endswith("attacks, data; give a pipeline file that has them, as --config configs/digits.yaml")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("wrong\nusage"), 2),
        (ValueError("wrong\nvalue"), 1),
        (FileNotFoundError("no such run"), 1),
        (MisconfigurationException("flags that do not go together"), 1),
    ],
)
def test_bad_input_is_one_line_and_a_status(error, status, capsys):
    assert guarded(raising(error), []) == status
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1


def test_operating_system_errors_name_the_file(tmp_path, capsys):
    assert guarded(lambda _: (tmp_path / "none" / "file").write_text(""), []) == 1
    assert "none/file: No such file or directory" in capsys.readouterr().err


def test_a_bug_in_a_library_keeps_its_traceback():
    with pytest.raises(TypeError):
        guarded(lambda _: torch.nn.functional.cross_entropy("no tensor", 3), [])


def test_a_wrong_call_within_the_packages_keeps_its_traceback():
    with pytest.raises(TypeError, match="positional argument"):
        guarded(lambda _: unknown("key"), [])


def test_an_error_that_was_never_raised_itself_is_no_reason(capsys):
    def command(_arguments):
        raise TypeError from ValueError("a cause without a traceback")

    with pytest.raises(TypeError):
        guarded(command, [])
    assert guarded(raising(UsageError("wrong")), []) == 2
    assert capsys.readouterr().err == "error: wrong\n"


def test_errors_of_the_packages_own_classes_are_told(capsys):
    assert guarded(lambda _: at_least(1, steps="x"), []) == 1
    assert capsys.readouterr().err == "error: steps must be a number, got 'x'\n"
    assert guarded(raising(OutputError("NaN")), []) == 1


def test_an_interruption_is_told_without_a_traceback(capsys):
    assert guarded(raising(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "interrupted: what was finished is kept\n"


def test_exit_statuses_pass_through():
    assert guarded(raising(SystemExit(0)), []) == 0
    assert guarded(raising(SystemExit(3)), []) == 3
    assert guarded(raising(SystemExit("stopped")), []) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--model.widht", "3"],
            "model: unknown key 'widht'. Did you mean 'widths'? Accepted: shape, classes, widths, ",
        ),
        (["--trainer.max_epoch=3"], "trainer: unknown key 'max_epoch'. Did you mean 'max_epochs'?\n"),
        (["--modle", "x"], "unknown key 'modle'. Did you mean 'model'? Accepted: "),
        (["--data.batch_szie=3"], "data: unknown key 'batch_szie'. Did you mean 'batch_size'? Accepted: "),
    ],
)
def test_a_misspelt_option_is_answered_by_the_nearest(capsys, options, told):
    model = ["--model", "detectors.Classifier", "--model.shape=[1,28,28]", "--model.classes=10"]
    assert train.main(["fit", *model, "--data", "data.Digits", *options]) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")


def test_a_key_in_a_file_put_over_another_is_looked_up_in_the_class_of_that_one(tmp_path, capsys):
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(FIT))
    (tmp_path / "over.yaml").write_text(yaml.safe_dump({"model": {"init_args": {"widht": [4]}}}))
    assert train.main(["fit", "--config", f"{tmp_path}/fit.yaml", "--config", f"{tmp_path}/over.yaml"]) == 2
    assert capsys.readouterr().err.startswith("error: model: unknown key 'widht'. Did you mean 'widths'? Accepted: ")


class _WrongSignature(Classifier):
    def training_step(self, batch, batch_idx, more):
        pass


class _WrongUse(Classifier):
    def training_step(self, *_):
        self.log("x", torch.rand(3))


@pytest.mark.parametrize("kind", [_WrongSignature, _WrongUse])
def test_a_bug_of_a_users_module_keeps_its_traceback(kind, tmp_path):
    trainer = short_trainer(tmp_path, 1)
    batches = loader(torch.rand(4, 1, 12, 12), torch.arange(4))
    with pytest.raises((TypeError, ValueError)):
        guarded(lambda _: trainer.fit(kind((1, 12, 12), 4, widths=(4,)), batches), [])


OWN = """
from detectors import Detector

class Own(Detector):
    def __init__(self, classifier, gain=1.0):
        super().__init__(classifier, channels=1)
        {kept}

    def represent(self, images, logits=None):
        {returned}
"""


def fit_own(tmp_path, monkeypatch, kept, returned):
    """Fit a detector of a user's own; return the exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_mistakes", raising=False)
    Portable._known.pop("Own", None)  # as in a process of its own
    (tmp_path / "own_mistakes.py").write_text(OWN.format(kept=kept, returned=returned))
    save(Classifier((1, 28, 28), 10, widths=(4,)), "classifier.ckpt")
    model = {"class_path": "own_mistakes.Own", "init_args": {"classifier": "classifier.ckpt"}}
    images = {"class_path": "data.Digits", "init_args": {"train_limit": 200, "test_limit": 20}}
    attack = {"class_path": "attacks.FGSM"}
    pairs = {"images": images, "classifier": "classifier.ckpt", "attack": attack}
    data = {"class_path": "data.AdversarialData", "init_args": pairs}
    trainer = {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False, "default_root_dir": "fit"}
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump({"model": model, "data": data, "trainer": trainer}))
    return train.main(["fit", "--config", "fit.yaml"])


def test_an_argument_that_is_not_kept_is_told_before_the_first_epoch(tmp_path, monkeypatch, capsys):
    assert fit_own(tmp_path, monkeypatch, "self._gain = gain", "return images") == 1
    assert capsys.readouterr().err.startswith(
        "error: Own does not keep its argument gain, which a checkpoint must hold"
    )
    assert not (tmp_path / "fit").exists()


def test_a_wrong_representation_is_one_sentence(tmp_path, monkeypatch, capsys):
    assert fit_own(tmp_path, monkeypatch, "self.gain = gain", "return images.repeat(1, 2, 1, 1)") == 1
    assert capsys.readouterr().err.startswith("error: Own.represent must return a tensor of shape ")


@pytest.mark.slow
def test_what_a_users_module_raises_is_told_and_what_fails_in_it_keeps_its_traceback(tmp_path, monkeypatch, capsys):
    assert fit_own(tmp_path, monkeypatch, "self.gain = gain", "raise ValueError('too dark')") == 1
    assert capsys.readouterr().err == "error: too dark (own_mistakes.py, line 10)\n"
    with pytest.raises(TypeError, match="has no len"):
        fit_own(tmp_path, monkeypatch, "self.gain = gain", "return len(3)")


@pytest.mark.slow
def test_mistakes_on_command_lines_get_the_answers_that_make_versions_asks_for_in_other_versions():
    assert smoke.refusals() == 10
