"""evaluate.py museum: published breaks, what they do here, and the rule for verdicts."""

import json

import pytest

import evaluate
from experiments.museum.published import BREAKS, WAYS
from experiments.museum.records import ENOUGH, MARGIN, asked, verdict
from experiments.museum.tables import finding, flags_of
from experiments.results.bootstrap import clopper_pearson
from saliency.class_paths import imported
from tests.experiments.studies import copy_of, study_of


def judged(ours, worst, n=100, *, published=True, success=None):
    return verdict(clopper_pearson(ours, n), clopper_pearson(worst, n), n, published=published, success=success)


def test_a_break_is_reproduced_if_the_interval_lies_above_the_published_share_less_the_margin():
    assert judged(1.0, 1.0, success=1.0) == "broken as published"
    assert judged(0.95, 0.95, success=1.0) == "not decided"  # its interval reaches below .9
    assert judged(0.95, 0.95, success=0.95) == "broken as published"


def test_without_a_checked_figure_half_of_the_images_are_asked_for():
    assert asked(None) == ENOUGH
    assert asked(0.9) == pytest.approx(0.9 - MARGIN)
    assert judged(0.7, 0.7) == "broken as published"
    assert judged(0.52, 0.52) == "not decided"
    assert judged(0.2, 0.2) == "not broken here"


def test_another_attack_may_break_what_the_published_one_does_not():
    assert judged(0.2, 0.99, success=0.95) == "broken here, by another attack"
    assert judged(0.2, 0.3, success=0.95) == "not broken here"


def test_few_images_decide_nothing_and_what_nobody_broke_is_open():
    assert judged(1.0, 1.0, n=19, success=0.5) == "not decided"
    assert verdict(None, None, 0, published=True, success=1.0) == "not decided"
    assert judged(1.0, 1.0, published=False) == "open (no break published)"


def test_every_break_names_a_class_a_way_and_where_its_figure_was_looked_up():
    for each in BREAKS:
        assert isinstance(imported(each.detector), type)
        assert bool(each.paper) == bool(each.where) == bool(each.attack) == (each.way in WAYS)
        assert (each.success is None) == (not each.checked)
    published = imported("detectors.published")
    shown = {imported(each.detector) for each in BREAKS}
    bases = {published.Fitted, published.FittedDetector}
    weighted = {published.WeightedMahalanobis, published.WeightedLocalIntrinsicDimensionality}
    assert {getattr(published, name) for name in published.__all__} - bases - weighted <= shown


def row(verdict, **changes):
    base = {"detector": "odds", "paper": "A", "way": "hinged", "n_right": 30, "auroc": 0.9, "worst_sr_at_5": 1.0}
    return base | {"verdict": verdict} | changes


def test_the_finding_counts_verdicts_and_names_what_stands():
    rows = [
        row("broken as published"),
        row("not broken here", detector="magnet"),
        row("open", paper="", detector="spectral"),
    ]
    told = finding(rows)
    assert told.startswith("Of 2 published breaks: 1 broken as published; 1 not broken here.")
    assert "Not broken here: magnet" in told
    assert "spectral loses the most, SR@5 1.000" in told


def test_few_images_and_blind_detectors_are_flagged():
    raised = {flag.name: flag.raised for flag in flags_of([row("not decided", n_right=3, auroc=0.5)])}
    assert raised == {"Few images": True, "Detectors that find nothing anyway": True}
    assert not any(flag.raised for flag in flags_of([row("broken as published")]))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_measures_breaks_of_detectors_of_the_run_and_of_others(finished, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    names = [
        "id",
        *(f"detectors.published.{name}" for name in ("PrincipalComponents", "FeatureSqueezing", "Mahalanobis")),
    ]
    options = ["--images", "3", "--steps", "2", "--suite_attacks", "[hinged]", "--device", "cpu"]
    assert evaluate.main(["museum", "--run", str(run), "--detectors", f"[{','.join(names)}]", *options]) == 0
    told = capsys.readouterr().out
    assert "The published breaks make at most" in told
    written = json.loads((run / "report" / "museum.json").read_text())
    found = [(each["detector"], each["way"]) for each in written["rows"]]
    assert found == [
        ("id", "shortest"),
        ("principalcomponents", "shortest"),
        ("featuresqueezing", "straight_through"),
        ("featuresqueezing", "confident"),
        ("mahalanobis", None),
    ]
    for each in written["rows"]:
        assert 0 <= each["auroc"] <= 1
        assert each["worst_sr_at_5"] is None or each["sr_at_5"] is None or each["worst_sr_at_5"] >= each["sr_at_5"]
    assert {each["verdict"] for each in written["rows"]} == {"not decided", "open (no break published)"}
    assert [table["title"] for table in written["report"]["tables"]][1:] == ["Sources", "What the attacks cost"]
    assert "The museum of published detectors" in (run / "report" / "report.html").read_text()


@pytest.mark.slow
def test_what_nobody_named_is_left_out_where_it_cannot_be_fitted(finished, tmp_path):
    paths = ["detectors.published.Odds", "detectors.published.PrincipalComponents"]
    study = study_of(copy_of(finished, tmp_path)).of_detectors(paths, named=False)
    assert [each.name for each in study.own] == ["principalcomponents"]
    assert "no clean images of class" in study.left_out[paths[0]]
    with pytest.raises(ValueError, match="odds cannot be fitted"):
        list(study.of_detectors(paths, named=True).own)


def test_a_detector_that_is_not_in_the_museum_is_refused(finished, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    assert evaluate.main(["museum", "--run", str(run), "--detectors", "[max_softmax]"]) == 1
    assert "detectors must name some of the museum's, got max_softmax" in capsys.readouterr().err
