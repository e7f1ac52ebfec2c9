"""evaluate.py enhance: pixels in a map's order, statistics, verdicts, and the whole on a small run."""

import json
import re
from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import auc
from torch import nn

import evaluate
from attacks import BIM, FGSM, WarmCarliniWagnerL2
from experiments.evaluation.command import _parser
from experiments.explanation import evidence
from experiments.explanation.enhance import attacked_images, grids, shown_images
from experiments.explanation.enhance import measure as measuring
from experiments.explanation.enhance.attacked_images import ALWAYS, chosen_attack, of_kind, prepare, ready
from experiments.explanation.enhance.charts import looks_of
from experiments.explanation.enhance.classes import class_pairs
from experiments.explanation.enhance.findings import finding, judge
from experiments.explanation.enhance.flags import flags
from experiments.explanation.enhance.measure import base_maps, curve_of, filling, map_statistics, perturbed, ranks
from experiments.explanation.enhance.multi_label import MultiLabel, several_classes
from experiments.explanation.enhance.names import (
    ENHANCED,
    LABEL_LEAK,
    NATURAL,
    OTHER,
    PERTURBATION,
    PLAIN,
    RANDOM,
    SAME,
)
from experiments.explanation.enhance.protocol import enhance
from experiments.explanation.enhance.tables import rows_of as rows_from
from experiments.explanation.enhance.tables import tables
from experiments.explanation.subject import Explained, explained
from experiments.results.bootstrap import Interval, PlainStatistic, Resampling, clopper_pearson
from experiments.results.result import read_result
from saliency import LIME, Enhanced, GradCAM, Gradient, GuidedBackprop
from tests.data.pictures import write
from tests.experiments.explanation.enhance.voc import write_voc
from tests.experiments.studies import copy_of, study_of

CONFIG = Path(evaluate.__file__).parent / "configs/explain/enhance.yaml"
METHODS = {"grad_cam": GradCAM(), "gradient": Gradient()}
SHARES = (0.0, 0.1, 0.3)


@pytest.fixture(scope="module")
def options():
    return {"images": 30, "methods": METHODS, "shares": SHARES, "resamples": 50}


@pytest.fixture(scope="module")
def found(finished, options):
    return enhance(study_of(finished), **options)


def subject(study, methods=None, **options):
    return ready(explained(study, "enhance", methods=methods, **options), quick=methods is None)


@pytest.fixture(scope="module")
def setting(finished):
    study = study_of(finished)
    return prepare(subject(study, METHODS, images=30), chosen_attack(study, None), SHARES, "mean", 50)


@pytest.fixture(scope="module")
def everything(setting):
    return measuring.measure(setting, pairs_of(setting.explained))


def rows_of(found, **wanted):
    return [row for row in found.rows if all(row[key] == value for key, value in wanted.items())]


def statistic(value, spread=0.01):
    return PlainStatistic(value, value - spread, value + spread, 10)


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
    resampling = Resampling(4, 400)
    found = curve_of(right, shares, resampling)
    assert [each.value for each in found.record.accuracy] == [0, 0.5, 0.75, 0.25]
    assert (found.best.value, found.record.best_share) == (0.75, 0.3)
    assert found.area.value == pytest.approx(auc(shares, [0, 0.5, 0.75, 0.25]) / 0.5)
    assert torch.equal(found.best.replicates, torch.stack([resampling.mean(column) for column in right.T]).amax(0))
    assert found.area.replicates.mean().item() == pytest.approx(found.area.value, abs=0.03)
    same = found.area.minus(found.area).interval
    assert (same.value, same.low, same.high) == (0, 0, 0)


@pytest.mark.slow
def test_the_images_that_count(finished, setting):
    labels, every = setting.labels, setting.explained
    assert 0 < setting.facts.images <= setting.facts.right <= 30
    assert torch.equal(setting.clean.predictions, labels)
    assert (setting.adversarial.predictions != labels).all()
    assert setting.facts.success.value == pytest.approx(setting.facts.images / setting.facts.right)
    assert setting.attack == WarmCarliniWagnerL2()  # the run has none of Carlini and Wagner
    assert set(every.methods) == {*METHODS, *ALWAYS}
    expected = WarmCarliniWagnerL2()(every.classifier, setting.clean.images)
    assert torch.allclose(setting.adversarial.images, expected, atol=1e-5)
    change, noise = (each.images - setting.clean.images for each in (setting.adversarial, setting.noise))
    assert (noise.flatten(1).norm(dim=1) <= change.flatten(1).norm(dim=1) + 1e-5).all()
    assert chosen_attack(study_of(finished), "fgsm") == ("fgsm", FGSM(epsilon=0.1))


