"""Each claim's rule, on numbers whose verdict is known."""

import pytest
import torch

from experiments.claims.paper import judge
from experiments.detection.threshold.crossings import crossings_of
from experiments.detection.threshold.records import ThresholdRecords, ThresholdRow
from experiments.detection.threshold.tables import finding
from experiments.results.bootstrap import Statistic
from experiments.results.two_samples import compare


def transfer(contrasts=(), rows=(), seeds=(0, 1, 2), underflow=None):
    records = [
        {"name": n, "value": (low + high) / 2, "low": low, "high": high, "cells": 3} for n, low, high in contrasts
    ]
    measured = underflow or {"n": 100, "share": 0.0, "low": 0.0, "high": 0.04, "share_logit": 0.0}
    meta = {"contrasts": records, "seeds": list(seeds), "underflow": measured, "test_images": 100}
    return {"transfer": {"meta": meta, "rows": list(rows)}}


def verdict(number, found):
    (claim,) = [claim for claim in judge(found) if claim.number == number]
    return claim.verdict


def test_without_any_protocol_nothing_is_decided_and_each_claim_says_what_is_missing():
    claims = judge({})
    assert {claim.verdict for claim in claims} == {"not decided"}
    assert [claim.number for claim in claims] == [
        *["1", "2a", "2b", "3", "4", "5", "6a", "6b"],
        *map(str, range(7, 13)),
        *["A", "B"],
    ]
    assert "`evaluate.py shift` was not run" in claims[0].statistic
    assert all(claim.statistic for claim in claims)


FOUR = ("id", "jsd", "smd", "spd")
NOISE = "spd against noise, unseen attacks, above 0.75"
UNSEEN = [f"spd - {other}, unseen attacks" for other in ("smd", "id", "jsd")]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([(0.01, 0.1)] * 3, "holds"),
        ([(0.01, 0.1), (0.01, 0.1), (-0.01, 0.1)], "not decided"),
        ([(0.01, 0.1), (0.01, 0.1), (-0.1, -0.01)], "does not hold"),
    ],
)
def test_spd_is_best_if_it_is_ahead_of_every_other(ends, expected):
    contrasts = [(n, *e) for n, e in zip(UNSEEN, ends, strict=True)]
    assert verdict("2a", transfer([*contrasts, (NOISE, 0.01, 0.1)])) == expected


@pytest.mark.parametrize(
    ("ends", "expected"), [((0.01, 0.1), "holds"), ((-0.1, 0.1), "not decided"), ((-0.2, -0.1), "does not hold")]
)
def test_what_holds_against_clean_images_must_hold_against_noise(ends, expected):
    contrasts = [(name, 0.01, 0.1) for name in UNSEEN]
    assert verdict("2a", transfer([*contrasts, (NOISE, *ends)])) == expected


def test_with_too_few_seeds_a_claim_is_not_decided_but_told():
    found = transfer([(name, 0.01, 0.1) for name in [*UNSEEN, NOISE]], seeds=[0])
    (claim,) = [claim for claim in judge(found) if claim.number == "2a"]
    assert claim.verdict == "not decided"
    assert claim.statistic.startswith("1 seed is too few to decide, it takes 3; spd - smd")


def test_where_numbers_are_not_recorded_nothing_is_decided():
    found = transfer([(name, 0.01, 0.1) for name in [*UNSEEN, NOISE]])
    del found["transfer"]["meta"]["test_images"]
    (claim,) = [claim for claim in judge(found) if claim.number == "2a"]
    assert claim.verdict == "not decided"
    assert claim.statistic.startswith("the number of images is not recorded; spd - smd")


def test_a_difference_that_does_not_vary_decides_nothing():
    contrasts = [("jsd - id, all attacks", 0.0, 0.0)]
    (claim,) = [claim for claim in judge(transfer(contrasts)) if claim.number == "3"]
    assert claim.verdict == "not decided"
    assert claim.statistic.startswith("jsd - id, all attacks does not vary: its interval has no width; ")


