"""The smallest budgets: shares within a budget, the table, and the chart."""

import pytest
from matplotlib.image import imread

from experiments.results.bootstrap import clopper_pearson
from experiments.white_box.charts import budgets
from experiments.white_box.smallest import smallest_tables, within

SMALLEST = {
    "detector": "id",
    "phase": "before",
    "seed": 0,
    "attack": "JointFMN",
    "norm": "linf",
    "n_right": 4,
    "budgets": [0.05, 0.1, 0.3],
    "bounds": [0.05, 0.08, 0.1, 0.3],
    "forward_passes": 205.0,
    "backward_passes": 200.0,
}


def point(at, share):
    walk = {"detector": "id", "phase": "before", "seed": 0, "attack": "hinged", "across": "epsilon"}
    return walk | {"at": at, "n_right": 4, "sr_at_5": share}


CURVES = [point(0.0, 0.0), point(0.1, 0.25), point(0.2, 1.0)]


@pytest.mark.parametrize(("epsilon", "share"), [(0, 0), (0.0499, 0), (0.05, 0.25), (0.1, 0.5), (0.3, 0.75), (1, 0.75)])
def test_share_within_a_budget_is_exact_at_every_budget(epsilon, share):
    assert within(SMALLEST["budgets"], 4, epsilon) == clopper_pearson(share, 4)


def test_of_no_images_there_is_no_share():
    assert within([], 0, 0.1) is None


def test_table_has_the_attack_the_walk_and_whichever_is_higher():
    (table,) = smallest_tables([SMALLEST], CURVES)
    rows = {line[3]: line for line in table.rows}
    assert table.header[5:8] == ["0", "0.1", "0.2"]
    assert rows["JointFMN"][2:8] == [4, "JointFMN", pytest.approx(0.2), 0.0, 0.5, 0.5]
    assert rows["suite and walk"][4:8] == [None, 0.0, 0.25, 1.0]
    # at .1 the suite wins a third image; at .2 the walk wins all
    assert rows["bound"][4:8] == [pytest.approx(0.09), *(str(clopper_pearson(share, 4)) for share in (0.0, 0.75, 1.0))]
    assert rows["JointFMN"][8:] == [205.0, 200.0]


def test_median_is_left_out_where_fewer_than_half_are_won():
    (table,) = smallest_tables([SMALLEST | {"budgets": [0.05]}], CURVES)
    assert table.rows[0][4] is None


def test_without_records_there_is_no_table():
    assert smallest_tables([], CURVES) == []


@pytest.mark.slow
def test_chart_has_a_panel_for_each_phase(tmp_path):
    sizes = []
    for number, phases in enumerate((["before"], ["before", "after"])):
        file = tmp_path / f"{number}.png"
        file.write_bytes(budgets("title", [SMALLEST | {"phase": phase} for phase in phases], CURVES, 0.1))
        sizes.append(imread(file).shape[1])
    assert sizes[0] < sizes[1]
