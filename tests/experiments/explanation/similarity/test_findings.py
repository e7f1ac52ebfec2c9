"""The paper's findings, judged on similarities that are made up."""

import re

import pytest
import torch

from experiments.explanation import evidence as rule
from experiments.explanation.similarity import paper
from experiments.explanation.similarity.changes import Change
from experiments.explanation.similarity.comparisons import records_of
from experiments.explanation.similarity.findings import finding, judge
from experiments.explanation.similarity.measure import papers_methods
from experiments.explanation.similarity.records import rows_of
from experiments.explanation.similarity.tables import tables
from saliency import GradCAM, Gradient, SmoothGrad
from tests.experiments.explanation.similarity.made_up import IMAGES, METHODS, similarities

LEAST, LEAST_OF_ALL, FALLS, LITTLE, DETECTS, BEST = range(6)


def level(cam=0.2, fall=1.0, target=0.0, noise=0.9):
    """Return similarities: of Grad-CAM and others, how fast they fall, by target, and under noise."""

    def of(method, _metric, change):
        if change.kind == "sign noise":
            return noise if method == "cam" else 0.4
        moved = -fall * (change.epsilon or 0) + target * (change.target or 0)
        return moved + {"cam": cam, "noise": 0.0}.get(method, 0.6)

    return of


def made_up(*arguments, **options):
    return records_of(similarities(*arguments, **options))


def verdicts(**changes):
    methods = changes.pop("methods", METHODS)
    return [claim.verdict for claim in judge(made_up(level(**changes), methods))]


def test_all_findings_hold_where_they_are_built_in():
    assert verdicts() == ["holds"] * 6


def test_few_images_decide_nothing(monkeypatch):
    monkeypatch.setattr(rule, "FEWEST", IMAGES + 1)
    found = judge(made_up(level(), METHODS))
    assert {claim.verdict for claim in found} == {"not decided"}
    assert found[0].statistic.startswith(f"{IMAGES} images are too few to decide, it takes {IMAGES + 1}; ")


@pytest.mark.parametrize(
    ("changes", "number", "verdict"),
    [
        ({"cam": 0.9}, LEAST, "does not hold"),
        ({"cam": 0.6}, LEAST, "not decided"),
        ({"cam": 0.9}, LEAST_OF_ALL, "does not hold"),
        ({"fall": -1.0}, FALLS, "does not hold"),
        ({"fall": 0.0}, FALLS, "not decided"),
        ({"target": 0.2}, LITTLE, "does not hold"),
        ({"target": 0.01}, LITTLE, "holds"),
        ({"cam": 0.9, "noise": 0.5}, DETECTS, "does not hold"),
        ({"cam": 0.6, "noise": 0.4}, DETECTS, "not decided"),
        ({"cam": 0.9, "noise": 0.5}, BEST, "does not hold"),
    ],
)
def test_each_finding_can_fall(changes, number, verdict):
    assert verdicts(**changes)[number] == verdict


def test_what_cannot_be_judged_says_what_it_needs():
    found = judge(made_up(level(), {"plain": Gradient()}))
    assert {claim.verdict for claim in found} == {"not decided"}
    assert found[LEAST].statistic == "it needs Grad-CAM and a method beside it"
    alone = judge(made_up(level(), {"cam": GradCAM()}, epsilons=(0.1,), targets=(1,)))
    assert alone[FALLS].statistic == "it needs two epsilons and one of the paper's methods"
    assert alone[LITTLE].statistic == "it needs two targets and one of the paper's methods"
    assert alone[DETECTS].verdict == "holds"


def test_the_papers_methods_are_known_by_their_kind():
    methods = {"squared": SmoothGrad(square=True), "mean": SmoothGrad(), "where": GradCAM()}
    assert papers_methods(methods) == {paper.GRAD_CAM: "where", paper.SMOOTH: "mean"}


@pytest.mark.parametrize(
    ("name", "metric", "change", "value"),
    [
        (paper.GRAD_CAM, "hog", Change("untargeted", 0.30000001), None),
        (paper.GRAD_CAM, "hog", Change("untargeted", 0.3), 0.297),
        (paper.SMOOTH, "ssim", Change("targeted", 0.2), 0.9996),
        (paper.SMOOTH, "ssim", Change("targeted", 0.1), None),
        (paper.SMOOTH, "ssim", Change("targeted", 0.2, 3), None),
        (paper.SMOOTH, "ssim", Change("sign noise", 0.2), None),
    ],
)
def test_the_papers_numbers_are_of_its_epsilons(name, metric, change, value):
    assert paper.reported(name, metric, change) == value