def test_one_that_does_not_vary_saves_no_claim_that_another_refutes():
    ends = [(0.0, 0.0), (0.01, 0.1), (-0.1, -0.01)]
    contrasts = [(n, *e) for n, e in zip(UNSEEN, ends, strict=True)]
    assert verdict("2a", transfer([*contrasts, (NOISE, 0.01, 0.1)])) == "does not hold"


def cell(detector, trained_on, tested_on, auroc):
    """A record of the detection matrix."""
    known = {"detector": detector, "trained_on": trained_on, "tested_on": tested_on, "auroc": auroc}
    return known | {"subset": "all"}


@pytest.mark.parametrize(("area", "expected"), [(0.97, "holds"), (0.99, "not decided")])
def test_that_nothing_is_added_is_not_decided_at_the_ceiling(area, expected):
    rows = [cell(name, "a", "a", area) for name in ("id", "jsd")]
    with_others = [*rows, *3 * [cell("id", "all-but-a", "a", 1.96 - area)], cell("id", "a", "b", 1.96 - area)]
    for each in (rows, with_others):
        assert verdict("3", transfer([("jsd - id, all attacks", -0.001, 0.002)], rows=each)) == expected


@pytest.mark.parametrize(("images", "expected"), [(19, "not decided"), (20, "holds")])
def test_no_claim_is_decided_by_few_images(images, expected):
    found = transfer([(name, 0.01, 0.1) for name in [*UNSEEN, NOISE]])
    found["transfer"]["meta"]["test_images"] = images
    assert verdict("2a", found) == expected


@pytest.mark.parametrize(("images", "expected"), [(3, "not decided"), (20, "holds")])
def test_no_claim_under_attack_is_decided_by_few_images_that_were_right(images, expected):
    found = white_box([(name, 0.6, 0.9) for name in FOUR], right=images)
    (claim,) = [claim for claim in judge(found) if claim.number == "6a"]
    assert claim.verdict == expected
    few = f"{images} images classified right are too few to decide, it takes 20; worst case"
    assert claim.statistic.startswith(few) is (expected == "not decided")


def test_a_missing_contrast_is_named():
    (claim,) = [claim for claim in judge(transfer()) if claim.number == "12"]
    assert "does not allow to compute: same family of norms" in claim.statistic


@pytest.mark.parametrize(
    ("spd", "other", "expected"),
    [
        ((0.1, 0.2), (-0.3, -0.1), "holds"),
        ((0.1, 0.2), (0.05, 0.1), "does not hold"),
        ((-0.2, -0.1), (-0.3, -0.1), "does not hold"),
        ((-0.1, 0.1), (-0.3, -0.1), "not decided"),
    ],
)
def test_from_weak_to_strong_needs_spd_to_detect_and_the_others_to_fail(spd, other, expected):
    names = {"spd": spd, "id": other, "jsd": (-0.3, -0.1)}
    contrasts = [(f"{name}, from FGSM to other attacks, above 0.75", *ends) for name, ends in names.items()]
    assert verdict("2b", transfer([*contrasts, (NOISE, 0.01, 0.1)])) == expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [((-0.1, 0.01), "holds"), ((0.03, 0.1), "does not hold"), ((-0.01, 0.03), "not decided")],
)
def test_that_the_jacobian_adds_nothing_is_a_test_with_a_margin(ends, expected):
    assert verdict("3", transfer([("jsd - id, all attacks", *ends)])) == expected


def test_worse_on_jsma_is_below_zero():
    names = [f"{name}, JSMA - other attacks" for name in ("id", "jsd", "smd", "spd")]
    assert verdict("4", transfer([(name, -0.2, -0.1) for name in names])) == "holds"
    assert (
        verdict("4", transfer([(names[0], 0.1, 0.2), *((name, -0.2, -0.1) for name in names[1:])])) == "does not hold"
    )


