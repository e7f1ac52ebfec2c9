"""Three whole pipelines of one experiment, evaluated; two of them are made up from the first."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

import evaluate
from tests.experiments.studies import copy_of

AHEAD = 0.1
"""By how much each made-up pipeline's values lie above those of the one before."""


@pytest.fixture(scope="session")
def evaluated(finished, tmp_path_factory):
    """A finished run of seed 0 with the report of `transfer`; tests may read it but not change it."""
    run = copy_of(finished, tmp_path_factory.mktemp("evaluated"))
    assert evaluate.main(["transfer", "--run", str(run), "--resamples", "20"]) == 0
    return run


@pytest.fixture
def three(evaluated, tmp_path):
    """The folders of three pipelines that repeat one experiment, with the seeds 0, 2 and 4."""
    folders = [tmp_path / name for name in ("run", "run_1", "run_2")]
    for number, folder in enumerate(folders):
        shutil.copytree(evaluated, folder, ignore=shutil.ignore_patterns("adversarial", "scores", "tensorboard"))
        _reseed(folder, 2 * number)
        change(folder, lambda contents, number=number: _ahead(contents, number * AHEAD))
    return folders


def change(run: Path, how, protocol="transfer"):
    """Change the JSON of a protocol: `how` gets its contents."""
    path = run / "report" / f"{protocol}.json"
    contents = json.loads(path.read_text())
    how(contents)
    path.write_text(json.dumps(contents))


def resettle(run: Path, how):
    """Change the pipeline file of a run: `how` gets its contents."""
    path = run / "pipeline.yaml"
    contents = yaml.safe_load(path.read_text())
    how(contents)
    path.write_text(yaml.safe_dump(contents))


def _reseed(run: Path, seed: int) -> None:
    if seed == 0:
        return
    for folder in list(run.rglob("seed_0")):
        folder.rename(folder.with_name(f"seed_{seed}"))
    resettle(run, lambda contents: contents.update(seeds=[seed], run=str(run)))
    path = run / "report/transfer.json"
    path.write_text(path.read_text().replace("/seed_0/", f"/seed_{seed}/"))
    change(run, lambda contents: contents["meta"].update(seeds=[seed]))


UNDERFLOWS = {"n": 90, "share": 0.5, "low": 0.4, "high": 0.6, "share_logit": 0.0}
NO_UNDERFLOW = {"n": 90, "share": 0.0, "low": 0.0, "high": 0.041, "share_logit": 0.0}


def _ahead(contents, by: float) -> None:
    contents["meta"]["underflow"] = NO_UNDERFLOW
    for row in contents["rows"]:
        if row["auroc"] is not None:
            row["auroc"] += by
    for record in contents["meta"]["contrasts"]:
        for key in ("value", "low", "high"):
            record[key] += by
