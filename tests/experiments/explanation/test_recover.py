"""evaluate.py recover: attacks on regions, explanations of them, and what is made of that."""

import json
from dataclasses import replace
from functools import wraps
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import evaluate
from attacks import LocalizedBIM
from detectors import Classifier, TorchvisionNetwork
from experiments.evaluation.protocols import PROTOCOLS
from experiments.explanation.recover.attempts import attempted, targets_of
from experiments.explanation.recover.findings import finding, judge
from experiments.explanation.recover.flags import flags
from experiments.explanation.recover.measure import examples_of, measure
from experiments.explanation.recover.overlaps import Attempts
from experiments.explanation.recover.protocol import recover
from experiments.explanation.recover.records import PERTURBATION, RANDOM, UNIONS
from experiments.explanation.subject import Explained, explained
from experiments.results.result import write_result
from saliency import LIME, Gradient, GuidedBackprop, Random
from saliency.checkpoints import save
from tests.experiments.studies import study_of

METHODS = {"gradient": Gradient(), "guided_backprop": GuidedBackprop(), "lime": LIME(samples=20), RANDOM: Random()}
QUICK = {"steps": 40, "step_size": 0.05, "probability": 0.15}
"""The classifier is hardly trained: no class has .2 of the probability anywhere."""
ATTACK = LocalizedBIM(targeted=True, **QUICK)
CONFIGS = Path(evaluate.__file__).parent / "configs/explain"


@pytest.fixture(scope="module")
def subject(finished):
    return explained(study_of(finished), "recover", images=14, methods=METHODS)


@pytest.fixture(scope="module")
def attempts(subject):
    return attempted(subject, ATTACK, 4, None)


@pytest.fixture(scope="module")
def measured(subject, attempts):
    return measure(subject, attempts, examples_of(attempts, 3), 100)


@pytest.fixture(scope="module")
def found(finished):
    return recover(study_of(finished), images=14, methods=METHODS, target=None, regions=4, resamples=50, **QUICK)


@pytest.mark.slow
def test_attacks_reach_their_target_within_their_region(subject, attempts):
    assert 0 < attempts.succeeded.sum() < len(attempts.succeeded)
    assert torch.equal(attempts.logits.argmax(1), attempts.targets)
    assert (attempts.logits.softmax(1).gather(1, attempts.targets[:, None]) >= 0.15 - 1e-4).all()
    clean = subject.images[attempts.sources]
    outside = ~attempts.regions[:, None].expand_as(clean)
    assert torch.equal(attempts.adversarial[outside], clean[outside])
    assert attempts.escaped == 0
    assert torch.bincount(attempts.image).max() <= 4
    areas = attempts.region.sum((1, 2))
    assert all((areas[attempts.image == number].diff() <= 0).all() for number in attempts.image.unique())


def test_a_target_is_one_class_or_the_runner_up():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    assert targets_of(logits, 2).tolist() == [2, 2]
    assert targets_of(logits, None).tolist() == [2, 2]
    assert targets_of(logits[:, :2], 0).tolist() == [1, 0]
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=f"target must be a class from 0 to 2, or null .* got {wrong}"):
            targets_of(logits, wrong)


def test_images_predicted_as_the_target_are_left_out(subject):
    target = int(subject.predictions[0])
    attempts = attempted(subject, ATTACK, 1, target)
    assert torch.equal(attempts.left_out, subject.predictions == target)
    assert not attempts.left_out[attempts.image].any()
    assert (attempts.target == target).all()


@pytest.mark.slow
def test_nothing_to_attack_and_no_success_are_told(subject):
    flat = replace(subject, images=torch.zeros_like(subject.images))
    with pytest.raises(ValueError, match=r"nothing to attack: .* give other images, or another target"):
        attempted(flat, ATTACK, 4, None)
    with pytest.raises(ValueError, match=r"none of \d+ attacks succeeds .* step_size, or lower probability"):
        attempted(subject, replace(ATTACK, step_size=0.0, probability=0.9), 4, None)
    with pytest.raises(ValueError, match=r"none of \d+ attacks succeeds .* raise probability: below \.5 another"):
        attempted(subject, replace(ATTACK, step_size=0.0), 4, None)