@pytest.mark.slow
def test_lime_is_quicker_where_no_methods_are_given(finished):
    every = subject(study_of(finished), images=20)
    assert every.methods["lime"] == LIME(samples=150)
    given = subject(study_of(finished), {"lime": LIME(samples=70)}, images=20)
    assert given.methods["lime"] == LIME(samples=70)


@pytest.mark.slow
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
        assert row["value"] == pytest.approx(right / setting.facts.images, abs=1.01 / setting.facts.images)
        assert row["n"] == setting.facts.images


def test_no_accuracy_is_left_before_anything_is_perturbed(found):
    assert {row["value"] for row in rows_of(found, part="recovered", share=0.0, measure="accuracy")} == {0}
    assert {row["value"] for row in rows_of(found, part="clean", share=0.0, measure="accuracy")} == {1}


def test_oracles_are_told_and_not_ranked(found, setting):
    assert {row["map"] for row in rows_of(found, part="recovered")} == {*METHODS, *ALWAYS, LABEL_LEAK, PERTURBATION}
    assert {row["against"] for row in rows_of(found, part="lead")} == {*METHODS, *ALWAYS} - {ENHANCED}
    second = [sorted(logits.tolist())[-2] for logits in setting.adversarial.logits]
    true = [logits[label].item() for logits, label in zip(setting.adversarial.logits, setting.labels, strict=True)]
    assert found.meta["rivals_true"] == sum(one == two for one, two in zip(second, true, strict=True))
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
    for other, name in zip(maps[1:], ("attack", "class alone", "noise"), strict=True):
        expected = [spearmanr(one, two).statistic for one, two in zip(maps[0], other, strict=True)]
        (row,) = rows_of(found, part="reaction", map="gradient", measure=f"Spearman, {name}")
        assert row["value"] == pytest.approx(sum(expected) / len(expected), abs=1e-4)
    assert RANDOM not in {row["against"] for row in rows_of(found, part="reaction")}


def pairs_of(every, voc=None):
    return class_pairs(every, several_classes(every.images, every.labels, every.classes, voc), 50)


def test_class_pairs_by_hand(setting):
    """Three images of two classes: each with itself under its classes, the first with the second under one class."""
    every, classes = setting.explained, ((0, 1), (2, 3), (4, 5))
    images = every.images[:3]
    pairs = class_pairs(every, MultiLabel(images, classes, "made up"), 50)
    assert set(pairs.compared) == {(m, s) for m in (PLAIN, "gradient") for s in (SAME, OTHER, NATURAL)}
    assert (pairs.images, pairs.source, pairs.chance) == (3, "made up", pytest.approx(0.2))
    ratios = {}
    for name, method in {PLAIN: GuidedBackprop(), "gradient": Gradient()}.items():
        passed = {
            (row, known): method.attributions(every.classifier, images[row : row + 1], torch.tensor([known])).numpy()
            > 0
            for row, known in [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5), (1, 0)]
        }
        same = [(passed[row, one] == passed[row, two]).mean() for row, (one, two) in enumerate(classes)]
        ratios[name] = same, [(passed[0, 0] == passed[1, 0]).mean()]
        for sample, expected in zip((SAME, OTHER), ratios[name], strict=True):
            found = pairs.compared[name, sample]
            assert found.values["Sim-Ratio, s > 0"] == pytest.approx(expected, abs=0.003)
            assert found.means["Sim-Ratio, s > 0"].value == pytest.approx(sum(expected) / len(expected), abs=0.003)
    same, other = ratios[PLAIN]
    assert pairs.more_alike.value == pytest.approx((same[0] + same[1]) / 2 - other[0], abs=0.005)
    assert pairs.more_alike.n == 1
    natural = pairs.compared["gradient", NATURAL].values["Sim-Ratio, s > 0"]
    two = every.logits[7].argsort(descending=True)[:2]
    first, second = (Gradient().attributions(every.classifier, every.images[7:8], each[None]) > 0 for each in two)
    assert natural[7] == pytest.approx((first == second).float().mean().item(), abs=0.003)


