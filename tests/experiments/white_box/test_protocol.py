"""evaluate.py white-box: who is attacked by what, the records, and that they agree with each other."""

import dataclasses
import json
import re
import warnings

import pytest
import torch
from torch import nn

import evaluate
from detectors import ID, Detector
from experiments.results.result import write_result
from experiments.white_box.measure import attack_by_suite
from experiments.white_box.protocol import white_box
from experiments.white_box.records import PAPER, WORST
from experiments.white_box.remedies import WALKS
from experiments.white_box.smallest import within
from experiments.white_box.subjects import over_second_classifier, own_subject, start_of, subjects
from experiments.white_box.suite import SignNoise, suite
from tests.experiments.studies import copy_of, study_of

SMALL = {"images": 8, "steps": 2, "curve_images": 8, "resamples": 50}


def run(folder, detectors=None, **changes):
    return white_box(study_of(folder, detectors), **(SMALL | changes))


@pytest.fixture(scope="module")
def found(finished, tmp_path_factory):
    return run(copy_of(finished, tmp_path_factory.mktemp("white_box")), detectors=["id", "spd", "max_softmax"])


def rows_of(found, **wanted):
    return [row for row in found.rows if all(row[key] == value for key, value in wanted.items())]


def only(found, **wanted):
    (row,) = rows_of(found, **wanted)
    return row


class Brightness(nn.Module):
    """A detector of somebody else: no joint, no parts, no classifier."""

    def forward(self, images):
        return images.mean((1, 2, 3))


class Contrast(Detector):
    """A subclass with its own representation."""

    def __init__(self, classifier):
        super().__init__(classifier, channels=1)

    def represent(self, images, logits=None):  # noqa: ARG002
        return (images - images.roll(1, -1)).abs().mean(1, keepdim=True)


def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))


NUMBER = 3


def fails(classifier):  # noqa: ARG001
    return {}["nothing"]


def small_net():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 1))


def five():
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 5))


class Asks(nn.Module):
    """It has random weights, and takes what it is offered by keyword, with defaults."""

    def __init__(self, *, classifier=None, saliency=None):
        super().__init__()
        self.classifier, self.saliency = classifier, saliency
        self.weights = nn.Linear(28 * 28, 1)

    def forward(self, images):
        return self.weights(images.flatten(1)).squeeze(1)


def needs_more(classifier, depth):  # noqa: ARG001
    return Brightness()


