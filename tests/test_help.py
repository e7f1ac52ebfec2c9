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
SOMETIMES = ("captum", "skimage", "sklearn", "advertorch")
"""Libraries that only some runs of a command need."""
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
print(json.dumps([texts, sorted(sys.modules)]))
"""
MARKUP = re.compile(r"``|:\w+:`|`_|<class|<https?:")
INTERNAL = re.compile(r"\b(?:attacks|saliency|detectors|data|experiments)\.(?!published\.)\w+\.\w+|\.gaussian\.")
WITHOUT_WORDS = re.compile(r"\n  -\S+(?: [^ \n]+)*(?:\n {24}|  +)\((?:type|required|default)\b")
HALF = re.compile(r"\n\S[^\n]*\b(?:is|your|set|to|of|the):\n")
"""A heading that breaks off."""


@pytest.mark.slow
def test_each_has_an_example_and_words_for_each_option_no_markup_and_imports_nothing_that_it_does_without():
    words = [sys.executable, "-c", ALL, json.dumps(HELP)]  # a process that has imported nobody's own classes
    done = subprocess.run(words, cwd=Path(train.__file__).parent, capture_output=True, text=True, check=True)  # noqa: S603
    helps, imported = json.loads(done.stdout)
    for script, command in HELP:
        status, text = helps[command]
        assert status == 0, command
        assert re.search(rf"Example: python {script}.py {command}\s", " ".join(text.split()))
        for wrong in (MARKUP, INTERNAL, WITHOUT_WORDS, HALF):
            assert not wrong.findall(text), (command, wrong.pattern, wrong.findall(text))
    assert not set(SOMETIMES) & set(imported)