@pytest.mark.slow
def test_without_two_images_of_different_classes_there_is_no_figure_1(everything, setting):
    every = setting.explained
    alike = replace(every, labels=torch.zeros_like(every.labels))
    assert pairs_of(alike) is None
    without = replace(everything, pairs=None)
    judged = judge(without)
    assert [each.verdict for each in judged.values()][:3] == ["not decided"] * 3
    assert len(judged) == 9
    assert "not compared: all images have the same class" in finding(without, judged)
    assert {row["part"] for row in rows_from(without)} == {row["part"] for row in rows_from(everything)} - {"classes"}
    assert len(tables(without, judged)) == len(tables(everything, judged)) - 1


@pytest.mark.slow
def test_one_photograph_is_enough(finished, tmp_path):
    write(tmp_path / "one.jpg", seed=1, size=(32, 32))
    options = {"images": 1, "photographs": str(tmp_path), "size": 32, "classifier": "tests.experiments.nets.Wide"}
    found = enhance(study_of(finished), methods=METHODS, shares=SHARES, resamples=20, **options)
    assert found.meta["classes_of"] is None
    assert set(found.figures) == {"", "versions", "outcomes", "reaction"}
    assert found.finding.startswith("Nothing is decided: a verdict needs 20 images, and there are 1. ")


def test_photographs_of_voc_take_the_place_of_composites(setting, tmp_path):
    box = (20, 10, 40, 30)
    write_voc(tmp_path, {"a": [("3", box), ("5", box), ("7", box)], "b": [("1", box), ("2", box)]})
    pairs = pairs_of(setting.explained, str(tmp_path))
    assert (pairs.images, pairs.source) == (2, "Pascal VOC 2012, validation")
    same, other = (pairs.compared[PLAIN, sample] for sample in (SAME, OTHER))
    assert len(same.values["Avg-Diff"]) == 3 + 1
    assert len(other.values["Avg-Diff"]) == 1
    *of_first, of_second = same.values["Avg-Diff"]
    assert same.means["Avg-Diff"].value == pytest.approx((sum(of_first) / 3 + of_second) / 2)


def with_measured(everything, name, **changes):
    changed = replace(everything.maps[name], **changes)
    return replace(everything, maps={**everything.maps, name: changed})


def judged_as(everything, part):
    return next(each for each in judge(everything).values() if part in each.text)


@pytest.mark.slow
def test_methods_that_noise_changes_as_well_decide_nothing(everything, monkeypatch):
    monkeypatch.setattr(evidence, "FEWEST", 1)
    similar = {"noisy": statistic(0.95), "attacked": statistic(0.9)}
    for name in ("gradient", "grad_cam", PLAIN):
        everything = with_measured(everything, name, **similar)
    everything = with_measured(everything, "grad_cam", noisy=statistic(0.27), attacked=statistic(0.25))
    judged = judged_as(everything, "All other methods")
    assert judged.verdict == "holds"
    _, _, left_out = judged.statistic.partition("; left out, under noise ")
    assert left_out.startswith("grad_cam 0.270 [0.26")
    assert "," not in left_out.partition("]")[2]
    steady = with_measured(everything, "grad_cam", noisy=statistic(0.95))
    assert judged_as(steady, "All other methods").verdict == "does not hold"


def test_few_images_decide_nothing(everything, monkeypatch):
    sure = replace(everything, pairs=replace(everything.pairs, more_alike=statistic(0.5)))
    assert sure.images < evidence.FEWEST
    assert {each.verdict for each in judge(sure).values()} == {"not decided"}
    assert all(" images are too few to decide, it takes 20; " in each.statistic for each in judge(sure).values())
    monkeypatch.setattr(evidence, "FEWEST", 1)
    assert judged_as(sure, "the image's, not the network's").verdict == "holds"


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_is_the_same_for_all_images_decides_nothing(everything, monkeypatch, share):
    """Maps that are all alike bring back the same everywhere, and agree with each other in the same share of values."""
    monkeypatch.setattr(evidence, "FEWEST", 1)
    constant = statistic(share, spread=0.0)
    everything = replace(everything, pairs=replace(everything.pairs, more_alike=constant))
    everything = with_measured(everything, ENHANCED, beyond_class=constant)
    for part in ("the image's, not the network's", "not only to the class"):
        claim = judged_as(everything, part)
        assert claim.verdict == "not decided"
        assert claim.statistic.startswith("no interval, for all values are equal or at their limit: ")