def threshold(n=200, smallest=0.01, seeds=(0, 1, 2), attack="fgsm", **areas):
    """Of each detector the AUROC at epsilon .01 and .1, which differs between seeds by .01."""
    rows, statistics = [], {}
    for name, two in areas.items():
        for epsilon, area in zip((0.01, 0.1), two, strict=True):
            values = [area + 0.01 * place for place in range(len(seeds))]
            error = (area * (1 - area) / n) ** 0.5
            spread = area + error * torch.linspace(-2, 2, 41, dtype=torch.float64)
            point = attack, name, attack, "successful", epsilon
            statistics[point] = Statistic(sum(values) / len(values), spread, n, values).plain
            rows += [
                ThresholdRow(
                    name,
                    attack,
                    seed,
                    attack,
                    epsilon,
                    "successful",
                    n,
                    {"auroc": value, "accuracy": value},
                    median_l2=epsilon,
                    median_rms=epsilon,
                    attack_success_rate=1.0,
                    right_before=n,
                )
                for seed, value in zip(seeds, values, strict=True)
            ]
    crossings = crossings_of(ThresholdRecords(rows, statistics, {}))
    meta = {"seeds": list(seeds), "smallest": smallest, "level": 0.75, "test_images": 400, "crossings": crossings}
    return {"threshold": {"meta": meta, "rows": rows}}


FAILS, STANDS, NEAR = (0.6, 0.9), (0.9, 0.9), (0.74, 0.9)


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ((FAILS, FAILS, STANDS, STANDS), "holds"),
        ((FAILS, FAILS, STANDS, FAILS), "does not hold"),
        ((STANDS, FAILS, STANDS, STANDS), "does not hold"),
        ((FAILS, FAILS, STANDS, (0.9, 0.6)), "holds"),  # it fails above a size, not below one
        ((FAILS, FAILS, STANDS, (0.6, 0.5)), "does not hold"),  # it never detects
        ((FAILS, NEAR, STANDS, STANDS), "not decided"),
        ((FAILS, FAILS, STANDS, (0.76, 0.9)), "not decided"),
        ((FAILS, NEAR, STANDS, FAILS), "does not hold"),
        ((FAILS, FAILS, (1.0, 1.0), STANDS), "holds"),  # resampling an AUROC of 1 gives no width
    ],
)
def test_threshold_behaviour_is_decided_as_in_the_protocol_s_own_finding(areas, expected):
    found = threshold(**dict(zip(FOUR, areas, strict=True)))
    assert verdict("5", found) == expected
    meta = found["threshold"]["meta"]
    said = {"holds": "the claim holds", "does not hold": "the claim does not hold"}.get(expected, "is not decided")
    assert f"On successful pairs of fgsm {said}" in finding(meta["crossings"], meta).replace("the claim is", "is")


def test_threshold_behaviour_needs_pairs_seeds_all_detectors_and_the_smallest_size():
    areas = dict(zip(FOUR, (FAILS, FAILS, STANDS, STANDS), strict=True))
    assert verdict("5", threshold()) == "not decided"
    assert verdict("5", threshold(**areas, n=19)) == "not decided"
    assert verdict("5", threshold(**areas, n=20)) == "not decided"  # the intervals are too wide
    assert verdict("5", threshold(**areas, seeds=[0])) == "not decided"
    assert verdict("5", threshold(**{name: areas[name] for name in FOUR[:3]})) == "not decided"
    stands = threshold(**(areas | {"id": STANDS}), smallest=0.001)
    (claim,) = [claim for claim in judge(stands) if claim.number == "5"]
    assert claim.verdict == "not decided"
    assert claim.statistic.startswith("fgsm: id: too few pairs below 0.01; lowest AUROC on successful pairs")


def test_threshold_behaviour_must_hold_on_every_attack():
    first, second = (
        threshold(attack=name, **dict(zip(FOUR, (FAILS, FAILS, STANDS, spd), strict=True)))["threshold"]
        for name, spd in (("fgsm", STANDS), ("bim", FAILS))
    )
    assert verdict("5", {"threshold": first}) == "holds"
    first["meta"]["crossings"] += second["meta"]["crossings"]
    assert verdict("5", {"threshold": first}) == "does not hold"


def test_an_older_file_without_the_lowest_aurocs_is_named():
    found = threshold(**dict.fromkeys(FOUR, STANDS))
    for row in found["threshold"]["meta"]["crossings"]:
        del row["lowest"]
    (claim,) = [claim for claim in judge(found) if claim.number == "5"]
    assert (claim.verdict, claim.statistic[:34]) == ("not decided", "the report is of an older version:")