@pytest.mark.slow
def test_explanations_have_the_sizes_of_limes_unions(measured, attempts, subject):
    results = measured
    assert list(results.methods) == ["gradient", "guided_backprop", "lime", PERTURBATION, RANDOM]
    assert (results.sizes.diff(dim=1) >= 0).all()
    lime = subject.methods["lime"]
    row = int(results.examples[0])
    weights = subject.attributions("lime", attempts.adversarial, attempts.targets)[row, 0]
    where = lime.superpixels(attempts.adversarial)[row]
    of_each = torch.stack([weights[where == number][0] for number in range(int(where.max()) + 1)])
    best = of_each.argsort(descending=True)[: min(5, int((of_each > 0).sum()))]
    union = torch.isin(where, best)
    assert results.sizes[row, 4] == union.sum()
    assert set(results.methods["lime"].shown[0, : int(union.sum())].tolist()) == set(
        union.flatten().nonzero().flatten().tolist()
    )
    region = attempts.regions[row]
    expected = (union & region).sum() / (union | region).sum()
    assert results.methods["lime"].jaccard[row, 4].item() == pytest.approx(expected.item())
    assert (results.superpixels >= results.positive).all()


def test_the_positive_control_finds_the_region_and_noise_does_not(measured):
    control, noise = measured.methods[PERTURBATION], measured.methods[RANDOM]
    share = measured.attempts.regions.float().mean().item()
    assert control.auroc.min() > 0.7  # black pixels whose value should fall stay as they are
    assert control.auroc.mean() > 0.85
    assert control.level.mean() > 0.6
    assert noise.auroc.mean().item() == pytest.approx(0.5, abs=0.1)
    assert noise.level.mean().item() == pytest.approx(share / 2, abs=0.1)


def test_a_mean_weighs_adversarial_images_and_resamples_photographs(measured, attempts):
    four = replace(
        attempts,
        image=torch.tensor([4, 4, 4, 9]),
        succeeded=torch.ones(4, dtype=torch.bool),
        adversarial=torch.empty(4),
    )
    alone = replace(measured, attempts=four, resamples=2000)
    found = alone.mean(torch.tensor([1.0, 1.0, 1.0, 5.0]))
    assert (alone.photographs, found.value, found.n) == (2, 2.0, 2)
    assert (found.low, found.high) == (1.0, 5.0)
    assert alone.mean(torch.tensor([[0.0, 2.0]] * 4)).value == 1


def test_ranks_of_the_papers_methods_sum_to_six(measured):
    for name in ("jaccard", "likeness"):
        by_name = measured.ranks(["gradient", "guided_backprop", "lime"], name)
        assert list(by_name) == ["gradient", "guided_backprop", "lime"]
        assert (sum(by_name.values()) == 6).all()
    means = measured.records().methods
    ranks = {name: of_method["rank_among_all_jaccard"] for name, of_method in means.items()}
    assert ranks.pop(PERTURBATION) is None
    assert sum(mean.value for mean in ranks.values()) == pytest.approx(10)


def with_methods(measured, photographs=None, **methods):
    """Return statistics in which some methods are others, and the photographs so many."""
    attempts = measured.attempts
    if photographs is not None:
        image = attempts.image.clone()
        image[attempts.succeeded] = torch.arange(len(attempts.adversarial)) % photographs
        attempts = replace(attempts, image=image)
    return replace(measured, attempts=attempts, resamples=200, methods={**measured.methods, **methods})


def judged(overlaps):
    return judge(overlaps.records())


@pytest.mark.slow
def test_findings_are_right_about_made_up_methods(measured):
    best, worst = measured.methods[PERTURBATION], measured.methods[RANDOM]
    zero = replace(worst, jaccard=torch.zeros_like(worst.jaccard))
    verdicts = [
        each.verdict
        for each in judged(with_methods(measured, 20, lime=best, guided_backprop=worst, gradient=zero, learnt=best))
    ]
    assert verdicts[1:3] == ["holds", "holds"]
    swapped = judged(with_methods(measured, 20, lime=zero, guided_backprop=worst, gradient=best))
    assert [each.verdict for each in swapped] == [
        "does not hold",
        "does not hold",
        "not decided",
        "holds",
        "does not hold",
    ]
    assert swapped[2].statistic == "there is no learnt model of these images and classes"
    few = judged(with_methods(measured, 3, lime=best, guided_backprop=best, gradient=best))
    assert {each.verdict for each in few} == {"not decided"}
    assert "3 images are too few to decide, it takes 20; " in few[0].statistic


@pytest.mark.slow
def test_a_lead_that_is_the_superpixels_alone_is_told(measured):
    lime = measured.methods["lime"]
    lead = torch.linspace(0.01, 0.02, len(lime.jaccard))[:, None]
    rivals = dict.fromkeys(measured.pooled, replace(lime, jaccard=lime.jaccard - lead))
    ahead = replace(with_methods(measured, 20), pooled=rivals)
    assert judged(ahead)[4].verdict == "holds"
    better = replace(lime, jaccard=lime.jaccard + lead)
    assert judged(replace(ahead, pooled={**rivals, "gradient": better}))[4].verdict == "does not hold"
    same = dict.fromkeys(measured.pooled, replace(lime, jaccard=lime.jaccard - 0.01))
    constant = judged(replace(ahead, pooled=same))[4]
    assert constant.verdict == "not decided"
    assert constant.statistic.startswith("no interval, for all values are equal or at their limit: gradient, ")


