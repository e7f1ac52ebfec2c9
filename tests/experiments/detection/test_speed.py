"""evaluate.py speed: what is counted is exact; times are only there."""

import json

import pytest
import torch
from torch import nn

from detectors import ID, JSD, SMD, SPD, Classifier, Disagreement, MaskArea, MaxSoftmax
from experiments.detection.speed.measure import classifier_passes, flops, parameters
from experiments.detection.speed.protocol import speed
from experiments.detection.speed.records import ALONE
from experiments.detection.speed.systems import Pass, System
from experiments.detection.speed.tables import unsteady
from experiments.detection.timing import device_name, timed
from experiments.results.result import write_result
from experiments.study.contenders import Contender
from tests.experiments.studies import copy_of, study_of

COUNTED = (
    "detector",
    "trained_on",
    "seed",
    "trained_parameters",
    "parameters",
    "flops",
    "flops_ratio",
    "classifier_passes",
)
TIMES = ("latency_ms", "latency_p95_ms", "latency_ratio", "throughput", "time_ratio")


@pytest.fixture(scope="module")
def found(finished):
    return speed(study_of(finished), repeats=3)


def row(found, detector):
    (one,) = [row for row in found.rows if row["detector"] == detector]
    return one


def system(run):
    return System("system", Contender("name", "fgsm", 0, nn.Identity(), torch.zeros(0)), run.eval())