def shift(*verdicts):
    rows = [
        {"map": "learnt", "sample": "natural - adversarial", "subset": "all", "attack": str(i), "verdict": each}
        | {"probability": 0.5, "low": 0.4, "high": 0.6, "n": 50, "n_different": 25}
        for i, each in enumerate(verdicts)
    ]
    return {"shift": {"meta": {"test_images": 100}, "rows": rows}}


def test_the_shift_is_as_large_if_no_attack_s_is_smaller():
    assert verdict("1", shift("as large", "larger")) == "holds"
    assert verdict("1", shift("as large", "not decided")) == "not decided"
    assert verdict("1", shift("as large", "smaller")) == "does not hold"
    assert verdict("1", shift()) == "not decided"


def compared(x, y):
    comparison = compare(torch.as_tensor(x), torch.as_tensor(y))
    found = shift(comparison.verdict)
    found["shift"]["rows"][0] |= {name: getattr(comparison, name) for name in ("probability", "low", "high", "n")}
    return found


def test_the_shift_of_one_pair_or_of_equal_maps_decides_nothing():
    assert verdict("1", compared([2.0], [1.0])) == "not decided"
    assert verdict("1", compared([0.0] * 100, [0.0] * 50)) == "not decided"
    assert verdict("1", compared([2.0] * 30, [1.0] * 30)) == "not decided"  # an interval without width
    apart = torch.linspace(0.6, 1.6, 30), torch.linspace(0, 1, 30)
    assert verdict("1", compared(*apart)) == "holds"


@pytest.mark.parametrize(("n", "n_different"), [(19, 50), (50, 19)])
def test_the_shift_needs_pairs_on_both_sides(n, n_different):
    found = shift("as large")
    found["shift"]["rows"][0] |= {"n": n, "n_different": n_different}
    (claim,) = [claim for claim in judge(found) if claim.number == "1"]
    assert claim.verdict == "not decided"
    assert claim.statistic.startswith("19 pairs are too few to decide, it takes 20; 0 P(X > Y) 0.50")


def test_an_older_file_of_equal_maps_decides_nothing():
    found = shift("as large")
    found["shift"]["rows"][0] |= {"low": 0.5, "high": 0.5}
    (claim,) = [claim for claim in judge(found) if claim.number == "1"]
    assert (claim.verdict, claim.statistic[:31]) == ("not decided", "all distances are equal under 0")


def test_real_time_is_a_camera_s_frame():
    assert verdict("7", speed(5.0)) == "holds"
    assert verdict("7", speed(40.0)) == "does not hold"


def speed(latency, repeats=30, **changes):
    meta = {"repeats": {"latency": repeats, "throughput": 3}} | changes
    return {"speed": {"meta": meta, "rows": [{"detector": "spd", "latency_p95_ms": latency, "time_ratio": 3.0}]}}


def test_real_time_is_not_decided_by_unsteady_or_few_times():
    assert verdict("7", speed(5.0, unsteady=False)) == "holds"
    assert verdict("7", speed(5.0, unsteady=True)) == "not decided"
    assert verdict("7", speed(5.0, repeats=19)) == "not decided"
    for raised, expected in ((True, "not decided"), (False, "holds")):  # a file from before `unsteady` was in it
        older = speed(5.0)
        older["speed"]["report"] = {"flags": [{"name": "Unsteady times", "raised": raised}]}
        assert verdict("7", older) == expected


@pytest.mark.parametrize(
    ("share", "low", "high", "n", "expected"),
    [
        (0.2, 0.13, 0.29, 100, "holds"),
        (0.0, 0.0, 0.037, 100, "does not hold"),
        (0.0, 0.0, 0.161, 20, "not decided"),
        (0.06, 0.03, 0.12, 100, "not decided"),
        (1.0, 0.83, 1.0, 19, "not decided"),
    ],
)
def test_underflow_is_a_share_with_a_margin(share, low, high, n, expected):
    measured = {"n": n, "share": share, "low": low, "high": high, "share_logit": 0.0}
    assert verdict("10", transfer(underflow=measured)) == expected


