"""evaluate.py enhance: pixels in a map's order, statistics, verdicts, and the whole on a small run."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import auc

import evaluate
from attacks import FGSM, WarmCarliniWagnerL2
from experiments import results
from experiments.bootstrap import Resampling
from experiments.enhance.answer import said
from experiments.enhance.classes import NATURAL, OTHER, SAME, class_pairs
from experiments.enhance.findings import above, all_above
from experiments.enhance.measured import LABEL_LEAK, PERTURBATION
from experiments.enhance.pixels import filling, perturbed, ranks
from experiments.enhance.setting import ALWAYS, ENHANCED, PLAIN, RANDOM, prepare
from experiments.enhance.statistics import Statistic, mean_of, recovery_of
from experiments.evaluation import _parser
from experiments.protocols.enhance import enhance
from experiments.protocols.registry import PROTOCOLS
from saliency import LIME, Enhanced, GradCAM, Gradient
from saliency.contrast import similarity_ratio
from saliency.maps import runner_up
from tests.data.voc import write_voc
from tests.experiments.studies import copy_of, study_of

CONFIG = Path(evaluate.__file__).parent / "configs/explain/enhance.yaml"
METHODS = {"grad_cam": GradCAM(), "gradient": Gradient()}
SHARES = [0.0, 0.1, 0.3]


@pytest.fixture(scope="module")
def options():
    return {"images": 30, "methods": METHODS, "shares": SHARES, "resamples": 50}


@pytest.fixture(scope="module")
def found(finished, options):
    return enhance(study_of(finished, **options))


@pytest.fixture(scope="module")
def setting(finished, options):
    return prepare(study_of(finished, **options))


def rows_of(found, **wanted):
    return [row for row in found.rows if all(row[key] == value for key, value in wanted.items())]


def statistic(value, spread=0.01):
    return Statistic(value, torch.linspace(value - spread, value + spread, 101), 10)


def test_pixels_rank_by_the_map_and_ties_by_chance():
    maps = torch.tensor([[3.0, 5.0, 4.0], [1.0, 1.0, 1.0]]).view(2, 1, 1, 3)
    assert ranks(maps)[0].tolist() == [[2, 0, 1]]
    assert sorted(ranks(maps)[1].flatten().tolist()) == [0, 1, 2]
    tied = ranks(torch.zeros(40, 1, 1, 8))
    assert torch.equal(tied, ranks(torch.zeros(40, 1, 1, 8)))
    first = (tied == 0).flatten(1).float().mean(0)
    assert ((first > 0.02) & (first < 0.35)).all()  # each place comes first now and then
    assert ranks(maps[:0]).shape == (0, 1, 3)


@given(st.integers(0, 10_000))
def test_ranks_are_scipys_where_there_are_no_ties(seed):
    maps = torch.randn(3, 1, 4, 5, generator=torch.Generator().manual_seed(seed))
    expected = rankdata(-maps.flatten(1).numpy(), axis=1, method="ordinal") - 1
    assert ranks(maps).flatten(1).tolist() == expected.tolist()


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.1, 2), (0.5, 8), (1, 16)])
def test_the_first_pixels_are_replaced_in_all_channels(share, count):
    images, fillings = torch.rand(2, 3, 4, 4), torch.full((2, 3, 4, 4), 2.0)
    places = ranks(torch.rand(2, 1, 4, 4))
    changed = perturbed(images, places, share, fillings)
    replaced = changed == 2
    assert torch.equal(replaced[:, 0], places < count)
    assert torch.equal(replaced.all(1), replaced.any(1))
    assert torch.equal(changed[~replaced], images[~replaced])


def test_what_pixels_become():
    images = torch.rand(2, 3, 8, 10)
    mean = filling(images, "mean")
    assert torch.allclose(mean[1, 2], images[1, 2].mean().expand(8, 10))
    noise = filling(images, "noise")
    assert torch.equal(noise, filling(1 - images, "noise"))
    assert not torch.equal(noise[0], noise[1])
    flat = torch.full((1, 1, 9, 9), 0.3)
    assert torch.allclose(filling(flat, "blur"), flat)
    assert filling(images, "blur").var() < 0.8 * images.var()
    for fill in ("mean", "noise", "blur"):
        assert filling(images, fill).shape == images.shape
        assert filling(images[:0], fill).shape == (0, 3, 8, 10)


def test_statistics_of_a_curve():
    right = torch.tensor([[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], dtype=torch.bool)
    shares = (0.0, 0.1, 0.3, 0.5)
    found = recovery_of(right, shares, Resampling(4, 400))
    assert [each.value for each in found.accuracy] == [0, 0.5, 0.75, 0.25]
    assert (found.best.value, found.best_share) == (0.75, 0.3)
    assert found.area.value == pytest.approx(auc(shares, [0, 0.5, 0.75, 0.25]) / 0.5)
    assert (found.best.replicates >= torch.stack([each.replicates for each in found.accuracy]).amax(0)).all()
    assert found.area.replicates.mean().item() == pytest.approx(found.area.value, abs=0.03)
    same = found.area.minus(found.area).interval
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_mean_knows_what_is_not_defined():
    values = torch.tensor([1.0, torch.nan, 3.0])
    found = mean_of(values, Resampling(3, 200))
    assert (found.value, found.n) == (2, 2)
    known = found.replicates[~found.replicates.isnan()]
    assert 1 <= known.min() <= known.max() <= 3
    assert len(known) < 200  # the resamples of the undefined one alone
    assert mean_of(torch.full((3,), torch.nan), Resampling(3, 20)) is None


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.5, 0.6], "holds"),
        ([0.5, 0.1], "not decided"),
        ([0.5, 0.1, -0.5], "does not hold"),
        ([-0.5], "does not hold"),
        ([], "not decided"),
    ],
)
def test_a_claim_about_all_needs_all(values, verdict):
    assert all_above([statistic(value, spread=0.2) for value in values], 0) == verdict


def test_verdicts_are_by_the_interval():
    assert [above(statistic(value, 0.1), 0.9) for value in (1.0, 0.95, 0.7)] == [
        "holds",
        "not decided",
        "does not hold",
    ]
    assert [said(each) for each in ("holds", "does not hold", "not decided")] == [
        "holds",
        "does not hold",
        "is not decided",
    ]


def test_the_images_that_count(finished, setting):
    labels, every = setting.labels, setting.explained
    assert 0 < len(setting) <= setting.right <= 30
    assert torch.equal(setting.clean.predictions, labels)
    assert (setting.adversarial.predictions != labels).all()
    assert setting.success.value == pytest.approx(len(setting) / setting.right)
    assert setting.attack == WarmCarliniWagnerL2()  # the run has none of Carlini and Wagner
    assert set(every.methods) == {*METHODS, *ALWAYS}
    expected = WarmCarliniWagnerL2()(every.classifier, setting.clean.images)
    assert torch.allclose(setting.adversarial.images, expected, atol=1e-5)
    change, noise = (each.images - setting.clean.images for each in (setting.adversarial, setting.noise))
    assert (noise.flatten(1).norm(dim=1) <= change.flatten(1).norm(dim=1) + 1e-5).all()
    named = prepare(study_of(finished, images=30, methods=METHODS, attack="fgsm"))
    assert (named.attack_name, named.attack) == ("fgsm", FGSM(epsilon=0.1))


def test_lime_is_quicker_where_no_methods_are_given(finished):
    every = prepare(study_of(finished, images=20)).explained
    assert every.methods["lime"] == LIME(samples=150)
    given = prepare(study_of(finished, images=20, methods={"lime": LIME(samples=70)})).explained
    assert given.methods["lime"] == LIME(samples=70)


@pytest.mark.parametrize(("name", "method"), [(ENHANCED, Enhanced()), ("gradient", Gradient())])
@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_accuracy_recovered_is_recomputed_image_by_image(found, setting, name, method, fill):
    classifier, adversarial = setting.explained.classifier, setting.adversarial
    for share in SHARES:
        right = 0
        for row, image in enumerate(adversarial.images):
            maps = method(classifier, image[None], adversarial.predictions[row : row + 1])
            chance = torch.randperm(maps.numel(), generator=torch.Generator().manual_seed(row)).tolist()
            values = maps.flatten().tolist()
            first = sorted(chance, key=lambda place, values=values: -values[place])[: round(share * maps.numel())]
            changed = image.clone().flatten(1)
            changed[:, first] = filling(image[None], fill)[0].flatten(1)[:, first]
            right += int(classifier(changed.view_as(image)[None]).argmax()) == int(setting.labels[row])
        (row,) = rows_of(found, part="recovered", map=name, fill=fill, share=share, measure="accuracy")
        assert row["value"] == pytest.approx(right / len(setting), abs=1.01 / len(setting))
        assert row["n"] == len(setting)


def test_no_accuracy_is_left_before_anything_is_perturbed(found):
    assert {row["value"] for row in rows_of(found, part="recovered", share=0.0, measure="accuracy")} == {0}
    assert {row["value"] for row in rows_of(found, part="clean", share=0.0, measure="accuracy")} == {1}


def test_oracles_are_told_and_not_ranked(found, setting):
    assert {row["map"] for row in rows_of(found, part="recovered")} == {*METHODS, *ALWAYS, LABEL_LEAK, PERTURBATION}
    assert {row["against"] for row in rows_of(found, part="lead")} == {*METHODS, *ALWAYS} - {ENHANCED}
    rivals = runner_up(setting.adversarial.logits, setting.adversarial.predictions)
    assert found.meta["rivals_true"] == int((rivals == setting.labels).sum())
    if (rivals == setting.labels).all():
        own, leak = (rows_of(found, part="recovered", map=name, measure="best")[0] for name in (ENHANCED, LABEL_LEAK))
        assert own["value"] == leak["value"]
    ranked = [row[0] for row in found.tables[0].rows if "oracle" not in row[0]]
    assert len(ranked) == len({*METHODS, *ALWAYS})


def test_leads_are_differences_of_the_table(found):
    areas = {r["map"]: r["value"] for r in rows_of(found, part="recovered", fill="mean", measure="mean over shares")}
    for row in rows_of(found, part="lead", measure="mean over shares"):
        assert row["value"] == pytest.approx(areas[ENHANCED] - areas[row["against"]])
        assert row["low"] <= row["value"] <= row["high"]


def test_reactions_are_scipys_spearman(found, setting):
    method, model = Gradient(), setting.explained.classifier
    versions = [
        (setting.clean, setting.clean),
        (setting.adversarial, setting.adversarial),
        (setting.clean, setting.adversarial),
        (setting.noise, setting.noise),
    ]
    maps = [method(model, version.images, classes.predictions).flatten(1) for version, classes in versions]
    for other, measure in zip(maps[1:], ("attack", "class alone", "noise"), strict=True):
        expected = [spearmanr(one, two).statistic for one, two in zip(maps[0], other, strict=True)]
        (row,) = rows_of(found, part="reaction", map="gradient", measure=f"Spearman, {measure}")
        assert row["value"] == pytest.approx(sum(expected) / len(expected), abs=1e-4)
    assert RANDOM not in {row["against"] for row in rows_of(found, part="reaction")}


def test_class_pairs_by_hand(setting):
    pairs = class_pairs(setting)
    assert set(pairs.compared) == {(m, s) for m in (PLAIN, "gradient") for s in (SAME, OTHER, NATURAL)}
    every = setting.explained
    natural = pairs.compared["gradient", NATURAL]
    rivals = runner_up(every.logits, every.predictions)
    maps = [Gradient().attributions(every.classifier, every.images, each) for each in (every.predictions, rivals)]
    assert natural.values["Sim-Ratio, s > 0"].tolist() == pytest.approx(similarity_ratio(*maps).tolist(), abs=0.01)
    same, other = (pairs.compared[PLAIN, sample] for sample in (SAME, OTHER))
    assert len(same.values["Avg-Diff"]) == pairs.images
    assert len(other.values["Avg-Diff"]) == pairs.images // 2
    assert pairs.chance == pytest.approx(0.2)
    count = 2 * (pairs.images // 2)
    expected = same.values["Sim-Ratio, s > 0"][:count].mean() - other.values["Sim-Ratio, s > 0"].mean()
    assert pairs.more_alike.value == pytest.approx(expected.item())


def test_photographs_of_voc_take_the_place_of_composites(finished, options, tmp_path):
    box = (20, 10, 40, 30)
    write_voc(tmp_path, {"a": [("3", box), ("5", box), ("7", box)], "b": [("1", box), ("2", box)]})
    pairs = class_pairs(prepare(study_of(finished, **options, voc=str(tmp_path))))
    assert (pairs.images, pairs.source) == (2, "Pascal VOC 2012, validation")
    same, other = (pairs.compared[PLAIN, sample] for sample in (SAME, OTHER))
    assert len(same.values["Avg-Diff"]) == 3 + 1
    assert len(other.values["Avg-Diff"]) == 1
    by_image = same.by_group["Avg-Diff"].tolist()
    assert by_image == pytest.approx([same.values["Avg-Diff"][:3].mean().item(), same.values["Avg-Diff"][3].item()])


def test_every_finding_has_a_verdict_and_the_answer_says_it(found):
    table = next(each for each in found.tables if each.title == "The paper's findings")
    verdicts = {row[1]: row[2] for row in table.rows}
    assert len(verdicts) == 9
    assert set(verdicts.values()) <= {"holds", "does not hold", "not decided"}
    most = next(verdict for text, verdict in verdicts.items() if "than of all other maps" in text)
    assert f"more than all others {said(most)}" in found.finding
    own = rows_of(found, part="recovered", map=ENHANCED, fill="mean", measure="mean over shares")[0]
    assert f"{own['value']:.3f} [{own['low']:.3f}, {own['high']:.3f}]" in found.finding


def test_flags_are_about_the_numbers(found, setting):
    flags = {flag.name: flag for flag in found.flags}
    assert not flags["Enhanced maps of a class and its rival share no value"].raised
    assert not flags["Maps are deterministic"].raised
    assert flags["The attack succeeds"].raised == (len(setting) / setting.right < 0.9)
    best = max(
        (r for r in rows_of(found, part="recovered", fill="mean", measure="mean over shares") if "," not in r["map"]),
        key=lambda row: row["value"] if row["map"] != PERTURBATION else -1,
    )
    assert flags["Random is not best"].raised == (best["map"] == RANDOM)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"shares": [0.1]}, r"at least two ascending numbers in \[0, 1\], got \[0.1\]"),
        ({"shares": [0.2, 0.1]}, "ascending"),
        ({"shares": [0, 1.5]}, r"ascending numbers in \[0, 1\]"),
        ({"attack": "cw"}, "the run has no attack 'cw': it has fgsm, none"),
        ({"attack": "none"}, "is fooled by none .*: name a stronger attack by --attack"),
        ({"images": 0}, "images must be at least 1, got 0"),
        ({"voc": "nowhere"}, "Pascal VOC 2012 is not in nowhere"),
    ],
)
def test_wrong_options_are_told(finished, options, wrong, told):
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        enhance(study_of(finished, **(options | wrong)))


def test_the_command_finds_the_same_again(finished, found, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    methods = {"grad_cam": {"class_path": "saliency.GradCAM"}, "gradient": {"class_path": "saliency.Gradient"}}
    options = {"images": 30, "shares": SHARES, "resamples": 50, "methods": methods}
    given = [text for name, value in options.items() for text in (f"--{name}", json.dumps(value))]
    assert evaluate.main(["enhance", "--run", str(run), "--device", "cpu", *given]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Accuracy recovered (Figure 4)" in told
    contents = results.read(run / "report/enhance.json")
    assert contents["rows"] == found.rows
    assert contents["report"]["finding"] == found.finding
    assert contents["meta"]["fill"] == "mean"
    names = ["enhance.png", *(f"enhance_{name}.png" for name in ("classes", "versions", "outcomes", "reaction"))]
    assert contents["report"]["figures"] == names
    assert [(run / "report" / name).read_bytes() for name in names] == list(found.figures.values())
    assert all(list(row) == list(found.rows[0]) for row in found.rows)


def test_another_fill_is_refused(finished):
    assert evaluate.main(["enhance", "--run", str(finished), "--fill", "black"]) == 2


def test_the_file_of_options_holds_the_defaults():
    parsed = _parser().parse_args(["enhance", "--run", "runs/digits", "--config", str(CONFIG)])["enhance"]
    assert {name: parsed[name] for name in PROTOCOLS["enhance"].options} == {
        name: option.default for name, option in PROTOCOLS["enhance"].options.items()
    }
    written = {line.split(":")[0] for line in CONFIG.read_text().splitlines() if not line.startswith("#")}
    assert written == set(PROTOCOLS["enhance"].options)