def by_hand(shape, width, outputs):
    """FLOP and parameters of a ConvNet with one block: two for each multiplication and addition."""
    channels, height, width_of = shape
    values = width * ((height - 2) // 2) * ((width_of - 2) // 2)
    first = 2 * 9 * channels * width * height * width_of
    second = 2 * 9 * width * width * (height - 2) * (width_of - 2)
    dense = 2 * values * 128 + 2 * 128 * outputs
    count = (9 * channels + 1) * width + (9 * width + 1) * width + (values + 1) * 128 + 129 * outputs
    return first + second + dense, count


SHAPE = (1, 12, 12)


def test_the_classifier_alone_is_counted_by_hand(classifier, images):
    work, count = by_hand(SHAPE, 4, 4)
    alone = system(Pass(classifier))
    assert flops(alone, images) == work
    assert parameters(alone, images) == count
    assert classifier_passes(alone, images) == 1


def test_id_adds_its_own_network(classifier, images):
    run = system(Pass(classifier, ID(classifier)))
    work, count = by_hand(SHAPE, 4, 4)
    own, parameters_of = by_hand(SHAPE, 4, 1)
    assert flops(run, images) == work + own
    assert parameters(run, images) == count + parameters_of


def test_jsd_counts_a_backward_pass(classifier, images):
    run = system(Pass(classifier, JSD(classifier)))
    forward, count = by_hand(SHAPE, 4, 4)
    network, own = by_hand((2, 12, 12), 4, 1)
    passes = classifier_passes(run, images)
    assert flops(run, images) == (passes + 1) * forward + network  # to the input, backward costs what forward does
    assert parameters(run, images) == count + own


def test_smd_and_spd_need_the_saliency_model_but_not_its_black_box(classifier, saliency, images):
    _, count = by_hand(SHAPE, 4, 4)
    network, own = by_hand(SHAPE, 4, 1)
    head = sum(each.numel() for each in list(saliency.selector.encoder.modules())[-1].parameters())
    learnt = sum(each.numel() for part in (saliency.selector, saliency.decoder) for each in part.parameters())
    counts = {kind: parameters(system(Pass(classifier, kind(classifier, saliency))), images) for kind in (SMD, SPD)}
    assert counts[SMD] == counts[SPD] == count + own + learnt - head
    alone = flops(system(Pass(classifier, MaskArea(classifier, saliency))), images)
    assert flops(system(Pass(classifier, SPD(classifier, saliency))), images) == alone + network


def test_a_training_free_detector_shares_the_classifiers_pass(classifier, saliency, images):
    work, count = by_hand(SHAPE, 4, 4)
    for detector in (MaxSoftmax(classifier), MaskArea(classifier, saliency), Disagreement(classifier, saliency)):
        run = system(Pass(classifier, detector))
        assert classifier_passes(run, images) == 1
        torch.testing.assert_close(run.run(images)[1], detector(images))
        torch.testing.assert_close(run.run(images)[0], classifier(images))
    run = system(Pass(classifier, MaxSoftmax(classifier)))
    assert flops(run, images) == work
    assert parameters(run, images) == count


def test_a_detector_with_another_classifier_shares_nothing(classifier, images):
    other = Classifier(SHAPE, 4, widths=(4,)).eval()
    run = system(Pass(classifier, MaxSoftmax(other)))
    work, count = by_hand(SHAPE, 4, 4)
    assert flops(run, images) == 2 * work
    assert parameters(run, images) == 2 * count
    torch.testing.assert_close(run.run(images)[1], MaxSoftmax(other)(images))


def test_counting_leaves_the_system_as_it_was(classifier, saliency, images):
    detector = SPD(classifier, saliency).eval()
    before = {name: (each.clone(), each.requires_grad) for name, each in detector.named_parameters()}
    run = system(Pass(classifier, detector))
    parameters(run, images)
    flops(run, images)
    for name, each in detector.named_parameters():
        assert torch.equal(each, before[name][0])
        assert each.requires_grad == before[name][1]
        assert each.grad is None
    assert not any(module._forward_hooks for module in detector.modules())


def test_one_row_for_each_detector(found, finished):
    names = [each["detector"] for each in found.rows]
    assert names[:3] == [ALONE, "id", "spd"]
    assert set(names[3:]) == {each.name for each in study_of(finished).training_free}
    assert len(names) == len(set(names))
    assert {tuple(each) for each in found.rows} == {tuple(found.rows[0])}
    assert {*COUNTED, *TIMES} == set(found.rows[0])
    assert row(found, "id")["trained_on"] == "fgsm"
    assert row(found, "max_softmax")["trained_on"] is None


def test_times_are_there(found):
    for each in found.rows:
        assert all(each[name] > 0 for name in TIMES)
        assert each["latency_p95_ms"] >= each["latency_ms"]
    alone = row(found, ALONE)
    assert alone["latency_ratio"] == alone["time_ratio"] == alone["flops_ratio"] == 1
    json.dumps(list(found.rows), allow_nan=False)


@pytest.mark.slow
def test_counts_of_the_finished_run(found, finished):
    work, count = by_hand((1, 28, 28), 4, 10)
    own, own_count = by_hand((1, 28, 28), 4, 1)
    alone, image = row(found, ALONE), row(found, "id")
    assert (alone["flops"], alone["parameters"], alone["trained_parameters"]) == (work, count, count)
    assert (image["flops"], image["parameters"], image["trained_parameters"]) == (
        work + own,
        count + own_count,
        own_count,
    )
    assert row(found, "mask_area")["trained_parameters"] == 0
    again = speed(study_of(finished), repeats=1)
    assert [[each[name] for name in COUNTED] for each in again.rows] == [
        [each[name] for name in COUNTED] for each in found.rows
    ]


def test_finding_and_meta_name_the_machine(found):
    assert found.meta["threads"] == torch.get_num_threads()
    assert found.meta["device_name"] == device_name(torch.device("cpu"))
    assert found.meta["device_name"] in found.finding
    ratios = {each["detector"]: each["latency_ratio"] for each in found.rows[1:]}
    for name in (min(ratios, key=ratios.get), max(ratios, key=ratios.get)):
        assert f"{ratios[name]:.2f} ({name})" in found.finding


def test_files_are_written(found, tmp_path):
    write_result(found, tmp_path)
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    assert "MFLOP" in (tmp_path / "speed.md").read_text()


def test_the_timed_pass_gives_the_detectors_scores(found):
    (flag,) = [each for each in found.flags if each.name == "The timed pass gives other scores"]
    assert flag.raised is False


def test_bad_repeats_and_missing_stages_are_told(finished, tmp_path):
    with pytest.raises(ValueError, match="repeats must be at least 1"):
        speed(study_of(finished), repeats=0)
    copy = copy_of(finished, tmp_path)
    (copy / "detectors/id/fgsm/seed_0/model.ckpt").unlink()
    with pytest.raises(FileNotFoundError, match="make it with"):
        speed(study_of(copy), repeats=1)


def test_timed_returns_value_and_seconds():
    value, seconds = timed(lambda: 7, torch.device("cpu"))
    assert value == 7
    assert seconds >= 0


def test_unsteady_times_are_named_in_the_meta_data(found):
    flagged = next(flag.raised for flag in found.flags if flag.name == "Unsteady times")
    assert found.meta["unsteady"] is flagged
    rows = [{"detector": name, "latency_ms": 1.0, "latency_p95_ms": late} for name, late in (("a", 2.0), ("b", 2.1))]
    assert unsteady(rows) == ["b"]
