"""The benchmark runs and prints its table; how fast anything was is no test's matter."""

import gc
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import lightning
import pytest
import torch
from torchvision import transforms

from benchmarks import attacks, contenders, gpu, memory, soak, white_box, workflow
from benchmarks.subjects import SUBJECTS
from tests.attacks.minimal import trained_net
from tests.attacks.white_box.museum import BROKEN
from tests.data.pictures import write


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the benchmark of an untrained network; returns what it prints and writes."""
    monkeypatch.setattr(gc, "collect", lambda: 0)  # before each row: half a second among all that tests have imported
    subject = SUBJECTS["digits"]
    torch.save(subject.network().state_dict(), tmp_path / "digits.pt")
    given = ["--subject", "digits", "--images", "6", "--batch", "4", "--kept", str(tmp_path)]

    def ran(*chosen):
        monkeypatch.setattr("sys.argv", ["attacks", *given, *chosen, "--json", str(tmp_path / "rows.json")])
        attacks.main()
        return capsys.readouterr().out, json.loads((tmp_path / "rows.json").read_text())

    return ran


def test_photographs_are_attacked_on_a_network_from_elsewhere(tmp_path, monkeypatch, run):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        write(tmp_path / "photos" / f"{number}.png", number)
    network = torch.nn.Sequential(transforms.CenterCrop(100), torch.nn.Flatten(), torch.nn.Linear(3 * 100**2, 5))
    subject = replace(SUBJECTS["photographs"], classes=5, pretrained=lambda: network)
    monkeypatch.setitem(SUBJECTS, "photographs", subject)
    photographs = ("--subject", "photographs", "--root", str(tmp_path), "--rounds", "1")
    printed, written = run(*photographs, "--only", "deepfool", "localized", "--libraries", "ours")
    deepfool, localized = written["rows"]
    assert "accuracy" not in printed
    assert (deepfool["images"], deepfool["success"], localized["success"]) == (3, 1, 1)
    assert localized["l0"] == pytest.approx(3 * 70**2, rel=0.01)  # a tenth of 224 x 224


def test_each_comparison_has_a_row_per_library_with_equal_results_and_counted_passes(run):
    libraries = ("--libraries", "ours", "advertorch", "foolbox", "bare loop")
    printed, written = run("--only", "fgsm", "bim", "deepfool", *libraries, "--rounds", "1")
    rows = written["rows"]
    assert [(row["comparison"], row["contender"]) for row in rows] == [
        ("fgsm", "ours"),
        ("fgsm", "advertorch"),
        ("fgsm", "foolbox"),
        ("bim", "ours"),
        ("bim", "bare loop"),
        ("bim", "advertorch"),
        ("bim", "foolbox"),
        ("deepfool", "ours"),
        ("deepfool", "foolbox"),
    ]
    assert all(f"| {row['contender']} |" in printed for row in rows)
    fgsm = [row for row in rows if row["comparison"] == "fgsm"]
    assert [row["success"] for row in fgsm] == [fgsm[0]["success"]] * 3
    ours, theirs = (row["l2"] for row in rows if row["comparison"] == "deepfool")
    assert ours == pytest.approx(theirs, rel=0.02)
    passes = {(row["comparison"], row["contender"]): (row["forward"], row["backward"]) for row in rows}
    assert passes["fgsm", "ours"] == passes["fgsm", "advertorch"] == (1, 1)
    assert passes["bim", "bare loop"] == (10, 10)
    assert passes["deepfool", "foolbox"] > passes["deepfool", "ours"]


def test_library_with_fewer_images_has_a_table_beside_ours(run):
    chosen = ("--libraries", "ours", "advertorch", "foolbox")
    printed, written = run("--only", "fgsm", *chosen, "--at-most", "foolbox=2", "--rounds", "2")
    assert [(row["contender"], row["images"]) for row in written["rows"]] == [
        ("ours", 6),
        ("advertorch", 6),
        ("ours", 2),
        ("foolbox", 2),
    ]
    assert all(len(row["seconds"]) == 2 for row in written["rows"])
    assert [len(row["ratio"]) for row in written["rows"]] == [1, 3, 1, 3]
    assert written["meta"]["command"].startswith("python -m benchmarks.attacks --subject digits --images 6")
    assert re.search(r"advertorch .* \d+\.\d\dx \(\d+\.\d\d to \d+\.\d\d\)", printed)


def test_library_that_fails_is_left_out_with_the_reason(run, monkeypatch):
    def broken(_model, _images, _labels):
        msg = "no such thing\nas this"
        raise KeyError(msg)

    known = contenders.comparisons(SUBJECTS["digits"], 4)
    monkeypatch.setattr(attacks, "comparisons", lambda *_: {"fgsm": known["fgsm"] | {"art": broken}})
    printed, written = run("--only", "fgsm", "--libraries", "ours", "art", "--rounds", "1")
    assert "left out: art (KeyError: 'no such thing" in printed
    assert [row["contender"] for row in written["rows"]] == ["ours"]
    assert written["left_out"][0]["contender"] == "art"


def test_library_that_does_not_end_is_left_out(run):
    printed, written = run(
        "--only", "cw", "--libraries", "advertorch", "--rounds", "1", "--limit", "0.01", "--clock", "cpu"
    )
    assert re.search(r"left out: advertorch \(not done after 0\.01 s and \d+ passes forward an image\)", printed)
    assert written["rows"] == []


@pytest.mark.slow
def test_rounded_images_are_those_of_a_file_and_repaired_ones_fool_as_before(run):
    _, written = run("--only", "rounding", "--libraries", "ours", "--rounds", "1")
    success = {row["contender"]: row["success"] for row in written["rows"]}
    assert success["ours, DeepFool, Quantised"] == success["ours, DeepFool"] == 1
    rounded = contenders.comparisons(SUBJECTS["digits"], 4)["rounding"]["ours, DeepFool, rounded"]
    model, images = SUBJECTS["digits"].network().eval(), torch.rand(2, 1, 28, 28)
    levels = 255 * rounded(model, images, model(images).argmax(1))
    assert torch.equal(levels, levels.round())


def test_matrices_of_pairs_that_fit_no_memory_are_refused():
    jsma = contenders.comparisons(SUBJECTS["assira"], 4)["jsma"]
    with pytest.raises(MemoryError, match=r"37,632 x 37,632 values for each image, 5\.7 GB each"):
        jsma["advertorch"](None, None, None)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_peak_is_of_the_block_and_not_of_what_was_before():
    torch.ones(2**26).sum()  # 256 MiB, gone
    with memory.peak("cpu") as small:
        torch.ones(2**22).sum()
    with memory.peak("cpu") as large:
        torch.ones(2**25).sum()
    assert 12 < small.mib < 64
    assert 120 < large.mib < 180


def test_photographs_of_cats_and_dogs_are_read(tmp_path):
    for part, numbers in (("train", range(20)), ("test", range(20, 24))):
        for label, name in enumerate(("cat", "dog")):
            for number in numbers:
                write(tmp_path / "assira" / part / name / f"{number}.jpg", seed=100 * label + number, size=(112, 112))
    subject = SUBJECTS["assira"]
    train, test = subject.read(tmp_path)
    assert train[0].shape[1:] == test[0].shape[1:] == subject.shape
    assert (len(train[0]), len(test[0])) == (31, 8)
    assert sorted(set(train[1].tolist())) == [0, 1]
    assert subject.network().eval()(test[0][:1]).shape == (1, 2)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_fit_that_is_killed_once_by_each_signal_ends_with_the_same_weights(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["soak", "--times", "1", "--only", "fit"])
    assert soak.main() == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1] for row in rows] == ["SIGKILL", "SIGTERM", "SIGINT"]
    assert {" ".join(row[4:]) for row in rows} == {"0 0 0 0 |"}


def test_what_differs_in_a_run_that_was_killed_is_noticed(tmp_path):
    weights = {"state_dict": {"weight": torch.ones(2)}}
    (tmp_path / "a/report").mkdir(parents=True)
    torch.save(weights, tmp_path / "a/model.ckpt")
    (tmp_path / "a/report/transfer.json").write_text('{"rows": [1]}')
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert soak._numbers(tmp_path / "a") == soak._numbers(tmp_path / "b")
    (tmp_path / "b/report/transfer.json").write_text('{"rows": [2]}')
    assert soak._numbers(tmp_path / "a") != soak._numbers(tmp_path / "b")
    shutil.copy(tmp_path / "a/report/transfer.json", tmp_path / "b/report/transfer.json")
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, tmp_path / "b/model.ckpt")
    assert soak._numbers(tmp_path / "a") != soak._numbers(tmp_path / "b")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_gpu_script_runs_on_the_cpu_in_a_reduced_form(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["gpu", "--reduced", "--keep", str(tmp_path), "--json", str(tmp_path / "gpu.json")])
    assert gpu.main() == 0
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert {step["status"] for step in result["steps"]} == {0}
    assert result["same_weights"] is True
    assert {row["comparison"] for row in result["attacks"]} == {"fgsm", "bim"}
    assert {row["detector"] for row in result["white_box"]} == {"spd"}


def test_what_commands_cost_is_printed_by_part_and_a_failed_one_is_told(tmp_path, monkeypatch, capsys):
    kept = tmp_path / "costs.json"
    monkeypatch.setattr("sys.argv", ["workflow", "--only", "pipeline", "--parts", "--json", str(kept)])
    monkeypatch.setattr(workflow, "COMMANDS", {"pipeline": "evaluate.py list --help"})
    assert workflow.main() == 0
    (row,) = json.loads(kept.read_text())["rows"]
    assert 0 < row["parts"]["imports"] <= row["wall"]
    assert row["cpu"] > 0
    assert re.search(r"\| pipeline \| \w* \| \d+\.\d \| \d+\.\d \| \d+ \|", capsys.readouterr().out)
    monkeypatch.setattr(workflow, "COMMANDS", {"pipeline": "evaluate.py nothing"})
    with pytest.raises(RuntimeError, match="pipeline ended with status 2: error: unknown command 'nothing'"):
        workflow.main()


def test_a_command_runs_in_the_checkout_before_and_in_this_one(tmp_path, monkeypatch, capsys):
    other = tmp_path / "evaluate.py"
    other.write_text("")
    monkeypatch.setattr("sys.argv", ["workflow", "--only", "pipeline", "--before", str(tmp_path)])
    monkeypatch.setattr(workflow, "COMMANDS", {"pipeline": "evaluate.py --help"})
    assert workflow.main() == 0
    assert capsys.readouterr().out.count("| pipeline |") == 2
    other.write_text("raise SystemExit('this is the other one')")
    with pytest.raises(RuntimeError, match="pipeline ended with status 1: this is the other one"):
        workflow.main()


def test_each_part_names_a_function_that_there_is():
    for file, function in list(workflow.PARTS.values())[1:]:
        folder = (
            Path(lightning.__file__).parent.parent
            if file.startswith(("lightning", "loops", "trainer"))
            else workflow.ROOT
        )
        inside = "lightning" if folder != workflow.ROOT else "[a-z]*"
        paths = [path for path in folder.glob(f"{inside}/**/{Path(file).name}") if str(path).endswith(file)]
        assert any(f"def {function}(" in path.read_text() for path in paths), file


@pytest.mark.slow
@pytest.mark.parametrize("passes", [25, 50, 100])
def test_white_box_contenders_take_no_more_passes_than_they_may(passes):
    net, images = trained_net(12)
    detector = BROKEN["Linear"](images)
    for name, made in white_box.contenders(0.01).items():
        report = made(passes).report(net, images, net(images).argmax(1), detector=detector)
        spent = (report.forward_passes + report.backward_passes) / 2
        assert spent.max() <= max(passes, 50 if name == "hop_skip_jump" else 0), name
        assert spent.max() >= passes / 2 or name in {"hop_skip_jump", "joint"}, name


def test_reference_orthogonal_pgd_steps_as_released():
    net, images = trained_net(12)
    detector, labels = BROKEN["Linear"](images), net(images).argmax(1)
    expected = images.clone()
    for row in range(12):
        point, best, lowest = images[row : row + 1], images[row : row + 1], float("inf")
        for _ in range(6):
            point = point.detach().requires_grad_()
            logits, score = net(point)[0], detector(point)[0]
            if logits.argmax() != labels[row] and score < lowest:
                best, lowest = point.detach(), score.item()
            entropy = -logits.log_softmax(0)[labels[row]]
            classifier = torch.autograd.grad(entropy, point, retain_graph=True)[0]
            other = -torch.autograd.grad(score, point)[0]
            logits = logits.detach()
            logits[labels[row]] += 0.05
            if logits.argmax() == labels[row]:
                gradient = classifier - other * (classifier * other).sum() / other.square().sum()
            else:
                gradient = other - classifier * (classifier * other).sum() / classifier.square().sum()
            change = (point.detach() + 0.1 / 8 * gradient.sign() - images[row]).clamp(-0.1, 0.1)
            point = (images[row] + change).clamp(0, 1)
        if lowest < float("inf"):
            expected[row] = best
    found = white_box.ReferenceOrthogonalPGD(epsilon=0.1, steps=6)(net, images, labels, detector=detector)
    changed = (expected != images).flatten(1).any(1)
    assert changed.any()
    torch.testing.assert_close(found[changed], expected[changed], rtol=0, atol=1e-6)


def test_an_attack_is_behind_where_it_lacks_more_than_the_noise_of_the_images(capsys):
    wins = {"hinged": (6, 7), "joint": (2, 3), white_box.REFERENCES[0]: (7, 7), white_box.REFERENCES[1]: (1, 1)}
    rows = [
        white_box.Row(name, "smd", passes, passes, [number < count for number in range(10)])
        for name, counts in wins.items()
        for passes, count in zip((25, 50), counts, strict=True)
    ]
    assert white_box.behind(rows) == {white_box.REFERENCES[0]: ["joint on smd"], white_box.REFERENCES[1]: []}
    white_box._print(rows)
    printed = capsys.readouterr().out
    assert "SR@5 of 10 images, after 25, 50 passes" in printed
    assert "| hinged | 0.60 / 0.70 (0.650) |" in printed
    assert "behind the reference: Orthogonal PGD, by more than noise: joint on smd" in printed