def test_what_is_built_in_is_said_beside_the_verdict(everything, monkeypatch):
    monkeypatch.setattr(evidence, "FEWEST", 1)
    count = everything.images
    apart = dict.fromkeys(everything.reactions, statistic(1.4))
    everything = replace(everything, reactions=apart, rivals_true=count, exchanged=0)
    judged = judged_as(everything, "more strongly")
    assert judged.verdict == "holds"
    told = f"On {clopper_pearson(1.0, count)} of {count} images the attacked one's runner-up is the clean one's class."
    assert told in judged.statistic
    words = finding(everything, judge(everything))
    assert told in words
    assert "Its stronger reaction than that of all other methods is partly built in." in words
    assert any(told in table.note for table in tables(everything, judge(everything)))


def test_the_own_reaction_is_paired_over_images_known_in_both(everything, setting, monkeypatch):
    """The clean map of the adversarial class is constant for the first image: its correlation is not known."""
    rest = setting.facts.images - 1
    known = iter(
        [[0.9] + [0.1] * rest, [0.5] * (rest + 1), [torch.nan] + [0.3] * rest]  # attack, noise, class alone
    )
    monkeypatch.setattr(measuring, "spearman", lambda _first, _second: torch.tensor(next(known)))
    one = replace(setting, explained=replace(setting.explained, methods={ENHANCED: Enhanced()}))
    found, *_ = map_statistics(one, {})
    beyond = found.record.beyond_class
    assert (beyond.value, beyond.n) == (pytest.approx(0.2), rest)
    judged = judged_as(with_measured(everything, ENHANCED, beyond_class=beyond), "not only to the class")
    assert judged.statistic.endswith("class alone minus attack 0.200 (does not vary)")


def test_every_finding_has_a_verdict_and_the_answer_says_it(found):
    table = next(each for each in found.tables if each.title == "The paper's findings")
    verdicts = {row[1]: row[2] for row in table.rows}
    assert len(verdicts) == 9
    assert set(verdicts.values()) <= {"holds", "does not hold", "not decided"}
    for text, verdict in verdicts.items():
        _, _, after = found.finding.partition(f"{verdict.capitalize()}: ")
        assert text.rstrip(".") in after
    assert all(len(re.findall(r"\d\.\d{3} \[", sentence)) <= 2 for sentence in found.finding.split(". "))
    own = rows_of(found, part="recovered", map=ENHANCED, fill="mean", measure="mean over shares")[0]
    assert f"{own['value']:.3f} [{own['low']:.3f}, {own['high']:.3f}]" in found.finding


def raised(found):
    return {flag.name: flag.raised for flag in flags(found)}


def test_flags_of_made_up_numbers(everything):
    low, high = (raised(replace(everything, success=Interval(value, value, value))) for value in (0.89, 0.9))
    assert (low["The attack succeeds"], high["The attack succeeds"]) == (True, False)
    assert not high["Maps are deterministic"]
    assert raised(replace(everything, moved=[RANDOM]))["Maps are deterministic"]
    assert not high["Enhanced maps of a class and its rival share no value"]
    overlapping = replace(everything.ablations[0], overlapping=1)
    sharing = raised(replace(everything, ablations=[overlapping, *everything.ablations[1:]]))
    assert sharing["Enhanced maps of a class and its rival share no value"]
    for best in (RANDOM, "gradient"):
        changed = replace(everything.maps[best].recovered, area=statistic(0.99))
        assert raised(with_measured(everything, best, recovered=changed))["Random is not best"] == (best == RANDOM)


