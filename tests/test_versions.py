"""The locked versions are ones that pyproject.toml allows."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
    if Requirement(line).name != PROJECT["name"]  # an extra that takes in others
]
LOCKED = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("wanted", DIRECT, ids=lambda wanted: wanted.name)
def test_the_lock_holds_a_version_that_is_allowed(wanted):
    name = canonicalize_name(wanted.name)
    versions = [str(pin.specifier).removeprefix("==") for pin in LOCKED if canonicalize_name(pin.name) == name]
    assert versions
    assert all(version in wanted.specifier for version in versions)


@pytest.mark.parametrize("malicious", ["2.6.2", "2.6.3"])
def test_uploads_that_were_malicious_are_not_allowed(malicious):
    (lightning,) = (wanted for wanted in DIRECT if wanted.name == "lightning")
    assert malicious not in lightning.specifier
