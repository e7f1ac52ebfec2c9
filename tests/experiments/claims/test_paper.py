"""Each claim's rule, on numbers whose verdict is known."""

import pytest

from experiments.claims.paper import judge


def transfer(contrasts=(), rows=(), seeds=(0, 1, 2), underflow=None):
    records = [
        {"name": n, "value": (low + high) / 2, "low": low, "high": high, "cells": 3} for n, low, high in contrasts
    ]
    measured = underflow or {"n": 100, "share": 0.0, "low": 0.0, "high": 0.04, "share_logit": 0.0}
    return {
        "transfer": {"meta": {"contrasts": records, "seeds": list(seeds), "underflow": measured}, "rows": list(rows)}
    }


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
    assert claim.statistic.startswith("1 seed(s), a claim needs 3; on these it holds: spd - smd")


@pytest.mark.parametrize(("images", "expected"), [(19, "not decided"), (20, "holds")])
def test_no_claim_is_decided_by_few_images(images, expected):
    found = transfer([(name, 0.01, 0.1) for name in [*UNSEEN, NOISE]])
    found["transfer"]["meta"]["test_images"] = images
    assert verdict("2a", found) == expected


@pytest.mark.parametrize(("images", "expected"), [(3, "not decided"), (20, "holds")])
def test_no_claim_under_attack_is_decided_by_few_attacked_images(images, expected):
    found = white_box([(name, 0.6, 0.9) for name in ("id", "jsd", "smd", "spd")], phase="before")
    found["white-box"]["meta"] |= {"attacked_images": images, "test_images": 500}
    assert verdict("6a", found) == expected


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


def threshold(**fails):
    crossings = [
        {"attack": "fgsm", "detector": name, "subset": "successful", "measure": "auroc", "fails": value, "told": "x"}
        | {"smallest_epsilon": 0.005}
        for name, value in fails.items()
    ]
    meta = {"seeds": [0, 1, 2], "crossings": crossings, "smallest": 0.005, "level": 0.75}
    return {"threshold": {"meta": meta, "rows": []}}


def test_threshold_behaviour_is_that_of_id_and_jsd_alone():
    assert verdict("5", threshold(id=True, jsd=True, smd=False, spd=False)) == "holds"
    assert verdict("5", threshold(id=True, jsd=True, smd=False, spd=True)) == "does not hold"
    assert verdict("5", threshold(id=False, jsd=True, smd=False, spd=False)) == "does not hold"
    assert verdict("5", threshold(id=True, jsd=True, smd=False)) == "not decided"
    assert verdict("5", threshold()) == "not decided"


def shift(*verdicts):
    rows = [
        {"map": "learnt", "sample": "natural - adversarial", "subset": "all", "attack": str(i), "verdict": each}
        | {"probability": 0.5, "low": 0.4, "high": 0.6}
        for i, each in enumerate(verdicts)
    ]
    return {"shift": {"meta": {}, "rows": rows}}


def test_the_shift_is_as_large_if_no_attack_s_is_smaller():
    assert verdict("1", shift("as large", "larger")) == "holds"
    assert verdict("1", shift("as large", "not decided")) == "not decided"
    assert verdict("1", shift("as large", "smaller")) == "does not hold"
    assert verdict("1", shift()) == "not decided"


def test_real_time_is_a_camera_s_frame():
    rows = [{"detector": "spd", "latency_p95_ms": 5.0, "time_ratio": 3.0}]
    assert verdict("7", {"speed": {"meta": {}, "rows": rows}}) == "holds"
    assert verdict("7", {"speed": {"meta": {}, "rows": [rows[0] | {"latency_p95_ms": 40.0}]}}) == "does not hold"


@pytest.mark.parametrize(("low", "share", "expected"), [(0.05, 0.1, "holds"), (0.0, 0.0, "does not hold")])
def test_underflow_is_counted(low, share, expected):
    measured = {"n": 100, "share": share, "low": low, "high": 0.2, "share_logit": 0.0}
    assert verdict("10", transfer(underflow=measured)) == expected


@pytest.mark.parametrize(("slope", "expected"), [(1, "holds"), (-1, "does not hold")])
def test_detection_follows_size_by_rank(slope, expected):
    attacks = list("abcdef")
    detection = [
        {"trained_on": "a", "tested_on": a, "subset": "all", "auroc": 0.5 + slope * i / 20}
        for i, a in enumerate(attacks)
    ]
    sizes = [
        {"attack": a, "subset": "all", "norm": norm, "mean": float(i)}
        for i, a in enumerate(attacks)
        for norm in ("l2", "linf")
    ]
    found = transfer(rows=detection) | {"strength": {"meta": {}, "rows": sizes}}
    assert verdict("11", found) == expected
    few = transfer(rows=detection[:3]) | {"strength": {"meta": {}, "rows": sizes}}
    assert verdict("11", few) == "not decided"
    unknown = [row | {"auroc": None} for row in detection]
    assert verdict("11", transfer(rows=detection + unknown) | {"strength": {"meta": {}, "rows": sizes}}) == expected
    left_out = [row | {"trained_on": "all-but-f", "auroc": 1.5 - row["auroc"]} for row in detection]
    with_them = transfer(rows=detection + 3 * left_out) | {"strength": {"meta": {}, "rows": sizes}}
    assert verdict("11", with_them) == expected


def white_box(ends=(), contrasts=(), phase="before", seeds=(0, 1, 2)):
    rows = [
        {"detector": name, "phase": phase, "attack": "worst case", "seed": seed, "sr_at_5": (low + high) / 2}
        | {"sr_at_5_low": low, "sr_at_5_high": high}
        for name, low, high in ends
        for seed in seeds
    ]
    records = [
        {"name": n, "detector": n.partition(",")[0], "value": (low + high) / 2, "low": low, "high": high}
        for n, low, high in contrasts
    ]
    meta = {"contrasts": records, "steps": 100, "attacked_seeds": list(seeds), "suite_seeds": list(seeds)}
    return {"white-box": {"meta": meta, "rows": rows}}


FOUR = ("id", "jsd", "smd", "spd")


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