def test_what_guessing_would_know_as_well_is_not_checked(everything):
    name, pairs = "The classifier knows the images with several classes", everything.pairs
    for value, chance, expected in [(0.5, 0.2, False), (0.2, 0.2, True), (1.0, 1.0, None)]:
        changed = replace(pairs, recognised=statistic(value), chance=chance)
        assert raised(replace(everything, pairs=changed))[name] is expected
    assert raised(replace(everything, pairs=None))[name] is None


@pytest.mark.slow
def test_the_oracle_is_the_studied_method_with_another_rival(setting):
    """Where the true class is the rival of all, the two are one, whatever the method's settings."""
    for own in (Enhanced(normalisation="maximum", reduction="max"), Enhanced(base=OddGuided())):
        methods = {**setting.explained.methods, ENHANCED: own}
        changed = replace(setting, explained=replace(setting.explained, methods=methods))
        changed = replace(changed, labels=changed.adversarial.rivals)
        found = {each.record.name: each.record for each in map_statistics(changed, base_maps(changed))}
        one, leak = found[ENHANCED], found[LABEL_LEAK]
        assert one.positive.value == leak.positive.value
        assert [each.value for each in one.recovered.accuracy] == [each.value for each in leak.recovered.accuracy]
    usual = Enhanced()(setting.explained.classifier, setting.adversarial.images, setting.adversarial.predictions)
    assert one.positive.value != pytest.approx((usual > 0).float().mean().item(), abs=0.001)


def test_pixels_above_0(found, setting):
    maps = Enhanced()(setting.explained.classifier, setting.adversarial.images, setting.adversarial.predictions)
    (row,) = rows_of(found, part="recovered", map=ENHANCED, measure="pixels above 0")
    assert row["value"] == pytest.approx(sum((image > 0).float().mean().item() for image in maps) / len(maps), abs=1e-3)
    assert 0 < row["value"] < 1
    shown = next(line for line in found.tables[0].rows if line[0] == "enhanced guided backprop")
    assert shown[-1] == f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["fgsm", None])
def test_grids_show_each_attack_once(setting, monkeypatch, attack):
    """Also where the studied attack is one that is shown anyway."""
    shown = []
    monkeypatch.setattr(grids, "grid", lambda _title, columns, rows, *_, **__: shown.append((columns, rows)) or b"")
    named = replace(setting, facts=replace(setting.facts, attack=attack or setting.facts.attack))
    grids.versions(shown_images.versions(named))
    grids.outcomes(shown_images.outcomes(named))
    (_, rows), (columns, _) = shown
    count = len({name for name, _ in rows if not name.startswith("clean")})
    assert [name.partition("\n")[0] for name, _ in rows[: count + 1]] == ["clean", "fgsm", "bim", "cw"]
    assert columns == [
        "clean",
        *(f"{name}, {end}" for end in ("failed", "successful") for name in ("fgsm", "bim")),
        f"{named.facts.attack} of this study, successful",
    ]


def test_a_default_attack_takes_no_name_of_the_run(finished):
    assert of_kind(study_of(finished), (BIM,), "none", BIM())[0] == "none, default"


def test_lines_are_told_apart():
    names = [f"method {number}" for number in range(40)] + [ENHANCED, PLAIN, "gradient", RANDOM, PERTURBATION]
    styles = looks_of(names, [PERTURBATION])
    assert sorted(styles) == sorted(names)
    assert len({(each["color"], each["marker"]) for each in styles.values()}) == len(names)


def test_nothing_recovered_is_best_nowhere(everything):
    none = curve_of(torch.zeros(3, 2, dtype=torch.bool), (0.1, 0.2), Resampling(3, 50))
    assert (none.best.value, none.record.best_share) == (0, None)
    changed = replace(with_measured(everything, ENHANCED, recovered=none.record), shares=(0.1, 0.2))
    told = "Nothing is brought back at any share."
    assert told in finding(changed, judge(changed))
    best = next(each for each in tables(everything, {}) if each.title == "Best over the shares")
    assert all(row[1].endswith("%") for row in best.rows)


class OddGuided(GuidedBackprop):
    """Guided backpropagation of which every second column is kept."""

    def attribute(self, problem):
        maps = super().attribute(problem)
        maps[..., ::2] = 0
        return maps


class Smooth(nn.Sequential):
    """A network without ReLUs."""

    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


