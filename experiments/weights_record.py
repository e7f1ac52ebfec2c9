"""Which files of weights a stage was made with: one that is overwritten keeps its name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from experiments.provenance import digest
from experiments.stages import Stage
from experiments.tables import read_yaml
from saliency.files import write_text

RECORD: Final = "weights.yaml"


def keep_weights(stage: Stage) -> None:
    """Write which files of weights the model of a finished stage was built from, if there are any."""
    digests = {path: digest(Path(path)) for path in _files(stage.config["model"])}
    if digests:
        write_text(stage.folder / RECORD, yaml.safe_dump(digests))


def check_weights(stage: Stage) -> None:
    """Compare files of weights with those that a finished stage was made with; those that are gone are passed over.

    Raises:
        ValueError: If one has changed.
    """
    path = stage.folder / RECORD
    if not path.is_file():
        return
    for name, known in read_yaml(path).items():
        if Path(name).is_file() and digest(Path(name)) != known:
            msg = (
                f"{stage.folder} was made with other weights ({name} has changed since): choose another --run, or "
                "delete that folder and those of the stages after it"
            )
            raise ValueError(msg)


def _files(section: Any, key: str = "") -> Iterator[str]:
    """Give the files that a section names under the key weights, at any depth."""
    if isinstance(section, dict):
        for name, value in section.items():
            yield from _files(value, name)
    elif isinstance(section, list):
        for value in section:
            yield from _files(value)
    elif key == "weights" and isinstance(section, str) and Path(section).is_file():
        yield section
