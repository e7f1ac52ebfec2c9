"""evaluate.py similarity, on a finished run."""

import json
from dataclasses import replace
from inspect import signature

import pytest
import torch
import yaml
from scipy.stats import spearmanr

import evaluate
from attacks import FGSM
from experiments.explanation.similarity.changes import Change, SimilaritySettings
from experiments.explanation.similarity.charts import charts
from experiments.explanation.similarity.comparisons import records_of
from experiments.explanation.similarity.findings import judge
from experiments.explanation.similarity.flags import flags
from experiments.explanation.similarity.grids import grids
from experiments.explanation.similarity.measure import images_of, measure, sign_noise
from experiments.explanation.similarity.protocol import similarity, targets_among
from experiments.explanation.similarity.records import MapsAgain, rows_of
from experiments.explanation.similarity.tables import tables
from experiments.explanation.subject import explained
from experiments.results.result import read_result, write_result
from experiments.study.study import plain
from saliency import LIME, GradCAM, Gradient, GuidedBackprop, Jacobian, Random, SmoothGrad
from tests.experiments.explanation.similarity import made_up
from tests.experiments.studies import copy_of, study_of
from tests.test_configs import ROOT

METHODS = {"guided": GuidedBackprop(), "cam": GradCAM(), "smooth": SmoothGrad(samples=2), "noise": Random()}
FEW = {"images": 12, "epsilons": [0.2, 0.05], "targets": [3, 1], "methods": METHODS, "resamples": 50}


def subject_of(finished, images=12, methods=METHODS):
    return explained(study_of(finished), "similarity", images=images, methods=methods)


def measured(finished, *, epsilons=(0.05, 0.2), targeted_epsilon=0.2, slow=(), **subject):
    """Return what the protocol measures, without its charts and grids."""
    settings = SimilaritySettings(list(epsilons), targeted_epsilon, [3, 1], "mean", 50)
    return measure(subject_of(finished, **subject), settings, slow)


@pytest.fixture(scope="module")
def found(finished):
    return similarity(study_of(finished), **FEW)


def one(found, **wanted):
    (row,) = [row for row in found.rows if all(row[key] == value for key, value in wanted.items())]
    return row


def test_rows_are_the_similarities_of_the_maps_of_the_predicted_classes(finished, found):
    subject = subject_of(finished)
    model, images = subject.classifier, subject.images
    attacked = FGSM(epsilon=0.2)(model, images)
    maps = [GuidedBackprop().attributions(model, each).flatten(1) for each in (images, attacked)]
    expected = [spearmanr(first, second).statistic for first, second in zip(*maps, strict=True)]
    row = one(found, method="guided", metric="spearman", version="untargeted", epsilon=0.2, subset="all")
    assert row["mean"] == pytest.approx(sum(expected) / 12, abs=1e-6)
    with torch.no_grad():
        fooled = int((model(attacked).argmax(1) != subject.predictions).sum())
    part = one(found, method="guided", metric="spearman", version="untargeted", epsilon=0.2, subset="fooled")
    assert part["n"] + part["undefined"] == fooled


def test_everything_is_there(found):
    assert {row["method"] for row in found.rows} == set(METHODS)
    assert {(row["version"], row["epsilon"], row["target"]) for row in found.rows} == {
        *((kind, epsilon, None) for kind in ("untargeted", "sign noise") for epsilon in (0.05, 0.2)),
        *(("targeted", 0.2, target) for target in (None, 1, 3)),
        ("fresh noise", None, None),
        ("another image", None, None),
    }
    assert list(found.figures) == ["", "controls", "targets", "maps_1", "maps_2", "maps_3"]
    assert all(picture.startswith(b"\x89PNG") for picture in found.figures.values())
    assert len(found.meta["claims"]) == 6
    assert [flag.name for flag in found.flags if flag.raised] in ([], ["Similarities are defined"])