@pytest.mark.parametrize("photographs", [1, 2, 19])
def test_few_photographs_decide_nothing(measured, photographs):
    few = with_methods(measured, photographs, learnt=measured.methods[PERTURBATION]).records()
    claims = judge(few)
    assert {claim.verdict for claim in claims} == {"not decided"}
    told = finding(few, claims)
    assert told.startswith(f"Nothing is decided: a verdict needs 20 images, and there are {few.photographs}. ")
    assert f" localized attacks succeeded. That is a share of {few.attacks.success}. They were tried on " in told


def test_findings_say_which_methods_are_lacking(measured):
    left, pooled = (
        {name: each for name, each in overlaps.items() if name != "gradient"}
        for overlaps in (measured.methods, measured.pooled)
    )
    found = judged(replace(measured, methods=left, pooled=pooled))
    assert (found[0].verdict, found[0].statistic) == ("not decided", "the methods lack gradient")


@pytest.mark.slow
def test_flags_are_raised_by_what_is_wrong(measured):
    wrong = with_methods(measured, 4, **{PERTURBATION: measured.methods[RANDOM]})
    tried = wrong.attempts
    failed = torch.zeros(9 * len(tried.image), dtype=torch.bool)
    failed[: len(tried.succeeded)] = tried.succeeded
    many = replace(tried, image=tried.image.repeat(9), region=tried.region.repeat(9, 1, 1), succeeded=failed, escaped=2)
    raised = [flag.raised for flag in flags(replace(wrong, attempts=many).records())]
    assert (raised[0], *raised[2:]) == (True, True, True, True)
    for number, raised in ((39, True), (40, False)):
        superpixels = torch.full_like(measured.superpixels, number)
        told = flags(replace(measured, superpixels=superpixels).records())
        assert (told[0].raised, told[1].raised, told[3].raised) == (False, raised, False)


@pytest.mark.slow
def test_the_result_is_complete_and_the_same_again(found, finished, tmp_path):
    again = recover(study_of(finished), images=14, methods=METHODS, target=None, regions=4, resamples=50, **QUICK)
    assert again.rows == found.rows
    assert again.figures == found.figures
    write_result(found, tmp_path)
    assert len(found.rows) == 5 * (UNIONS + 1)
    assert all(list(row) == list(found.rows[0]) for row in found.rows)
    assert list(found.figures) == ["", "attacks", "regions", "explanations"]
    titles = [table.title for table in found.tables]
    assert titles[0] == "Recovery of attacked regions"
    paper = found.tables[titles.index("Mean ranks (the paper's Table 1)")]
    assert [(row[0], row[2], row[4]) for row in paper.rows] == [
        ("classic saliency", 2.58, 2.59),
        ("guided backprop", 2.06, 2.03),
        ("LIME", 1.36, 1.38),
    ]
    assert f"{found.meta['succeeded']} of {found.meta['attempts']} localized attacks" in found.finding


def test_a_lime_is_needed(finished):
    with pytest.raises(ValueError, match=r"the methods are random, mine, .* name a saliency\.LIME 'lime' among them"):
        recover(study_of(finished), images=3, methods={"mine": Gradient()})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"regions": 0}, "regions must be at least 1, got 0"),
        ({"target": 10}, "target must be a class from 0 to 9"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"probability": 1.0}, "probability must be below 1, got 1.0"),
    ],
)
def test_bad_options_are_refused_before_any_attack(finished, options, told, monkeypatch):
    monkeypatch.setattr(Explained, "attacked", pytest.fail)
    with pytest.raises(ValueError, match=told):
        recover(study_of(finished), images=2, methods=METHODS, **options)


