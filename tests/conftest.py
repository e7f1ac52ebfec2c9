"""What pytest sets up; the fixtures lie in `fixtures.py`, which imports the packages."""

import importlib

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("repeatable")


def pytest_configure(config):
    """Load the fixtures, but not where pytest only starts the processes that test: imports take ten seconds."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", default=None):
        config.pluginmanager.register(importlib.import_module("tests.fixtures"))
