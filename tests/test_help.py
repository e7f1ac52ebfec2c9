"""The help of every command: an example, a sentence for each option, no markup and no names that users do not need."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import train
from experiments.evaluation.protocols import COMMANDS
from experiments.guard.commands import COMMANDS as OF_A_DETECTOR

HELP = [
    *(("train", name) for name in train.COMMANDS),
    *(("evaluate", name) for name in {**COMMANDS, **OF_A_DETECTOR}),
]
ALL = """
import contextlib, importlib, io, json, sys
texts = {}
for script, name in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            status = importlib.import_module(script).main([name, "--help"])
        except SystemExit as end:
            status = end.code
    texts[name] = status, out.getvalue()
print(json.dumps(texts))
"""
MARKUP = re.compile(r"``|:\w+:`|`_|<class|<https?:")
INTERNAL = re.compile(r"\b(?:attacks|saliency|detectors|data|experiments)\.(?!published\.)\w+\.\w+|\.gaussian\.")
WITHOUT_WORDS = re.compile(r"\n  -\S+(?: [^ \n]+)*(?:\n {24}|  +)\((?:type|required|default)\b")
HALF = re.compile(r"\n\S[^\n]*\b(?:is|your|set|to|of|the):\n")
"""A heading that breaks off."""


@pytest.fixture(scope="module")
def helps():
    """The exit status and text of each help, by command, of a process that has imported nobody's own classes."""
    words = [sys.executable, "-c", ALL, json.dumps(HELP)]
    done = subprocess.run(words, cwd=Path(train.__file__).parent, capture_output=True, text=True, check=True)  # noqa: S603
    return json.loads(done.stdout)


@pytest.mark.parametrize(("script", "command"), HELP)
def test_help_has_an_example_and_words_for_each_option_and_no_markup(script, command, helps):
    status, text = helps[command]
    assert status == 0
    assert re.search(rf"Example: python {script}.py {command}\s", " ".join(text.split()))
    for wrong in (MARKUP, INTERNAL, WITHOUT_WORDS, HALF):
        assert not wrong.findall(text), (wrong.pattern, wrong.findall(text))