class Answers(nn.Module):
    """A detector of dark images that answers in one way or another."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer(images)


def booleans():
    return Answers(lambda images: images.mean((1, 2, 3)) < 0.01)


def numpy_inside():
    return Answers(lambda images: torch.from_numpy(-images.numpy().mean((1, 2, 3))))


def array():
    return Answers(lambda images: -images.detach().numpy().mean((1, 2, 3)))


def detached():
    return Answers(lambda images: -images.mean((1, 2, 3)).detach())


def sometimes_nan():
    return Answers(lambda images: images.mean((1, 2, 3)).masked_fill(images[:, 0, 0, 0] > 0, torch.nan))


def always_nan():
    return Answers(lambda images: images.mean((1, 2, 3)) * torch.nan)


def a_column():
    return Answers(lambda images: images.mean((2, 3)))


def a_list():
    return Answers(lambda images: images.mean((1, 2, 3)).tolist())


def complex_numbers():
    return Answers(lambda images: images.mean((1, 2, 3)).to(torch.complex64))


def on_meta():
    return Answers(lambda images: images.mean((1, 2, 3)).to("meta"))


@pytest.mark.slow
def test_every_detector_meets_every_attack_that_fits_it(found):
    names = {name: [row["attack"] for row in rows_of(found, detector=name)] for name in ("id", "spd", "max_softmax")}
    assert set(names["spd"]) - set(names["id"]) == {"hinged_parts", "selective_parts", "orthogonal_parts"}
    assert set(names["id"]) - set(names["max_softmax"]) == {"alternating_held"}
    for each in names.values():
        assert len(each) == len(set(each))
        assert each[-1] == WORST
        assert "noise" in each
    assert {row["phase"] for row in found.rows} == {"before"}
    assert found.meta["epsilon"] == 0.1


def test_records_agree_with_each_other(found):
    for row in found.rows:
        assert row["n"] == 8
        assert 0 < row["n_right"] <= 8
        assert 0 <= row["sr_at_5_low"] <= row["sr_at_5"] <= row["sr_at_5_high"] <= 1
        assert row["sr_at_50"] <= row["sr_at_5"]  # the threshold of 50 % lies lower
        assert row["linf"] is None or row["linf"] <= 0.1 + 1e-6
        assert (row["detector_accuracy"] is None) == (row["trained_on"] is None or row["attack"] == WORST)
        assert row["robust_accuracy"] >= row["classifier_accuracy"]
        assert row["attack_success_rate"] >= row["sr_at_5"]


def test_the_headline_has_n_and_an_interval_beside_sr_at_5_and_success_on_the_classifier_in_the_margin(found):
    table = found.tables[0]
    assert table.header[3:5] == ["n", "SR@5"]
    assert table.header[-1] == "classifier fooled"
    for line in table.rows:
        worst = only(found, detector=line[0], attack=WORST)
        value, low, high = map(float, re.findall(r"\d\.\d{3}", line[4]))
        assert (line[3], value) == (worst["n_right"], pytest.approx(worst["sr_at_5"], abs=5e-4))
        assert low < high
        assert line[-1] == worst["attack_success_rate"]
    assert "Bryniarski et al. (2021) count targeted attacks" in table.note


def test_eight_images_are_flagged_and_the_finding_says_that_they_decide_nothing(found):
    (few,) = [flag for flag in found.flags if flag.name == "Few images"]
    assert few.raised
    assert "under 20: this decides nothing. That is 1 seed of detector training; a claim needs 3." in found.finding
    for sentence in re.split(r"(?<=[a-z0-9])\.\s", found.finding):
        assert len(re.findall(r"(?<![@\w])\d[\d.]*", sentence)) <= 2


@pytest.mark.slow
def test_targeted_attacks_win_what_is_classified_as_another_random_class(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    found = run(copy, targeted=True, epsilon=0.5, curve_images=4, detectors=["spd"])
    untargeted = run(copy, epsilon=0.5, curve_images=0, detectors=["spd"])
    assert (found.protocol, untargeted.protocol) == ("white-box-targeted", "white-box")
    assert found.title == "Targeted white-box attacks on the detectors"
    assert "targeted: a random other class for each image" in found.meta["knowledge"]
    assert "untargeted" in untargeted.meta["knowledge"]
    assert "without noise, which has no targeted form" in found.tables[0].note
    names = [[row["attack"] for row in each.rows] for each in (found, untargeted)]
    assert names[0] == [name for name in names[1] if name != "noise"]
    for row in found.rows:
        assert row["attack_success_rate"] * row["n_right"] <= (1 - row["classifier_accuracy"]) * row["n"] + 1e-9
    worst = only(found, attack=WORST)
    assert 0 < worst["attack_success_rate"] <= only(untargeted, attack=WORST)["attack_success_rate"]


def test_the_worst_case_is_at_least_as_bad_as_every_attack(found):
    for row in found.rows:
        if row["attack"] != "noise":
            worst = only(found, detector=row["detector"], attack=WORST)
            assert worst["sr_at_5"] >= row["sr_at_5"]
            assert worst["classifier_accuracy"] <= row["classifier_accuracy"]
            assert worst["robust_accuracy"] <= row["robust_accuracy"]


@pytest.mark.slow
def test_noise_is_a_control_and_no_part_of_the_worst_case(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(SignNoise, "perturb", lambda _, problem: 1 - problem.images)
    monkeypatch.setattr("experiments.white_box.measure.suite", lambda *a, **k: list(suite(*a, **k))[:1])
    found = run(copy_of(finished, tmp_path), epsilon=1.0, curve_images=0, detectors=["id", "spd"])
    for name in ("id", "spd"):
        assert (
            only(found, detector=name, attack=WORST)["sr_at_5"] == only(found, detector=name, attack=PAPER)["sr_at_5"]
        )


def test_curves_begin_at_the_clean_images(found):
    starts = [each for each in found.meta["curves"] if (each["across"], each["at"]) == ("epsilon", 0)]
    assert len(starts) == len({row["detector"] for row in found.rows})
    assert all(each["n_right"] > 0 for each in starts)
    assert all(each["sr_at_5"] == 0 for each in starts)


def test_the_smallest_budgets_are_of_the_images_right_before_and_the_bound_holds_all_that_the_suite_wins(found):
    assert "budgets" in found.figures
    for each in found.meta["smallest"]:
        worst = only(found, detector=each["detector"], attack=WORST)
        assert each["norm"] == "linf"
        assert each["n_right"] == worst["n_right"]
        assert len(each["budgets"]) <= len(each["bounds"]) <= each["n_right"]
        assert all(bound <= length for bound, length in zip(each["bounds"], each["budgets"], strict=False))
        assert within(each["bounds"], each["n_right"], 0.1).value >= worst["sr_at_5"]


def test_the_price_is_at_least_one_on_average_and_counts_only_images_that_both_win(found):
    for each in found.meta["prices"]:
        assert each["n_both"] <= each["n_right"] <= 8
        assert (each["ratio_median"] is None) == (each["n_both"] == 0)


def test_it_is_repeated_from_what_is_kept(finished, tmp_path, monkeypatch):
    copy = copy_of(finished, tmp_path)
    small = {"images": 4, "steps": 1, "curve_images": 0, "detectors": ["id"], "suite_attacks": ["hinged", "square"]}
    first = run(copy, **small)

    def fail(*_, **__):
        pytest.fail("an attack was run again")

    monkeypatch.setattr("attacks.Attack.report", fail)
    assert run(copy, **small).rows == first.rows


PAPERS = {"alternating", "alternating_held", "alternating_literal", "alternating_long", "metzen"}


@pytest.fixture
def recorded(monkeypatch):
    """The attacked detectors, run by run."""
    returned = []

    def attack(*arguments):
        attacked, most_passes = attack_by_suite(*arguments)
        returned.append(attacked)
        return attacked, most_passes

    monkeypatch.setattr("experiments.white_box.measure.attack_by_suite", attack)
    return returned


def won(attacked, detector):
    """Which images some attack of the suite wins at 5 % FPR, (n,), the control left out."""
    (outcomes,) = [each.outcomes for each in attacked if each.subject.name == detector]
    return torch.stack([each.fooled(0.05) for each in outcomes if each.attack != "noise"]).any(0)


def test_the_cascade_has_the_worst_case_of_the_table_image_by_image(finished, tmp_path, recorded):
    copy = copy_of(finished, tmp_path)
    small = {"images": 16, "steps": 3, "epsilon": 0.006, "curve_images": 0, "detectors": ["id", "spd"]}
    small["suite_attacks"] = ["hinged", "selective", "square", "matching"]
    table, worst = (run(copy, mode=mode, **small) for mode in ("table", "worst"))
    for name in ("id", "spd"):
        assert torch.equal(*(won(each, name) for each in recorded))
        before, after = (only(each, detector=name, attack=WORST) for each in (table, worst))
        assert 0 < after["n_won_first"] < after["n_right"]  # else the test says nothing
        for field in ("n", "n_right", "sr_at_5", "sr_at_5_low", "sr_at_5_high", "n_won_first", "attack_success_rate"):
            assert after[field] == before[field]
        assert after["forward_passes"] < before["forward_passes"]
        for field in ("sr_at_50", "robust_accuracy"):
            assert after[field] is None  # not known in a cascade
    assert table.meta["image_by_image"] == worst.meta["image_by_image"]
    for images, each in zip(table.meta["image_by_image"], ("id", "spd"), strict=True):
        row = only(table, detector=each, attack=WORST)
        assert (images["detector"], images["seed"], len(images["right"])) == (each, row["seed"], row["n_right"])
        assert images["lost"] == won(recorded[0], each).nonzero().flatten().tolist()
        assert len(images["fooled"]) == round(row["attack_success_rate"] * row["n_right"])
        assert set(images["lost"]) <= set(images["fooled"]) <= set(images["right"])


@pytest.mark.slow
def test_an_attack_of_the_cascade_gets_what_none_before_it_has_won(finished, tmp_path):
    found = run(
        copy_of(finished, tmp_path), mode="worst", epsilon=0.03, detectors=["spd"], images=24, steps=3, curve_images=0
    )
    left = only(found, attack=WORST)["n_right"]
    for row in found.rows[:-1]:
        if row["attack"] in {*PAPERS, "noise"}:
            assert row["n_given"] == row["n"]
            assert row["sr_at_5"] is not None
        else:
            assert row["n_given"] == left
            assert row["sr_at_5"] is row["auroc"] is row["attack_success_rate"] is row["classifier_accuracy"] is None
        left -= row["n_won_first"] or 0
    assert left == only(found, attack=WORST)["n_right"] - only(found, attack=WORST)["n_won_first"]
    (cascade,) = [table for table in found.tables if table.title.startswith("The cascade")]
    hinged = only(found, attack="hinged")
    assert cascade.rows[0][cascade.header.index("hinged")] == f"{hinged['n_won_first']} of {hinged['n_given']}"
    (rates,) = [table for table in found.tables if table.title.startswith("SR@5: of the images")]
    assert "hinged" not in rates.header
    assert "need `--mode table`" in found.tables[0].note
    assert all("--mode" not in table.note for table in found.tables[1:])
    assert found.meta["most_passes"][0] >= only(found, attack=WORST)["forward_passes"]


@pytest.mark.slow
def test_a_cascade_is_repeated_from_what_is_kept(finished, tmp_path, monkeypatch):
    copy = copy_of(finished, tmp_path)
    monkeypatch.setattr("experiments.white_box.attacker.BLOCK", 2)
    small = {"steps": 2, "curve_images": 0, "detectors": ["id"], "mode": "worst", "suite_attacks": ["hinged", "square"]}
    first = run(copy, images=4, **small)
    blocks = {path.name for path in (copy / "report/white_box").iterdir()}
    more = run(copy, images=8, **small)
    assert blocks - {path.name for path in (copy / "report/white_box").iterdir()} == set()

    def fail(*_, **__):
        pytest.fail("an attack was run again")

    monkeypatch.setattr("attacks.Attack.report", fail)
    assert run(copy, images=4, **small).rows == first.rows
    assert run(copy, images=8, **small).rows == more.rows


@pytest.mark.slow
def test_a_preset_says_what_it_costs_before_it_runs_and_options_replace_its_own(finished, tmp_path, capsys):
    copy = copy_of(finished, tmp_path)
    study = study_of(copy, ["id"])
    found = white_box(study, images=4, preset="quick", steps=2, resamples=20)
    assert (found.meta["preset"], found.meta["mode"], found.meta["steps"]) == ("quick", "worst", 2)
    assert {row["attack"] for row in found.rows} - PAPERS == {"hinged", "hinged_textured", "noise", WORST}
    assert found.meta["curves"] == found.meta["prices"] == []
    (few,) = [flag for flag in found.flags if flag.name == "Few attacks"]
    assert few.raised
    assert few.sentence.startswith("Beside the paper's attacks and noise only hinged, hinged_textured ran: a low")
    forward, backward = found.meta["most_passes"]
    # four alternations, one with the map held, of 5, 5, 5 and 2 steps, Metzen's 5, and two hinged walks to four goals
    assert (forward, backward) == (2 * (5 + 5 + 2) + 3 * 5 + 6 + 2 * (4 * 3 + 1), 2 * (5 * 3 + 2) + 10 + 2 * 4 * 2)
    assert f"at most {forward} passes forward and {backward} backward for an image" in capsys.readouterr().out


@pytest.mark.slow
def test_the_suite_in_l2_keeps_an_l2_budget(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    small = {"images": 16, "steps": 2, "curve_images": 4, "detectors": ["id"], "norm": "l2"}
    found = run(copy, **small, epsilon=1.5)
    assert found.protocol == "white-box-l2"
    attacks = {row["attack"] for row in found.rows}
    assert not attacks & {"alternating", "alternating_long", "alternating_aimed"}
    assert {
        "hinged",
        "hinged_long",
        "hinged_apgd",
        "selective",
        "orthogonal",
        "square",
        "metzen",
        "noise",
        WORST,
    } <= attacks
    lengths = [row["l2"] for row in found.rows if row["l2"] is not None]
    assert 1 < max(lengths) <= 1.5 + 1e-5
    (budget,) = [flag for flag in found.flags if flag.name.startswith("Box and budget")]
    assert budget.raised is False
    assert "Largest L2 change" in budget.sentence
    assert "without the alternations, which move by signs, within L-inf only" in found.tables[0].note
    assert max(each["at"] for each in found.meta["curves"] if each["across"] == "epsilon") == 28
    assert "L2 budget 1.5" in found.finding
    own = run(copy, **(small | {"curve_images": 0, "suite_attacks": ["hinged"]}))
    assert 0 < own.meta["epsilon"] < 28
    assert "the median of DDN on" in own.tables[0].note


@pytest.mark.slow
def test_another_epsilon_is_attacked_anew(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    small = {"images": 4, "steps": 1, "curve_images": 0, "detectors": ["id"], "suite_attacks": ["hinged", "square"]}
    run(copy, **small)
    again = run(copy, **small, epsilon=0.02)
    assert max(row["linf"] for row in again.rows if row["linf"] is not None) <= 0.02 + 1e-6


@pytest.mark.slow
def test_the_paper_needs_no_whole_suite(finished, tmp_path):
    file = tmp_path / "copy" / "pipeline.yaml"
    copy = copy_of(finished, tmp_path)
    text = file.read_text().replace("seeds:\n- 0\n", "seeds:\n- 0\n- 1\n")
    file.write_text(text)
    for name in ("id", "spd"):
        folder = copy / "detectors" / name / "fgsm"
        (folder / "seed_1").mkdir()
        (folder / "seed_1" / "model.ckpt").write_bytes((folder / "seed_0" / "model.ckpt").read_bytes())
    small = {"images": 4, "steps": 1, "curve_images": 0, "suite_attacks": ["transfer"], "detectors": ["id", "spd"]}
    found = run(copy, **small, suite_seeds=1)
    papers = {"alternating", "alternating_held", "alternating_long", "metzen"}
    assert {row["attack"] for row in rows_of(found, seed=1)} == papers | {"alternating_literal"}
    assert "transfer" in {row["attack"] for row in rows_of(found, seed=0)}
    assert "the worst case on seed 0" in found.tables[0].note


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": 2.0}, "epsilon must be an L-inf budget above 0 and at most 1, got 2.0"),
        ({"images": 0}, "images must be at least 1, got 0"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"goals": -1}, "goals must be at least 0, got -1"),
        ({"suite_attacks": ["hingd"]}, "suite_attacks must be some of hinged, .*; got hingd. Did you mean 'hinged'?"),
        ({"norm": "l2", "epsilon": -1.0}, "epsilon must be an L2 budget above 0 and finite, got -1.0"),
        ({"seeds": [7]}, r"seeds must be different ones of the run's \[0\], got \[7\]"),
        ({"seeds": [0, 0]}, r"seeds must be different ones of the run's \[0\], got \[0, 0\]"),
        ({"seeds": [0], "detector": "a.B"}, "--detector attacks that one only: leave out seeds"),
        ({"resamples": 0}, "resamples must be at least 1, got 0"),
        ({"curve_images": -1}, "curve_images must be at least 0, got -1"),
        ({"trained_on": "bim"}, "trained_on: unknown training attack 'bim'. Accepted: fgsm"),
        ({"detectors": ["xyz"]}, "unknown detector 'xyz'. Accepted: id, spd, max_softmax, mask_area, .*"),
        ({"detectors": ["sdp"]}, "unknown detector 'sdp'. Did you mean 'spd'?"),
        ({"detectors": ["spd"], "detector": "a.B"}, "--detector attacks that one only: leave out detectors"),
        ({"detectors": ["nowhere.Net"]}, "class path 'nowhere.Net' cannot be imported: No module"),
        ({"trained_on": "fgms"}, "trained_on: unknown training attack 'fgms'. Did you mean 'fgsm'?"),
        ({"classifier": "a.B"}, "--classifier goes with --detector"),
        ({"detector": "spd"}, r"--detector is for a detector of your own: give --detectors '\[spd\]'"),
        ({"detector": "nowhere.Net"}, "class path 'nowhere.Net' cannot be imported: No module"),
        ({"detector": f"{__name__}.NUMBER"}, "NUMBER cannot be called: give a class path"),
        ({"detector": f"{__name__}.fails"}, "fails cannot be built .KeyError"),
        (
            {"detector": f"{__name__}.small_net"},
            "small_net does not take the run's images .RuntimeError: .*shapes",
        ),
        (
            {"detector": f"{__name__}.Asks", "classifier": f"{__name__}.five"},
            r"but the data need logits \(1, 10\)",
        ),
        ({"detector": f"{__name__}.needs_more"}, "needs depth as well, but is given classifier, saliency, second only"),
        (
            {"detector": f"{__name__}.always_nan"},
            r"Answers gives NaN or an infinite score for (\d+) of \1 clean images. .* more than 5% false positives",
        ),
        (
            {"detector": f"{__name__}.a_column"},
            r"must give one score per image, shape \((\d+),\); it gave shape \(\1, 1\): return one",
        ),
        ({"detector": f"{__name__}.a_list"}, "gives a list: it must give a tensor of real scores, one for each image"),
        ({"detector": f"{__name__}.complex_numbers"}, "gives complex numbers: it must give a tensor of real scores"),
        ({"detector": f"{__name__}.on_meta"}, r"gives scores without values \(device meta\): it must give a tensor"),
        ({"detector": "attacks.FGSM"}, "makes a FGSM: it must make a torch.nn.Module"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(finished, changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        run(finished, **changes)


def test_a_missing_detector_names_the_command(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    (copy / "detectors/spd/fgsm/seed_0/model.ckpt").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks detectors/spd/fgsm/seed_0.*python train.py pipeline"):
        run(copy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "classifier"), [("Brightness", ["--classifier", f"{__name__}.net"]), ("Contrast", [])]
)
def test_a_detector_of_ones_own_gets_the_same_benchmark(finished, tmp_path, name, classifier):
    copy = copy_of(finished, tmp_path)
    command = ["white-box", "--run", str(copy), "--detector", f"{__name__}.{name}", "--device", "cpu"]
    options = ["--images", "4", "--steps", "2", "--curve_images", "2", "--resamples", "20"]
    suite = ["--suite_attacks", "[hinged, square]"]
    assert evaluate.main([*command, *classifier, *options, *suite]) == 0
    contents = json.loads((copy / "report" / f"white-box-{name.lower()}.json").read_text())
    assert {row["detector"] for row in contents["rows"]} == {name.lower()}
    assert not (copy / "report" / "white-box.json").exists()
    page = (copy / "report" / "report.html").read_text()
    assert f'id="white-box-{name.lower()}"' in page


@pytest.mark.slow
@pytest.mark.timeout(600)  # six detectors
def test_names_class_paths_and_checkpoints_stand_in_one_table(finished, tmp_path, capsys):
    copy = copy_of(finished, tmp_path)
    checkpoint = copy / "detectors/id/fgsm/seed_0/model.ckpt"
    paths = [str(checkpoint), "detectors.published.Mahalanobis", f"{__name__}.booleans", f"{__name__}.Brightness"]
    command = ["white-box", "--run", str(copy), "--detectors", f"[id, max_softmax, {', '.join(paths)}]"]
    small = ["--images", "4", "--steps", "2", "--curve_images", "0", "--suite_attacks", "[hinged, square]"]
    assert evaluate.main([*command, *small, "--resamples", "20", "--device", "cpu"]) == 0, capsys.readouterr().err
    contents = json.loads((copy / "report" / "white-box.json").read_text())
    same = "detectors-id-fgsm-seed-0-model"
    wanted = ["id", "max_softmax", same, "mahalanobis", "booleans", "brightness"]
    assert list(dict.fromkeys(row["detector"] for row in contents["rows"])) == wanted
    auroc = {row["detector"]: row["auroc"] for row in contents["rows"] if row["attack"] == "hinged"}
    assert auroc["id"] == auroc[same] is not None
    tried = {row["attack"] for row in contents["rows"] if row["detector"] == "booleans"}
    assert tried == {*(f"{walk}_remedied" for walk in WALKS), "square", "noise", WORST}
    assert "hinged" in {row["attack"] for row in contents["rows"] if row["detector"] == "mahalanobis"}
    assert len(contents["meta"]["remarks"]) == 1
    assert contents["meta"]["options"]["detectors"] == ["id", "max_softmax", *paths]


def test_a_name_that_is_taken_gets_a_number(finished):
    study = study_of(finished, ["detectors.ID", f"{__name__}.Brightness", "tests.experiments.stand_ins.Brightness"])
    assert [contender.name for contender in study.own] == ["id-2", "brightness", "brightness-2"]


@pytest.mark.slow
def test_a_checkpoint_as_ones_own_gives_what_the_run_gives(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    path = copy / "detectors/id/fgsm/seed_0/model.ckpt"
    small = {"images": 4, "steps": 2, "curve_images": 0, "suite_attacks": ["hinged", "selective", "square"]}
    own = run(copy, **small, detector=str(path))
    theirs = run(copy, **small, detectors=["id"])
    assert own.protocol == "white-box-detectors-id-fgsm-seed-0-model"
    for row in own.rows:
        if row["attack"] not in {WORST, "transfer"}:  # which needs another seed
            assert row["sr_at_5"] == only(theirs, detector="id", attack=row["attack"])["sr_at_5"]


def test_a_detector_is_given_what_it_takes_and_drawn_from_a_fixed_seed(finished):
    study = study_of(finished)
    first, again = (own_subject(study, f"{__name__}.Asks", None).contender.module.detector for _ in range(2))
    assert first.classifier is study.classifier
    assert first.saliency is study.saliency
    assert torch.equal(first.weights.weight, again.weights.weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("booleans", "Answers gives booleans, read as scores 0 and 1, without a gradient"),
        ("numpy_inside", "Answers takes no images that ask for a gradient (numpy inside?)"),
        ("array", "Answers gives a numpy array without a gradient"),
        ("detached", "Answers gives scores without a gradient"),
    ],
)
def test_a_detector_without_a_gradient_is_attacked_without_one_and_that_is_said(finished, tmp_path, capsys, name, odd):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="no gradient leads")
        found = run(copy_of(finished, tmp_path), detector=f"{__name__}.{name}", curve_images=4, epsilon=0.3)
    estimated = {*(f"{walk}_remedied" for walk in WALKS)}
    assert {row["attack"] for row in found.rows} == {*estimated, "square", "hop_skip_jump", "noise", WORST}
    assert only(found, attack=WORST)["sr_at_5"] >= only(found, attack="square")["sr_at_5"] > 0
    said = f"{odd}: attacks along its gradient are left out; those run that need none, or estimate it."
    assert found.meta["remarks"] == [said]
    assert said in capsys.readouterr().out
    assert said in found.tables[0].note
    assert found.meta["curves"] == []


@pytest.mark.slow
def test_scores_that_are_nan_count_as_rejected_and_are_flagged(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    found = run(copy, detector=f"{__name__}.sometimes_nan", curve_images=0, epsilon=0.3, suite_attacks=["hinged"])
    (flag,) = [flag for flag in found.flags if flag.name == "Scores that are NaN or infinite"]
    assert flag.raised
    assert flag.sentence.startswith("sometimes_nan gives them for 0 of the clean images and ")
    assert "hinged" in {row["attack"] for row in found.rows}  # gradients work, and find what is accepted
    noise = only(found, attack="noise")
    assert noise["attack_success_rate"] >= noise["sr_at_5"]


@pytest.mark.slow
def test_detectors_for_transfer_look_through_the_second_classifier(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    study = study_of(copy)
    found = {each.name: each for each in subjects(study, "fgsm", [0])}
    for name in ("max_softmax", "mask_area", "disagreement"):
        assert over_second_classifier(study, found[name]).contender.module.classifier is study.second
    assert over_second_classifier(study, found["second_classifier"]) is None  # it is that classifier already
    assert over_second_classifier(study, found["spd"]) is None  # there is no other seed
    (copy / "pipeline.yaml").write_text(
        (copy / "pipeline.yaml").read_text().replace("seeds:\n- 0\n", "seeds:\n- 0\n- 1\n")
    )
    other = copy / "detectors/spd/fgsm/seed_1"
    other.mkdir()
    (other / "model.ckpt").write_bytes((copy / "detectors/spd/fgsm/seed_0/model.ckpt").read_bytes())
    study = study_of(copy)
    made = over_second_classifier(study, next(each for each in subjects(study, "fgsm", [0]) if each.name == "spd"))
    assert made.contender.module.classifier is made.model is study.second
    logits, _ = made.contender.module.joint(torch.rand(2, 1, 28, 28))
    assert logits.shape == (2, 10)


def test_detectors_retrained_from_another_start_are_no_after_of_these(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    retrained = copy / "retrained/spd/seed_0"
    retrained.mkdir(parents=True)
    (retrained / "model.ckpt").write_bytes((copy / "detectors/spd/fgsm/seed_0/model.ckpt").read_bytes())
    study = study_of(copy, ["spd"])
    assert start_of(study.run) == "fgsm"
    assert {each.phase for each in subjects(study, "fgsm", [0])} == {"before", "after"}
    study.run.settings = dataclasses.replace(study.run.settings, train_on=["bim", "fgsm"])
    assert {each.phase for each in subjects(study, "fgsm", [0])} == {"before"}


def test_files_and_flags(found, tmp_path):
    write_result(found, tmp_path)
    assert (tmp_path / "white-box.png").read_bytes().startswith(b"\x89PNG")
    assert "SR@5" in (tmp_path / "white-box.md").read_text()
    names = [flag.name for flag in found.flags]
    assert len(names) == len(set(names))
    (budget,) = [flag for flag in found.flags if flag.name.startswith("Box and budget")]
    assert budget.raised is False
    assert not any(flag.raised for flag in found.flags if flag.name == "Few attacks")
    (broken,) = [flag for flag in found.flags if flag.name.startswith("Self-test")]
    assert "images that fool the classifier" in broken.sentence
    assert ID.__name__.lower() in found.finding