@pytest.mark.slow
@pytest.mark.parametrize("methods", [None, {"gradient": Gradient()}], ids=["usual", "given"])
def test_a_classifier_without_relus_is_refused_before_the_attack(finished, methods, monkeypatch):
    monkeypatch.setattr(Explained, "attacked", None)
    told = "enhance is about guided backpropagation, which is not defined for this classifier .*: give a classifier"
    with pytest.raises(ValueError, match=told):
        enhance(study_of(finished), methods=methods, images=5, classifier=f"{__name__}.Smooth")


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        (
            {PLAIN: Gradient()},
            "name guided_backprop is reserved for saliency.GuidedBackprop, and Gradient",
        ),
        (
            {ENHANCED: GradCAM()},
            "enhanced_guided_backprop is reserved for saliency.Enhanced of saliency.GuidedBackprop",
        ),
        ({ENHANCED: Enhanced(base=Gradient())}, "is reserved for saliency.Enhanced of saliency.GuidedBackprop"),
        ({"gradient": GradCAM()}, "the name gradient is reserved for saliency.Gradient"),
        ({RANDOM: Gradient()}, "the name random is reserved for saliency.Random"),
    ],
)
def test_names_are_kept(finished, methods, told):
    with pytest.raises(ValueError, match=told):
        subject(study_of(finished), methods, images=5)


def test_missing_photographs_are_told_before_the_attack(finished, options, monkeypatch):
    monkeypatch.setattr(Explained, "attacked", None)
    with pytest.raises(FileNotFoundError, match="Pascal VOC 2012 is not in nowhere"):
        enhance(study_of(finished), **options, voc="nowhere")


def test_no_image_classified_right(finished, options, monkeypatch):
    monkeypatch.setattr(Explained, "attacked", None)
    wrong = property(lambda every: (every.labels + 1) % 10)
    monkeypatch.setattr(Explained, "predictions", wrong)
    with pytest.raises(ValueError, match="none of 30 images is classified right, and only such can be attacked: take"):
        enhance(study_of(finished), **options)


def test_a_failing_attack_on_many_images_is_weak(finished, options, monkeypatch):
    monkeypatch.setattr(attacked_images, "FEWEST", 1)
    with pytest.raises(ValueError, match=r"is fooled by none .*: name a stronger attack by --attack"):
        enhance(study_of(finished), **options, attack="none")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"shares": [0.1]}, r"at least two ascending numbers in \[0, 1\], got \[0.1\]"),
        ({"shares": [0.2, 0.1]}, "ascending"),
        ({"shares": [0, 1.5]}, r"ascending numbers in \[0, 1\]"),
        ({"attack": "fgms"}, r"unknown attack 'fgms'. Did you mean 'fgsm'\? Accepted: fgsm, none; null takes"),
        ({"attack": "none"}, r"only \d+ of 30 images are classified right, and none \(.*\) fools none of them: take"),
        ({"images": 0}, "images must be at least 1, got 0"),
        ({"voc": "nowhere"}, "Pascal VOC 2012 is not in nowhere"),
    ],
)
def test_wrong_options_are_told(finished, options, wrong, told):
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        enhance(study_of(finished), **(options | wrong))


@pytest.mark.slow
def test_the_command_finds_the_same_again(finished, found, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    methods = {"grad_cam": {"class_path": "saliency.GradCAM"}, "gradient": {"class_path": "saliency.Gradient"}}
    options = {"images": 30, "shares": SHARES, "resamples": 50, "methods": methods}
    given = [text for name, value in options.items() for text in (f"--{name}", json.dumps(value))]
    assert evaluate.main(["enhance", "--run", str(run), "--device", "cpu", *given]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Accuracy recovered (Figure 4)" in told
    contents = read_result(run / "report/enhance.json")
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
    parsed = _parser("enhance").parse_args(["enhance", "--run", "runs/digits", "--config", str(CONFIG)])["enhance"]
    options = list(signature(enhance).parameters.values())[1:]
    assert {option.name: parsed[option.name] for option in options} == {
        option.name: list(option.default) if option.name == "shares" else option.default for option in options
    }
    written = {line.split(":")[0] for line in CONFIG.read_text().splitlines() if not line.startswith("#")}
    assert written == {option.name for option in options}
