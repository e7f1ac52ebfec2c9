"""The table of subcommands, whose functions are imported when they are asked for."""

import pytest

from experiments.evaluation.protocols import PROTOCOLS


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_is_the_function_of_its_name(name):
    assert PROTOCOLS[name].run.__name__ == name.replace("-", "_")
