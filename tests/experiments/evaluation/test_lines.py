"""Bars of progress that become lines."""

import io

from rich.console import Console

from experiments.evaluation import lines
from experiments.evaluation.lines import Lines


def shown(monkeypatch, *, terminal):
    monkeypatch.setattr(lines, "_EVERY", 0.0)
    file = io.StringIO()
    with Lines(transient=True, console=Console(file=file, force_terminal=terminal), auto_refresh=False) as progress:
        for _ in progress.track(range(4), description="attacking with [cw]"):
            pass
    return file.getvalue()


def test_a_file_gets_lines(monkeypatch):
    assert "  attacking with [cw]: 100 %" in shown(monkeypatch, terminal=False).splitlines()


def test_a_terminal_gets_no_lines(monkeypatch):
    assert "  attacking with [cw]: 25 %\n" not in shown(monkeypatch, terminal=True)


def test_lines_are_apart():
    file = io.StringIO()
    with Lines(transient=True, console=Console(file=file), auto_refresh=False) as progress:
        list(progress.track(range(1000)))
    assert file.getvalue().strip() == ""
