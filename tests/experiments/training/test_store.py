"""The store as a user of the command line sees it."""

import os
import re
import shutil

import pytest
import yaml

import evaluate
import train
from data.store.store import Store


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run, free to change."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def store(copy):
    return copy / "adversarial"


def flat(text):
    return re.sub(r"[^\w./:,()=?-]+", " ", text)


def test_a_pipeline_makes_each_set_once_for_all_detectors(finished):
    abouts = [entry.about for entry in Store(finished / "adversarial").entries()]
    trained = [about for about in abouts if about["split"] != "test"]
    assert sorted((about["kind"], about["split"]) for about in trained) == [
        ("adversarial", "detector_train"),
        ("adversarial", "detector_train_validation"),
        *[("predictedmap", split) for split in ("detector_train", "detector_train_validation") for _ in range(2)],
    ]


@pytest.mark.slow
def test_pipeline_says_what_the_store_gave(copy, capsys):
    shutil.rmtree(copy / "detectors/spd")
    assert train.main(["pipeline", "--config", str(copy / "pipeline.yaml"), "--run", str(copy)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "sets" in line]
    assert [line.rpartition(" (")[0] for line in told] == [f"{copy}/adversarial: 6 sets, 6 shards: 6 found, 0 made"]


@pytest.mark.slow
def test_store_null_keeps_pairs_on_the_fly(run_pipeline):
    status, folder = run_pipeline("--store", "null", saliency=None, detectors={"id": ID})
    assert status == 0
    assert not list(folder.rglob("shard_*"))
    config = yaml.safe_load((folder / "detectors/id/fgsm/seed_0/config.yaml").read_text())
    assert config["data"]["init_args"]["store"] is None
    assert evaluate.main(["transfer", "--run", str(folder), "--device", "cpu"]) == 0
    assert not list(folder.rglob("shard_*"))


ID = {"model": {"class_path": "detectors.ID"}, "trainer": {"max_epochs": 1}}


@pytest.mark.slow
def test_a_store_may_lie_elsewhere(run_pipeline, tmp_path):
    status, folder = run_pipeline("--store", str(tmp_path / "else"), saliency=None, detectors={"id": ID})
    assert status == 0
    assert len(Store(tmp_path / "else").entries()) == 2
    assert not (folder / "adversarial").exists()


@pytest.mark.slow
def test_another_store_does_not_make_a_run_another_one(finished, tmp_path, capsys):
    options = ["--store", str(tmp_path / "else")]
    settings = (finished / "pipeline.yaml").read_text()
    try:
        assert train.main(["pipeline", "--config", str(finished / "pipeline.yaml"), *options]) == 0
    finally:
        (finished / "pipeline.yaml").write_text(settings)
    assert "training" not in capsys.readouterr().out


@pytest.mark.slow
def test_evaluations_are_the_same_with_and_without_a_store(copy):
    tables = []
    for store in ("adversarial", None):
        settings = yaml.safe_load((copy / "pipeline.yaml").read_text())
        (copy / "pipeline.yaml").write_text(yaml.safe_dump(settings | {"store": store}))
        assert evaluate.main(["transfer", "--run", str(copy), "--device", "cpu"]) == 0
        tables.append((copy / "report/transfer.csv").read_text())
    assert tables[0] == tables[1]


def test_list_names_every_set(store, capsys):
    assert train.main(["store", str(store)]) == 0
    told = flat(capsys.readouterr().out)
    entries = Store(store).entries()
    assert f"{store}: {len(entries)} sets" in told
    for entry in entries:
        assert entry.name in told


def test_a_store_is_named_as_it_can_be_printed(tmp_path, capsys):
    folder = tmp_path / "[bold] [" / "x]\udcff\n"
    folder.mkdir(parents=True)
    assert train.main(["store", str(folder)]) == 0
    assert capsys.readouterr().out == rf"{tmp_path}/[bold] [/x]\udcff\n: 0 sets, 0 B" + "\n"


def test_prune_deletes_what_it_is_told(store, capsys):
    entries = Store(store).entries()
    first, second = entries[0].name, entries[1].name
    assert train.main(["store", str(store), "--prune", first, second, first]) == 0
    assert f"deleted {first}" in capsys.readouterr().out
    assert {entry.name for entry in Store(store).entries()} == {entry.name for entry in entries[2:]}


def test_a_name_that_is_unknown_deletes_nothing(store, capsys):
    before = [entry.name for entry in Store(store).entries()]
    assert train.main(["store", str(store), "--prune", before[0], "nothing"]) == 1
    assert "has 0 sets named 'nothing': give the name of one, as the list shows it" in flat_quotes(capsys)
    assert {entry.name for entry in Store(store).entries()} == set(before)


def flat_quotes(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_other_folders_are_never_deleted(store):
    (store / "precious").mkdir()
    (store / "precious/about.json").write_text('{"project": "thesis"}')
    assert train.main(["store", str(store), "--unused_days", "0"]) == 0
    assert [path.name for path in store.iterdir()] == ["precious"]


def test_unused_sets_are_deleted_by_age(store):
    old, *rest = Store(store).entries()
    os.utime(old.folder / "about.json", (1, 1))
    assert train.main(["store", str(store), "--unused_days", "30"]) == 0
    assert {entry.name for entry in Store(store).entries()} == {entry.name for entry in rest}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["absent"], 1, "there is no store absent: `train.py pipeline` makes one"),
        ([], 2, "arguments are required: folder"),
        (["absent", "--unused_days", "-1"], 1, "unused_days must be finite and at least 0, got -1"),
        (["absent", "--unused_days", "soon"], 2, "unused_days"),
        (["absent", "--prine", "x"], 2, "prine"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(arguments, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train.main(["store", *arguments]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_damaged_shard_stops_a_fit_with_a_sentence(copy, capsys):
    shutil.rmtree(copy / "detectors/spd")
    for shard in (copy / "adversarial").glob("adversarial-*/shard_*.pt"):
        contents = shard.read_bytes()
        shard.unlink()
        shard.write_bytes(contents[:-1])
    assert train.main(["pipeline", "--config", str(copy / "pipeline.yaml"), "--run", str(copy)]) == 1
    error = capsys.readouterr().err
    assert re.search(r"shard_00000\.pt is damaged, or no shard: restore it", error)
    assert error.count("\n") == 1
    assert not (copy / "detectors/spd/fgsm/seed_0/model.ckpt").exists()


def test_help_names_the_store_s_command(capsys):
    assert train.main(["store", "--help"]) == 0
    assert "List the adversarial sets of a store" in flat(capsys.readouterr().out)
