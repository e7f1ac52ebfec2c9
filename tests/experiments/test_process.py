"""What ends a command from outside is told with the status that shells give it."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

import train
from experiments.process import guarded

TOLD = {
    signal.SIGINT: (130, "interrupted: what was finished is kept\n"),
    signal.SIGTERM: (143, "terminated: what was finished is kept\n"),
}


@pytest.mark.parametrize("number", TOLD)
def test_a_signal_ends_a_command_with_its_status_and_a_sentence(number, capsys):
    before = signal.getsignal(number)
    status, sentence = TOLD[number]
    assert guarded(lambda _: signal.raise_signal(number), []) == status
    assert capsys.readouterr().err == sentence
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", TOLD)
def test_a_signal_that_a_library_makes_another_error_of_is_still_that_signal(number, capsys):
    def command(_arguments):
        try:
            signal.raise_signal(number)
        except BaseException:  # as the import of numpy does in C
            msg = "numpy failed to import"
            raise ImportError(msg) from None

    assert guarded(command, []) == TOLD[number][0]
    assert capsys.readouterr().err == TOLD[number][1]


def test_the_sigterm_of_another_process_of_a_fit_is_told(capsys):
    def command(_arguments):
        raise SIGTERMException  # a SystemExit without a status

    assert guarded(command, []) == 143
    assert capsys.readouterr().err == TOLD[signal.SIGTERM][1]


def test_a_signal_that_is_ignored_stays_ignored(capsys):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup
    try:
        assert guarded(lambda _: signal.raise_signal(signal.SIGINT), []) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == ""


def test_ctrl_c_while_a_command_is_imported_is_told(monkeypatch, capsys):
    class Interrupting:
        @staticmethod
        def find_spec(name, _path=None, _target=None):
            if name == "experiments.training.store":
                signal.raise_signal(signal.SIGINT)

    monkeypatch.delitem(sys.modules, "experiments.training.store", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting, *sys.meta_path])
    assert train.main(["store", "nowhere"]) == 130
    assert capsys.readouterr().err == TOLD[signal.SIGINT][1]


def test_the_scripts_import_nothing_that_takes_seconds_before_they_hear_signals():
    code = "import sys, train, evaluate; print({'torch', 'numpy', 'lightning', 'jsonargparse'} & set(sys.modules))"
    root = Path(train.__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("arguments", [["--help"], ["store", "."]])
def test_a_reader_that_ended_is_told_without_a_traceback(arguments, monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)  # as `| head` does
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert train.main(arguments) == 141
    assert capsys.readouterr().err == "standard output cannot be written (Broken pipe): what was finished is kept\n"


def test_a_full_disk_under_standard_output_is_one_sentence(capsys):
    def command(_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")  # as rich has it from the system, without a file

    assert guarded(command, []) == 1
    assert capsys.readouterr().err == "error: No space left on device\n"


def test_a_closed_standard_output_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it after `>&-`
    assert train.main(["--help"]) == 0


_COMMAND = """
import resource, sys, torch
from experiments.process import guarded

def command(_):
    for turn in range(20):
        if turn == 10:  # the pages of the first ones are cleared in any case
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(1 << 24)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

torch.set_num_threads(1)
if sys.argv[1] == "guarded":
    guarded(command, [])
else:
    command([])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_freed_memory_is_kept_for_the_next_tensor():
    run = partial(subprocess.run, cwd=Path(train.__file__).parent, capture_output=True, text=True, check=True)
    outside, inside = (int(run([sys.executable, "-c", _COMMAND, how]).stdout) for how in ("plain", "guarded"))
    assert outside > 10 * inside  # pages of 64 MiB cleared ten times
