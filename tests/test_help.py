"""The help of every command: an example, a sentence for each option, no markup and no names that users do not need."""

import re

import pytest

import evaluate
import train
from experiments.evaluation.protocols import COMMANDS
from experiments.guard.commands import COMMANDS as OF_A_DETECTOR

HELP = [
    *((train, name) for name in train.COMMANDS),
    *((evaluate, name) for name in {**COMMANDS, **OF_A_DETECTOR}),
]
MARKUP = re.compile(r"``|:\w+:`|`_|<class|<https?:")
INTERNAL = re.compile(r"\b(?:attacks|saliency|detectors|data|experiments)\.(?!published\.)\w+\.\w+|\.gaussian\.")
WITHOUT_WORDS = re.compile(r"\n  -\S+(?: [^ \n]+)*(?:\n {24}|  +)\((?:type|required|default)\b")
HALF = re.compile(r"\n\S[^\n]*\b(?:is|your|set|to|of|the):\n")
"""A heading that breaks off."""


@pytest.mark.parametrize(("script", "command"), HELP, ids=lambda part: getattr(part, "__name__", part))
def test_help_has_an_example_and_words_for_each_option_and_no_markup(script, command, capsys):
    try:
        status = script.main([command, "--help"])
    except SystemExit as end:
        status = end.code
    text = capsys.readouterr().out
    assert status == 0
    assert re.search(rf"Example: python {script.__name__}.py {command}\s", " ".join(text.split()))
    for wrong in (MARKUP, INTERNAL, WITHOUT_WORDS, HALF):
        assert not wrong.findall(text), (wrong.pattern, wrong.findall(text))