def test_fresh_noise_moves_only_methods_with_noise(found):
    means = {name: one(found, method=name, metric="spearman", version="fresh noise")["mean"] for name in METHODS}
    assert means["guided"] == means["cam"] == pytest.approx(1)
    assert 0.2 < means["smooth"] < 0.999
    assert abs(means["noise"]) < 0.1


@pytest.mark.slow
def test_it_is_the_same_again_and_can_be_written(finished, found, tmp_path):
    again = measured(finished)
    records = records_of(again)
    assert rows_of(records) == found.rows
    assert grids(records, again.examples)["maps_2"] == found.figures["maps_2"]
    write_result(found, tmp_path)
    assert json.loads((tmp_path / "similarity.json").read_text())["meta"]["reduction"] == "mean"


def test_an_attack_that_does_nothing_is_flagged(finished):
    weak = records_of(
        measured(finished, epsilons=[1e-6], targeted_epsilon=1e-6, methods={"plain": Gradient()}, images=5)
    )
    assert [flag.name for flag in flags(weak) if flag.raised] == ["The attacks succeed"]
    assert weak.mean("plain", "ssim", Change("untargeted", 1e-6), "fooled") is None
    assert weak.again["plain"].difference == 0


def test_maps_that_change_from_one_time_to_the_next_are_flagged():
    found = records_of(made_up.similarities(lambda *_: 0.5))
    steady, moved = MapsAgain(0.0, 0.0), MapsAgain(0.2, 0.3)
    for second, raised in ((steady, False), (moved, True)):
        same, again = flags(replace(found, again={"plain": steady, "cam": second}))[1:3]
        assert (same.raised, again.raised) == (raised, raised)
    assert "by at most 0.3 (cam)" in same.sentence
    assert "by at most 0.2 (cam)" in again.sentence


@pytest.mark.slow
def test_maps_that_are_constant_are_flagged(finished, monkeypatch):
    monkeypatch.setattr(Jacobian, "attribute", lambda _, problem: torch.ones_like(problem.images))
    flat = records_of(measured(finished, methods={"flat": Jacobian(), "cam": GradCAM()}))
    flag = next(flag for flag in flags(flat) if flag.name == "Similarities are defined")
    assert flag.raised
    assert "flat, Spearman 100 %" in flag.sentence
    rows = rows_of(flat)
    assert {row["mean"] for row in rows if row["method"] == "flat"} == {None}
    told = [tables(flat, judge(flat)), charts(flat) and rows]
    assert "nan" not in json.dumps(told, default=str, allow_nan=False)


@pytest.mark.slow
def test_one_image_has_no_other(finished):
    alone = records_of(measured(finished, images=1))
    assert Change("another image") not in {key.change for key in alone.means}
    assert alone.mean("cam", "hog", Change("another image")) is None


@pytest.mark.slow
def test_a_slow_method_is_left_out_of_targeted_attacks(finished):
    maps = measured(finished, images=2, methods={"cam": GradCAM(), "lime": LIME(samples=5)}, slow=["lime"])
    records = records_of(maps)
    assert records.targeted_methods == ["cam"]
    first = next(table for table in tables(records, judge(records)) if "Table 1" in table.title)
    assert first.rows[1] == ["lime", 0, *[None] * 8]
    assert first.note.endswith("unless --methods names it: lime. Bold: the least similar.")
    assert records.mean("lime", "hog", Change("untargeted", 0.2)) is not None


def test_lime_is_quick_and_slow_to_the_protocol_unless_it_is_asked_for(finished, monkeypatch):
    seen = {}

    def stop(subject, _, slow):
        seen.update(methods=subject.methods, slow=slow)
        raise LookupError

    monkeypatch.setattr("experiments.explanation.similarity.protocol.measure", stop)
    for methods in (None, {"mine": LIME(samples=7)}):
        with pytest.raises(LookupError):
            similarity(study_of(finished), images=2, methods=methods)
        if methods is None:
            assert (seen["methods"]["lime"], seen["slow"]) == (LIME(samples=100), ["lime"])
    assert seen == {"methods": {"mine": LIME(samples=7)}, "slow": []}


