"""Errors become one sentence; those of a bug keep their traceback."""

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from experiments.messages import UsageError, guarded, one_sentence

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


def test_union_message_becomes_one_line_with_key_expectation_and_value():
    assert one_sentence(UNION) == "\"trainer.max_epochs\": Expected a <class 'int'>, got x"


def test_rejected_key_is_explained_by_the_class_it_stands_under():
    config = {"data": {"images": [{"class_path": "attacks.BIM", "init_args": {"stepsize": 1}}]}}
    told = one_sentence("Option 'stepsize' is not accepted", [config])
    assert told == (
        "the key 'stepsize' is not accepted: here targeted, epsilon, step_size, steps are; did you mean 'step_size'"
    )


def test_required_argument_is_told_as_it_is_typed():
    assert one_sentence("the following arguments are required: transfer.run").endswith("required: --run")


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


def test_an_interruption_is_told_without_a_traceback(capsys):
    assert guarded(raising(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "interrupted: what was finished is kept\n"


def test_exit_statuses_pass_through():
    assert guarded(raising(SystemExit(0)), []) == 0
    assert guarded(raising(SystemExit(3)), []) == 3
    assert guarded(raising(SystemExit("stopped")), []) == 1
