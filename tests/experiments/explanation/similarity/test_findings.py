"""The paper's findings, judged on similarities that are made up."""

import pytest
import torch

from experiments.explanation.similarity import findings as claims
from experiments.explanation.similarity import paper
from experiments.explanation.similarity.findings import judge, sides
from experiments.explanation.similarity.protocol import finding
from experiments.explanation.similarity.records import records
from experiments.explanation.similarity.tables import tables
from experiments.explanation.similarity.versions import Version
from experiments.results.bootstrap import Interval
from saliency import GradCAM, Gradient, SmoothGrad
from tests.experiments.explanation.similarity.made_up import IMAGES, METHODS, similarities

LEAST, LEAST_OF_ALL, FALLS, LITTLE, DETECTS, BEST = range(6)


def level(cam=0.2, fall=1.0, target=0.0, noise=0.9):
    """Return similarities: of Grad-CAM and others, how fast they fall, by target, and under noise."""

    def of(method, _metric, version):
        if version.kind == "sign noise":
            return noise if method == "cam" else 0.4
        moved = -fall * (version.epsilon or 0) + target * (version.target or 0)
        return moved + {"cam": cam, "noise": 0.0}.get(method, 0.6)

    return of


def verdicts(**changes):
    methods = changes.pop("methods", METHODS)
    return [claim.verdict for claim in judge(similarities(level(**changes), methods))]


def test_all_findings_hold_where_they_are_built_in():
    assert verdicts() == ["holds"] * 6


def test_few_images_decide_nothing(monkeypatch):
    monkeypatch.setattr(claims, "FEWEST", IMAGES + 1)
    found = judge(similarities(level(), METHODS))
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
    found = judge(similarities(level(), {"plain": Gradient()}))
    assert {claim.verdict for claim in found} == {"not decided"}
    assert found[LEAST].statistic == "it needs Grad-CAM and a method beside it"
    alone = judge(similarities(level(), {"cam": GradCAM()}, epsilons=(0.1,), targets=(1,)))
    assert alone[FALLS].statistic == "it needs two epsilons and one of the paper's methods"
    assert alone[LITTLE].statistic == "it needs two targets and one of the paper's methods"
    assert alone[DETECTS].verdict == "holds"


def test_one_side_of_a_limit():
    above, below, around = Interval(1, 0.5, 2), Interval(-1, -2, -0.5), Interval(0, -1, 1)
    assert sides([above, above]) == "holds"
    assert sides([above, below, around]) == "does not hold"
    assert sides([above, around]) == sides([above, None]) == sides([]) == "not decided"
    assert sides([above], 0.7) == "not decided"


def test_the_papers_methods_are_known_by_their_kind():
    methods = {"squared": SmoothGrad(square=True), "mean": SmoothGrad(), "where": GradCAM()}
    assert paper.names_of(methods) == {paper.GRAD_CAM: "where", paper.SMOOTH: "mean"}
    assert paper.untargeted(paper.GRAD_CAM, "hog", 0.30000001) is None
    assert paper.untargeted(paper.GRAD_CAM, "hog", 0.3) == 0.297
    assert paper.targeted(paper.SMOOTH, "ssim", 0.2) == 0.9996
    assert paper.targeted(paper.SMOOTH, "ssim", 0.1) is None


def test_records_count_who_is_fooled_and_name_the_papers_numbers():
    rows = list(records(similarities(level())))
    assert all(list(row) == list(rows[0]) for row in rows)

    def one(**wanted):
        (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
        return row

    whole = one(method="cam", metric="spearman", version="untargeted", epsilon=0.2, subset="all")
    assert (whole["n"], whole["paper"], whole["auroc"]) == (IMAGES, 0.087, 1)
    assert whole["mean"] == pytest.approx(0)
    fooled = one(method="cam", metric="spearman", version="untargeted", epsilon=0.2, subset="fooled")
    assert (fooled["n"], fooled["undefined"], fooled["auroc"]) == (IMAGES // 2, 0, None)
    joined = one(method="guided", metric="hog", version="targeted", subset="all targets")
    assert (joined["n"], joined["paper"]) == (IMAGES, 0.668)
    assert one(method="plain", metric="ssim", version="another image")["paper"] is None


def test_what_is_not_defined_is_counted_and_in_no_mean():
    def holed(method, metric, version):
        values = torch.full((IMAGES,), level()(method, metric, version), dtype=torch.float64)
        if method == "plain" and version.kind == "untargeted":
            values[:10] = torch.nan
        return values

    found = similarities(holed)
    row = next(r for r in records(found) if r["method"] == "plain" and r["version"] == "untargeted")
    assert (row["n"], row["undefined"]) == (IMAGES - 10, 10)
    assert found.undefined("plain", "hog")[0] == 30
    assert found.mean("plain", "hog", Version("untargeted", 0.1)).value == pytest.approx(0.5, abs=0.02)
    counted = next(table for table in tables(found, judge(found)) if "not defined" in table.title)
    assert next(line for line in counted.rows if line[0] == "plain")[2] == 30


def test_tables_and_the_answer_are_made_of_these_numbers():
    found = similarities(level(cam=0.3))
    claims = judge(found)
    by_title = {table.title: table for table in tables(found, claims)}
    assert all(len(line) == len(table.header) for table in by_title.values() for line in table.rows)
    first = by_title["Targeted attacks (Table 1): mean similarity"]
    assert [line[0] for line in first.rows] == ["cam", "guided", "smooth", "noise", "plain"]
    assert first.rows[0][2:4] == ["0.100 [0.091, 0.109]", 0.08]
    assert set(first.bold) == {(3, 2), (3, 4), (3, 6)}
    beside = by_title["Beside the paper's numbers"]
    assert len(beside.rows) == 3 * 3 * (3 + 1)
    assert beside.rows[0][:6] == ["cam", "untargeted", "0.1", "0.2", "Spearman", 0.237]
    assert beside.rows[0][7] == "-0.037"
    by_target = by_title["The targeted attack, by target (Figure 4)"]
    assert [line[:2] for line in by_target.rows] == [["ant", 20], ["bee", 20], ["cat", 40], ["all", 80]]
    assert by_target.rows[0][2].startswith("1.000")
    told = finding(found, claims)
    assert told.startswith("Least alike under FGSM of epsilon 0.2: Spearman cam 0.100")
    assert '"Similarity falls as epsilon grows" holds' in told
