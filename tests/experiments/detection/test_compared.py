"""Detectors are compared on the same cells; what the finding says of them, and when it decides."""

import re

import pytest
import torch

from experiments.detection.transfer.contrasts import between, paired
from experiments.detection.transfer.findings import finding
from experiments.detection.transfer.ranking import Headline, ranking
from experiments.detection.transfer.records import Cell, Ranking, compared, read, unseen_means
from experiments.detection.transfer.tables import ranking_table
from experiments.results.bootstrap import Statistic
from experiments.results.levels import mostly_fail

ATTACKS = ("fgsm", "bim", "cw")
LEARNT = {("fgsm", "fgsm"): 1.0, ("fgsm", "bim"): 0.6, ("fgsm", "cw"): 0.4, ("bim", "fgsm"): 0.8, ("bim", "cw"): 0.2}
FREE = {"fgsm": 0.5, "bim": 0.9, "cw": 0.1}


def rows(*, without=(), **detectors):
    """Records of one seed: of `id` as above, and of training-free detectors with these AUROCs by attack."""
    cells = {("id", *cell): value for cell, value in LEARNT.items() if cell not in without}
    cells |= {(name, None, attack): value for name, values in detectors.items() for attack, value in values.items()}
    keys = ("detector", "trained_on", "tested_on")
    records = [dict(zip(keys, cell, strict=True)) | {"subset": "all", "auroc": auroc} for cell, auroc in cells.items()]
    return read(records)


def statistic(value, wide=0.01, n=100):
    spread = torch.linspace(-wide, wide, 101, dtype=torch.float64)
    return Statistic(value, value + spread, n, [value] * 3)


def headline(n=100, wide=0.0, **detectors):
    """The AUROCs of `id` as above and of training-free detectors, the same against noise."""
    areas = {Cell("id", *cell): statistic(value, n=n) for cell, value in LEARNT.items()}
    areas |= {Cell(d, None, a): statistic(v, 0.01 + wide, n) for d, of in detectors.items() for a, v in of.items()}
    return Headline("all", areas, areas)


def meta(seeds=3, images=100):
    return {"seeds": list(range(seeds)), "test_images": images}


def said(records=None, **options):
    records = records or headline(area=FREE)
    return finding(ranking(records, ATTACKS), meta(**options))


def test_an_attack_counts_for_a_training_free_detector_as_often_as_for_the_learnt_ones():
    means = unseen_means(rows(area=FREE))
    assert means["id"] == pytest.approx((0.6 + 0.4 + 0.8 + 0.2) / 4)
    assert means["area"] == pytest.approx((0.5 + 0.9 + 2 * 0.1) / 4)  # the plain mean is .5


def test_a_cell_that_one_detector_lacks_counts_for_none():
    means = unseen_means(rows(area={"fgsm": 0.5, "bim": 0.9}))
    assert means == {"id": pytest.approx(0.7), "area": pytest.approx(0.7)}
    fewer = unseen_means(rows(without=[("bim", "cw")], area=FREE))
    assert fewer["area"] == pytest.approx((0.9 + 0.1 + 0.5) / 3)


def test_without_learnt_detectors_every_attack_counts_once():
    assert unseen_means([row for row in rows(area=FREE) if row.trained_on is None]) == {"area": pytest.approx(0.5)}


def test_an_attack_without_a_value_may_still_have_been_trained_on():
    cells = [Cell("id", "none", "fgsm"), Cell("area", None, "fgsm")]
    assert compared(cells, ("none", "fgsm")) == {"id": cells[:1], "area": cells[1:]}
    assert compared(cells, ("fgsm",)) == {"area": cells[1:]}  # `none` is several attacks at once


def test_intervals_and_worst_cells_are_of_the_same_cells():
    records = headline(area=FREE)
    ranked = ranking(records, ATTACKS)
    first, second = ranked.standings
    assert (first.detector, first.area.value, first.cells) == ("id", pytest.approx(0.5), 4)
    assert (second.detector, second.area.value, second.cells) == ("area", pytest.approx(0.4), 4)
    assert (first.worst, first.lowest) == (Cell("id", "bim", "cw"), 0.2)
    table = ranking_table(ranked)
    assert [line[0] for line in table.rows] == ["id", "area"]
    assert table.rows[1][3:] == [0.1, "-", "cw", 4, 100]


def test_two_kinds_of_attack_are_compared_for_the_same_trained_detector():
    areas = headline().areas
    apart = between(areas, "cw - others", lambda c: c.unseen and c.tested_on == "cw", lambda c: c.tested_on == "bim")
    assert apart["value"] == pytest.approx(0.4 - 0.6)  # only the detector trained on fgsm was tested on bim
    assert apart["cells"] == 1
    assert between(areas, "none", lambda c: c.tested_on == "cw", lambda _: False) is None


def test_a_training_free_detector_stands_beside_each_cell():
    records = headline(area=FREE)
    apart = paired(records.areas, "id - area", "id", "area", lambda cell: cell.unseen)
    assert (apart["value"], apart["cells"]) == (pytest.approx(0.5 - 0.4), 4)


def test_the_finding_names_the_best_of_each_kind_and_decides():
    text = said(headline(wide=0.005, area=FREE, other=dict.fromkeys(ATTACKS, 0.3)))
    assert "id with 0.500 (learnt) and area with 0.400 (training-free)" in text
    assert "Decided: id finds more than area" in text
    assert "other" not in text
    turned = said(headline(wide=0.005, area=dict.fromkeys(ATTACKS, 0.9)))
    assert "Decided: area finds more than id" in turned
    assert "is not decided" in said(headline(area=FREE, wide=0.5))
    assert "is not decided" in said(headline(area=FREE))  # their difference does not vary


def test_a_sentence_has_at_most_two_numbers():
    for text in (said(), said(seeds=1), said(seeds=2), said(images=5), said(headline(area=FREE, wide=0.5))):
        assert all(len(re.findall(r"\d+(?:\.\d+)?", sentence)) <= 2 for sentence in re.split(r"\. ", text))


@pytest.mark.parametrize(("seeds", "words"), [(1, "On this one seed"), (2, "On these two seeds")])
def test_fewer_than_three_seeds_say_what_they_say_and_decide_nothing(seeds, words):
    text = said(seeds=seeds)
    assert text.startswith(words)
    assert "Decided" not in text
    assert "a claim needs three" in text


@pytest.mark.parametrize("records", [headline(n=19, area=FREE), headline(area=FREE)])
def test_too_few_images_decide_nothing(records):
    assert "They decide nothing: 19 pairs are too few" in said(records, images=19)


def test_of_nothing_nothing_is_said():
    assert finding(Ranking("all", [], None, None), meta()).startswith("Nothing can be said")


def test_attacks_mostly_fail_where_more_than_half_of_them_do():
    assert mostly_fail([0.1, 0.49, 0.9])
    assert not mostly_fail([0.1, 0.5])
    assert not mostly_fail([None, None, 0.1])