STRENGTH = {"test_images": 100, "seeds": [0, 1, 2]}


def sized(detection):
    """Records of the matrix beside attacks a to f, each larger than the one before."""
    sizes = [
        {"attack": a, "subset": "all", "norm": norm, "mean": float(i)}
        for i, a in enumerate("abcdef")
        for norm in ("l2", "linf")
    ]
    return transfer(rows=detection) | {"strength": {"meta": STRENGTH, "rows": sizes}}


def unseen(slope, trained_on="a", detector="spd", attacks="abcdef"):
    """Records of a detector that was trained on one attack: .5 on it, and an AUROC that follows the others' size."""
    return [
        cell(detector, trained_on, a, 0.5 if a == trained_on else 0.5 + slope * i / 20) for i, a in enumerate(attacks)
    ]


@pytest.mark.parametrize(("slope", "expected"), [(1, "holds"), (-1, "does not hold")])
def test_detection_follows_size_by_rank(slope, expected):
    assert verdict("11", sized(unseen(slope))) == expected
    for count in (1, 2, 4, 5):  # one of them was trained on
        assert verdict("11", sized(unseen(slope, attacks="abcdef"[:count]))) == "not decided"
    unknown = [row | {"auroc": None} for row in unseen(slope)]
    assert verdict("11", sized(unseen(slope) + unknown)) == expected


def test_detection_follows_size_on_attacks_that_were_not_trained_on():
    """Cells that were trained on, detectors of several attacks and training-free ones would turn the verdict."""
    known = unseen(1) + unseen(1, "b")
    (claim,) = [claim for claim in judge(sized(known)) if claim.number == "11"]
    assert claim.verdict == "holds"
    assert claim.statistic.startswith(
        "mean AUROC of learnt detectors on attacks that they were not trained on, 10 cells"
    )
    others = [row | {"auroc": 99.0} for row in known if row["trained_on"] == row["tested_on"]]
    others += [row | {"trained_on": "all-but-f"} for row in unseen(-1)] * 3
    others += [row | {"trained_on": None, "detector": "area"} for row in unseen(-1)]
    assert verdict("11", sized([row for row in known if row["trained_on"] != row["tested_on"]] + others)) == "holds"
    few = unseen(1, "b", detector="id")[:-1]  # id was not tested on f: that cell counts for no detector
    (claim,) = [claim for claim in judge(sized(unseen(1, "b") + few)) if claim.number == "11"]
    assert claim.verdict == "not decided"


def white_box(ends=(), contrasts=(), phase="before", seeds=(0, 1, 2), right=100, won=0.5):
    rows = [
        {"detector": name, "phase": phase, "attack": "worst case", "seed": seed, "sr_at_5": (low + high) / 2}
        | {"sr_at_5_low": low, "sr_at_5_high": high, "n_right": right}
        for name, low, high in ends
        for seed in seeds
    ]
    rows += [
        {"detector": name, "phase": "before", "attack": "alternating", "seed": seed, "n_right": right}
        | {"fooled_both": won}
        for name in ("id", "jsd", "smd", "spd")
        for seed in seeds
    ]
    records = [
        {"name": n, "detector": n.partition(",")[0], "value": (low + high) / 2, "low": low, "high": high}
        for n, low, high in contrasts
    ]
    meta = {"contrasts": records, "steps": 100, "attacked_seeds": list(seeds), "suite_seeds": list(seeds)}
    return {"white-box": {"meta": meta | {"attacked_images": 120}, "rows": rows}}


@pytest.mark.parametrize(
    ("spd", "expected"), [((0.8, 0.9), "holds"), ((0.4, 0.6), "not decided"), ((0.1, 0.2), "does not hold")]
)
def test_every_detector_must_lose_more_than_half(spd, expected):
    ends = [(name, 0.8, 0.9) for name in FOUR[:3]]
    assert verdict("6a", white_box([*ends, ("spd", *spd)])) == expected