def test_noise_has_the_attacks_size_and_is_the_same_for_every_epsilon():
    images = torch.rand(3, 3, 8, 8) * 0.4 + 0.3
    small, large = (sign_noise(images, epsilon) - images for epsilon in (0.1, 0.3))
    assert torch.allclose(small.abs(), torch.full_like(small, 0.1), atol=1e-6)
    assert torch.equal(small.sign(), large.sign())
    assert abs(small.sign().mean()) < 0.2
    assert torch.equal(sign_noise(images[:1], 0.1), sign_noise(images, 0.1)[:1])
    assert not torch.equal(small[0].sign(), small[1].sign())
    assert sign_noise(images, 1.0).min() == 0


def test_targeted_versions_go_towards_their_target(finished):
    subject = subject_of(finished, images=10)
    with torch.no_grad():
        nearer = [
            subject.classifier(images_of(Change("targeted", 0.1, target), subject)).softmax(1)[:, target].mean()
            - subject.classifier(subject.images).softmax(1)[:, target].mean()
            for target in (2, 7)
        ]
    assert min(nearer) > 0


def test_the_epsilon_of_reference_is_the_nearest():
    assert SimilaritySettings([0.01, 0.1, 0.3], 0.2, [0], "mean", 10).reference == 0.3
    assert SimilaritySettings([0.01, 0.1, 0.5], 0.2, [0], "mean", 10).reference == 0.1


def test_many_classes_have_some_of_them_as_targets():
    assert targets_among(20) == list(range(20))
    assert targets_among(28) == list(range(0, 28, 3))
    assert targets_among(28, [3, 1, 3]) == [3, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilons": []}, r"epsilons and targeted_epsilon must lie in \(0, 1\], got \[\] and 0.2"),
        ({"epsilons": [0.0]}, "must lie in"),
        ({"targeted_epsilon": 1.2}, "must lie in .* and 1.2"),
        ({"targets": [10]}, r"targets must be classes from 0 to 9, at least one, or null; got \[10\]"),
        ({"targets": []}, "targets must be classes"),
        ({"reduction": "median"}, "unknown reduction 'median'. Did you mean 'mean'"),
        ({"images": 0}, "images must be at least 1"),
    ],
)
def test_wrong_options_are_told(finished, options, message):
    with pytest.raises(ValueError, match=message):
        similarity(study_of(finished), **options)


@pytest.mark.slow
def test_from_the_command_line(finished, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    methods = tmp_path / "methods.yaml"
    given = {"grad_cam": {"class_path": "saliency.GradCAM"}, "mine": {"class_path": "saliency.Gradient"}}
    methods.write_text(yaml.safe_dump({"methods": given, "images": 4, "epsilons": [0.1, 0.2], "targets": [1]}))
    command = ["similarity", "--run", str(run), "--device", "cpu", "--config", str(methods), "--resamples", "20"]
    assert evaluate.main([*command, "--reduction", "l1"]) == 0
    assert "The paper's findings" in capsys.readouterr().out
    contents = read_result(run / "report" / "similarity.json")
    assert contents["meta"]["reduction"] == "l1"
    assert set(contents["meta"]["methods"]) == set(given)
    assert "Similarity of saliency maps under attack" in (run / "report" / "report.html").read_text()
    assert evaluate.main([*command, "--reduction", "median"]) == 2
    assert evaluate.main([*command, "--targets", "[77]"]) == 1


def test_the_file_of_options_writes_the_defaults_out():
    written = yaml.safe_load((ROOT / "explain" / "similarity.yaml").read_text())
    parameters = list(signature(similarity).parameters.values())[1:]
    assert written == {each.name: plain(each.default) for each in parameters}