def test_records_count_who_is_fooled_and_name_the_papers_numbers():
    rows = rows_of(made_up(level()))
    assert all(list(row) == list(rows[0]) for row in rows)

    def one(**wanted):
        (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
        return row

    whole = one(method="cam", metric="spearman", version="untargeted", epsilon=0.2, subset="all")
    assert (whole["n"], whole["paper"], whole["auroc"]) == (IMAGES, 0.087, 1 - 1 / IMAGES)
    assert whole["mean"] == pytest.approx(0)
    fooled = one(method="cam", metric="spearman", version="untargeted", epsilon=0.2, subset="fooled")
    assert (fooled["n"], fooled["undefined"], fooled["auroc"]) == (IMAGES // 2, 0, None)
    joined = one(method="guided", metric="hog", version="targeted", subset="all targets")
    assert (joined["n"], joined["paper"]) == (IMAGES, 0.668)
    assert one(method="plain", metric="ssim", version="another image")["paper"] is None


def test_what_is_not_defined_is_counted_and_in_no_mean():
    def holed(method, metric, change):
        values = torch.full((IMAGES,), level()(method, metric, change), dtype=torch.float64)
        if method == "plain" and change.kind == "untargeted":
            values[:10] = torch.nan
        return values

    found = made_up(holed)
    row = next(r for r in rows_of(found) if r["method"] == "plain" and r["version"] == "untargeted")
    assert (row["n"], row["undefined"]) == (IMAGES - 10, 10)
    assert found.undefined("plain", "hog")[0] == 30
    assert found.mean("plain", "hog", Change("untargeted", 0.1)).value == pytest.approx(0.5, abs=0.02)
    counted = next(table for table in tables(found, judge(found)) if "not defined" in table.title)
    assert next(line for line in counted.rows if line[0] == "plain")[2] == 30


def test_differences_are_paired_and_an_average_is_of_what_is_defined():
    def holed(method, metric, change):
        values = torch.full((IMAGES,), level(fall=0.0)(method, metric, change), dtype=torch.float64)
        values[: 1 + (change.target or 0)] = torch.nan if change.kind == "targeted" else values[0]
        return values

    found, weak = similarities(holed, shuffled=False), Change("untargeted", 0.1)
    difference = found.statistic(found.of("plain", "hog", weak) - found.of("cam", "hog", weak)).interval
    assert (difference.low, difference.high) == pytest.approx((0.4, 0.4))
    over = found.of("plain", "hog", found.settings.all_targets)
    assert over.isnan().tolist() == [True] + [False] * (IMAGES - 1)


def test_the_oracle_leaves_out_what_is_not_defined():
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(IMAGES, generator=generator, dtype=torch.float64)
    attack = torch.rand(IMAGES, generator=generator, dtype=torch.float64) - 0.2
    attack[:5] = torch.nan
    found = similarities(level())
    keys = [("cam", Change(kind, 0.1)) for kind in ("sign noise", "untargeted")]
    found.alike.update({key: {"hog": values} for key, values in zip(keys, (noise, attack), strict=True)})
    wins = (attack[5:, None] < noise[None, 5:]).double().mean().item()
    (area,) = found.oracle("hog", 0.1, ["cam"])
    assert (area.value, area.n) == (pytest.approx(wins, abs=1e-6), IMAGES - 5)
    assert 0.5 < area.interval.low < area.value < area.interval.high
    first, second = found.oracle("hog", 0.1, ["cam", "cam"])
    assert (first.minus(second).interval.low, first.minus(second).interval.high) == (0, 0)
    first, second = found.oracle("hog", 0.1, ["cam", "plain"])
    assert first.n == second.n == IMAGES - 5
    found.alike[keys[1]] = {"hog": torch.full((IMAGES,), torch.nan)}
    assert found.oracle("hog", 0.1, ["cam"]) == found.oracle("hog", 0.1, ["plain", "cam"]) == []


def test_tables_and_the_answer_are_made_of_these_numbers():
    found = made_up(level(cam=0.3))
    claims = judge(found)
    by_title = {table.title: table for table in tables(found, claims)}
    assert all(len(line) == len(table.header) for table in by_title.values() for line in table.rows)
    first = by_title["Targeted attacks (Table 1): mean similarity"]
    assert [line[0] for line in first.rows] == ["cam", "guided", "smooth", "noise", "plain"]
    assert first.rows[0][2:4] == ["0.100 [0.095, 0.105]", 0.08]
    assert set(first.bold) == {(3, 2), (3, 4), (3, 6)}
    beside = by_title["Beside the paper's numbers"]
    assert len(beside.rows) == 3 * 3 * (3 + 1)
    assert beside.rows[0][:6] == ["cam", "untargeted", "0.1", "0.2", "Spearman", 0.237]
    assert beside.rows[0][7] == "-0.037"
    by_target = by_title["The targeted attack, by target (Figure 4)"]
    assert [line[:2] for line in by_target.rows] == [["ant", 20], ["bee", 20], ["cat", 40], ["all", 80]]
    assert by_target.rows[0][2].startswith("1.000")
    told = finding(found, claims)
    assert told.startswith(f"FGSM of epsilon 0.2 attacks {IMAGES} images. It fools 0.500 [")
    assert " Under it the maps of cam are the least alike by Spearman, 0.100 [" in told
    assert all(len(re.findall(r"\d\.\d{3} \[", sentence)) <= 1 for sentence in told.split(". "))
    assert "Holds: Grad-CAM's maps are the least similar" in told
    assert "Similarity falls as epsilon grows;" in told


@pytest.mark.parametrize("count", [1, 2, 19])
def test_a_few_images_are_measured_and_decide_nothing(count, monkeypatch):
    monkeypatch.setattr("tests.experiments.explanation.similarity.made_up.IMAGES", count)
    found = made_up(level())
    claims = judge(found)
    assert {claim.verdict for claim in claims} == {"not decided"}
    assert finding(found, claims).startswith(f"Nothing is decided: a verdict needs 20 images, and there are {count}.")
    assert tables(found, claims)


@pytest.mark.parametrize("value", [0.0, 1.0, torch.nan])
def test_maps_that_are_all_alike_decide_nothing(value):
    constant = similarities(level())
    for likeness in constant.alike.values():
        likeness.update({metric: torch.full_like(values, value) for metric, values in likeness.items()})
    records = records_of(constant)
    claims = judge(records)
    assert {claim.verdict for claim in claims} == {"not decided"}
    assert "at their limit" in claims[FALLS].statistic or "none is defined" in claims[FALLS].statistic
    assert "nan" not in finding(records, claims)