@pytest.mark.parametrize(
    ("spd", "smd", "expected"),
    [
        ((0.1, 0.2), (0.8, 0.9), "holds"),
        ((0.1, 0.2), (0.1, 0.2), "does not hold"),
        ((0.8, 0.9), (0.8, 0.9), "does not hold"),
        ((0.4, 0.6), (0.8, 0.9), "not decided"),
    ],
)
def test_after_retraining_spd_must_stand_and_smd_fall(spd, smd, expected):
    found = white_box([("spd", *spd), ("smd", *smd)], phase="after")
    assert verdict("6b", found) == expected


def test_without_retrained_detectors_their_claim_is_not_decided():
    (claim,) = [claim for claim in judge(white_box([("spd", 0.8, 0.9)])) if claim.number == "6b"]
    assert (claim.verdict, claim.statistic) == ("not decided", "no worst case after retraining of spd, smd")


def test_the_whole_suite_on_one_seed_decides_nothing():
    found = white_box([(name, 0.8, 0.9) for name in FOUR], seeds=[0])
    assert verdict("6a", found) == "not decided"


def test_seeds_that_differ_decide_less_than_their_mean():
    found = white_box([(name, 0.8, 0.9) for name in FOUR])
    worst = [row for row in found["white-box"]["rows"] if (row["detector"], row["attack"]) == ("spd", "worst case")]
    for row, value in zip(worst, (0.5, 0.7, 0.9), strict=True):
        row |= {"sr_at_5": value, "sr_at_5_low": value - 0.05, "sr_at_5_high": value + 0.05}
    (claim,) = [claim for claim in judge(found) if claim.number == "6a"]
    assert claim.verdict == "not decided"  # the mean is .7, its interval reaches from .2 to 1
    assert "spd 0.700 [0.201, 1.000]" in claim.statistic


def test_a_detector_that_loses_every_image_has_fallen():
    assert verdict("6a", white_box([(name, 1.0, 1.0) for name in FOUR])) == "holds"


@pytest.mark.parametrize(
    ("right", "seeds", "won", "reason"),
    [
        (3, (0, 1, 2), 0.5, "3 images classified right are too few"),
        (100, (0,), 0.5, "1 seed is too few"),
        (100, (0, 1, 2), 1.0, "five iterations win 1.000 of the images on id, so that more cannot help by 0.02"),
    ],
)
def test_that_iterations_do_not_help_is_not_decided_by_little(right, seeds, won, reason):
    contrasts = [(f"{name}, more iterations", -0.01, 0.01) for name in FOUR]
    found = white_box(contrasts=contrasts, right=right, seeds=seeds, won=won)
    (claim,) = [claim for claim in judge(found) if claim.number == "8"]
    assert claim.verdict == "not decided"
    assert reason in claim.statistic
    constant = white_box(contrasts=[(name, 0.0, 0.0) for name, *_ in contrasts], won=0.0)
    assert verdict("8", constant) == "not decided"


@pytest.mark.parametrize(
    ("ends", "expected"), [((-0.01, 0.01), "holds"), ((0.0, 0.1), "not decided"), ((0.03, 0.1), "does not hold")]
)
def test_more_iterations_do_not_help_if_they_win_hardly_more(ends, expected):
    contrasts = [(f"{name}, more iterations", -0.01, 0.01) for name in FOUR[:3]]
    found = white_box(contrasts=[*contrasts, ("spd, more iterations", *ends)])
    assert verdict("8", found) == expected
    assert verdict("8", white_box(contrasts=contrasts)) == "not decided"
    found["white-box"]["meta"]["steps"] = 10
    assert verdict("8", found) == "not decided"


@pytest.mark.parametrize(
    ("ends", "expected"), [((0.03, 0.1), "holds"), ((-0.1, 0.1), "not decided"), ((-0.1, -0.03), "does not hold")]
)
def test_the_alternation_must_beat_the_mix_on_every_detector(ends, expected):
    mixes = [(f"{name}, alternation - Metzen's mix", 0.1, 0.2) for name in FOUR[:3]]
    mixes.append(("spd, alternation - Metzen's mix", *ends))
    assert verdict("9", white_box(contrasts=mixes)) == expected