@pytest.fixture
def photographs(tmp_path):
    """Three small images of patches, each of whose colours is another."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(3):
        colours = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(colours.repeat(10, 0).repeat(10, 1)).save(folder / f"{number}.png")
    return folder


@pytest.mark.slow
def test_photographs_and_a_class_with_arguments_from_a_file(finished, photographs, tmp_path, capsys):
    settings = yaml.safe_load((CONFIGS / "recover_inception.yaml").read_text())
    settings["classifier"] = {
        "class_path": "detectors.TorchvisionNetwork",
        "init_args": {"name": "resnet18", "outputs": 3, "size": 40, "std": [0.02] * 3},
    }
    settings["methods"]["lime"]["init_args"] |= {"samples": 10, "segmenter": "slic"}
    settings |= {"size": 40, "regions": 3, "target": None, "steps": 30, "step_size": 0.05, "probability": 0.5}
    settings |= {"resamples": 20}
    path = tmp_path / "options.yaml"
    path.write_text(yaml.safe_dump(settings))
    options = ["--run", str(finished), "--config", str(path), "--photographs", str(photographs), "--device", "cpu"]
    assert evaluate.main(["recover", *options]) == 0, capsys.readouterr().err
    written = json.loads((finished / "report" / "recover-resnet18-photographs.json").read_text())
    assert written["meta"]["attempts"] <= 9
    *_, few, methods = written["report"]["flags"]
    assert few["raised"] is True
    assert methods["raised"] is False


def test_the_runs_learnt_model_is_left_out_where_it_does_not_take_the_images(finished, photographs):
    other = {"classifier": "tests.experiments.nets.Wide", "photographs": str(photographs), "size": 32}
    assert "learnt" not in explained(study_of(finished), "recover", **other).methods
    assert "learnt" in explained(study_of(finished), "recover", images=2).methods


def spied(monkeypatch):
    """Return where the options of `recover` appear that its command would run with."""
    seen = {}

    @wraps(recover)  # has its options
    def spy(study, **options):
        seen.update(options)
        return PROTOCOLS["strength"].run(study)

    monkeypatch.setattr("experiments.explanation.recover.protocol.recover", spy)
    return seen


def test_the_options_file_writes_the_defaults_out(finished, monkeypatch):
    seen = spied(monkeypatch)
    assert evaluate.main(["recover", "--run", str(finished), "--config", str(CONFIGS / "recover.yaml")]) == 0
    assert seen == {name: option.default for name, option in list(signature(recover).parameters.items())[1:]}
    assert (seen["steps"], seen["step_size"], seen["probability"]) == (100, 0.01, 0.99)


@pytest.mark.slow
def test_the_papers_file_is_accepted(finished, tmp_path, monkeypatch):
    contents = (CONFIGS / "recover_inception.yaml").read_text()
    path = tmp_path / "options.yaml"
    path.write_text(
        contents.replace("inception_v3", "squeezenet1_1").replace("weights: IMAGENET1K_V1", "weights: null")
    )
    seen = spied(monkeypatch)
    assert evaluate.main(["recover", "--run", str(finished), "--config", str(path)]) == 0
    assert isinstance(seen["classifier"], TorchvisionNetwork)
    assert (seen["target"], seen["size"], list(seen["methods"])) == (77, 299, ["gradient", "guided_backprop", "lime"])


@pytest.mark.slow
def test_a_checkpoint_is_a_classifier_and_what_is_missing_is_told(finished, tmp_path, capsys):
    path = tmp_path / "mine.ckpt"
    save(Classifier((1, 28, 28), 10, (4,)), path)
    quick = [f"--{name}={value}" for name, value in QUICK.items()]
    method = "--methods={lime: {class_path: saliency.LIME, init_args: {samples: 10}}}"
    arguments = ["recover", "--run", str(finished), "--device=cpu", "--images=3", "--resamples=10", *quick, method]
    arguments += ["--probability=0.11", "--target=null"]
    assert evaluate.main([*arguments, f"--classifier={path}"]) == 0, capsys.readouterr().err
    assert evaluate.main([*arguments, f"--classifier={tmp_path}/none.ckpt"]) == 1
    assert f"there is no checkpoint {tmp_path}/none.ckpt" in capsys.readouterr().err


def test_weights_that_cannot_be_had_are_told_in_a_sentence(finished, tmp_path, capsys):
    path = tmp_path / "options.yaml"
    network = {"name": "squeezenet1_1", "outputs": 7, "weights": "nowhere.pth"}
    path.write_text(
        yaml.safe_dump({"classifier": {"class_path": "detectors.TorchvisionNetwork", "init_args": network}})
    )
    assert evaluate.main(["recover", "--run", str(finished), "--config", str(path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: weights 'nowhere.pth' of squeezenet1_1 are neither a file nor one of IMAGENET1K_V1")
    assert "Expected a" not in told


def test_attempts_know_what_succeeded():
    none = torch.empty(0)
    tried = Attempts(
        images=none,
        labels=none,
        clean_logits=none,
        rows=none,
        classes=[],
        segments=none,
        left_out=none,
        image=torch.tensor([0, 0, 2]),
        region=torch.eye(3, dtype=torch.bool)[:, None],
        target=torch.tensor([5, 6, 7]),
        succeeded=torch.tensor([True, False, True]),
        escaped=0,
        adversarial=none,
        logits=none,
    )
    assert (tried.sources.tolist(), tried.targets.tolist()) == ([0, 2], [5, 7])
    assert torch.equal(tried.regions, tried.region[[0, 2]])
    assert examples_of(tried, 5).tolist() == [0, 1]
