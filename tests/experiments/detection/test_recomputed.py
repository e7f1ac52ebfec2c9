"""Every figure of `transfer.json` and every printed mean, computed anew by numpy and scikit-learn from the scores."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score, roc_curve

import evaluate
import train
from tests.experiments.conftest import ENTRY, pipeline_file
from tests.experiments.studies import study_of

pytestmark = pytest.mark.slow

RESAMPLES = 50
ATTACKS = {
    "fgsm": {"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.1}},
    "bim": {"class_path": "attacks.BIM", "init_args": {"epsilon": 0.1, "step_size": 0.05, "steps": 2}},
    "deepfool": {"class_path": "attacks.DeepFool"},
}
DETECTORS = {
    "id": {"model": {"class_path": "detectors.ID"}, "trainer": {"max_epochs": 2}},
    "spd": {"model": {"class_path": "detectors.SPD"}, **ENTRY},
}
CHANGES = {"attacks": ATTACKS, "detectors": DETECTORS, "train_on": ["fgsm", "bim", "all-but-bim"], "seeds": [0, 1]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recomputed")
    assert train.main(["pipeline", "--config", str(pipeline_file(folder, folder / "run", **CHANGES))]) == 0
    options = ["--run", str(folder / "run"), "--device", "cpu", "--resamples", str(RESAMPLES)]
    assert evaluate.main(["transfer", *options]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run / "report" / "transfer.json").read_text())


@pytest.fixture(scope="module")
def recomputed(run):
    """The figures of each row, by detector, trained on, tested on, seed and subset."""
    study = study_of(run)
    labels = study.images.labels.numpy()
    figures = {}
    for attack in ATTACKS:
        under = study.under(attack)
        with torch.no_grad():
            before, after = (study.classifier(i).argmax(1).numpy() for i in (study.images.clean, under.adversarial))
        right, wrong = before == labels, after != labels
        subsets = {"all": np.ones_like(right), "successful": right & wrong, "failed": right & ~wrong}
        for contender in study.contenders:
            module = contender.module
            scores = {
                name: study.images.scores(module, under, name).numpy() for name in ("adversarial", "noise", "rounded")
            }
            scores["clean"] = study.images.scores(module).numpy()
            calibration = np.concatenate(
                [_scores(module, batch.images) for batch in study.data.calibration_dataloader()]
            )
            np.testing.assert_allclose(scores["clean"], _scores(module, study.images.clean), atol=1e-4)
            for subset, pairs in subsets.items():
                key = contender.name, contender.trained_on, attack, contender.seed, subset
                figures[key] = _row(
                    scores, calibration, pairs, right, wrong, whole=subset == "all", learnt=contender.trained_on
                )
    return figures


def _scores(module, images):
    with torch.no_grad():
        return module(images).numpy()


def _limit(calibration, rate):
    """The ceil((n + 1)(1 - rate))-th smallest calibration score."""
    return np.sort(calibration)[math.ceil(round((len(calibration) + 1) * (1 - rate), 9)) - 1]


def _row(scores, calibration, pairs, right, wrong, *, whole, learnt):
    part = {name: values[pairs] for name, values in scores.items()}
    n, at = int(pairs.sum()), _limit(calibration, 0.05)
    labels, values = np.repeat([0, 1], n), np.concatenate([part["clean"], part["adversarial"]])
    known = {
        "n": n,
        "realised_fpr": (scores["clean"] > at).mean(),
        "attack_success_rate": (right & wrong).sum() / right.sum(),
        "tpr_at_1_fpr": None,  # too few calibration images
    }
    if whole:
        known["success_at_5_fpr"] = (right & wrong & (scores["adversarial"] <= at)).sum() / right.sum()
        known["auroc_low"], known["auroc_high"] = _ends(scores["clean"], scores["adversarial"])
    if n == 0:
        return known
    rates = roc_curve(labels, values, drop_intermediate=False)
    return known | {
        "auroc": roc_auc_score(labels, values),
        "average_precision": average_precision_score(labels, values),
        "accuracy": balanced_accuracy_score(labels, values > 0) if learnt else None,
        "tpr_at_5_fpr": (part["adversarial"] > at).mean(),
        "tpr_at_10_fpr": (part["adversarial"] > _limit(calibration, 0.1)).mean(),
        "fpr_at_95_tpr": rates[0][rates[1] >= 0.95 - 1e-9].min(),
        "auroc_against_noise": roc_auc_score(labels, np.concatenate([part["noise"], part["adversarial"]])),
        "noise_flagged": (part["noise"] > at).mean(),
        "auroc_rounded": roc_auc_score(labels, np.concatenate([part["clean"], part["rounded"]])),
    }


def _ends(clean, adversarial):
    """The percentiles of the AUROC over resamples of the images, by counting pairs."""
    wins = (adversarial[:, None] > clean) + (adversarial[:, None] == clean) / 2
    drawn = torch.randint(len(clean), (RESAMPLES, len(clean)), generator=torch.Generator().manual_seed(0)).numpy()
    return np.quantile([wins[np.ix_(rows, rows)].mean() for rows in drawn], [0.025, 0.975])


def test_every_figure_of_every_row(report, recomputed):
    keys = ("detector", "trained_on", "tested_on", "seed", "subset")
    assert {tuple(row[key] for key in keys) for row in report["rows"]} == set(recomputed)
    for row in report["rows"]:
        expected = recomputed[tuple(row[key] for key in keys)]
        for name in row.keys() - set(keys):
            value = expected.get(name)
            assert row[name] == (None if value is None else pytest.approx(value, abs=2e-6)), (row, name)


def test_the_figures_of_the_meta_data(run, report):
    """Accuracy, counts, the underflow of the softmax with its exact interval, and the norms of the noise."""
    study, meta = study_of(run), report["meta"]
    clean, labels = study.images.clean, study.images.labels.numpy()
    images = clean.clone().requires_grad_()
    logits = study.classifier(images)
    zero = {}
    for name, values in {"share": logits.softmax(1), "share_logit": logits}.items():
        (gradient,) = torch.autograd.grad(values.amax(1).sum(), images, retain_graph=True)
        zero[name] = (gradient.numpy() == 0).reshape(len(clean), -1).all(1)
    calibration = sum(len(batch.images) for batch in study.data.calibration_dataloader())
    assert (meta["test_images"], meta["calibration_images"], meta["resamples"]) == (len(clean), calibration, RESAMPLES)
    assert meta["seeds"] == [0, 1]
    assert meta["classifier_accuracy"] == pytest.approx((logits.detach().numpy().argmax(1) == labels).mean())
    ends = stats.binomtest(int(zero["share"].sum()), len(clean)).proportion_ci(method="exact")
    shares = {name: values.mean() for name, values in zero.items()}
    assert meta["underflow"] == pytest.approx({"n": len(clean), "low": ends.low, "high": ends.high, **shares})
    for attack in ATTACKS:
        under = study.under(attack)
        change, noise = (
            (each - clean).double().numpy().reshape(len(clean), -1)
            for each in (under.adversarial, under.variant("noise", clean)[0])
        )
        for norm, size in SIZES.items():
            before, after = size(change), size(noise)
            smallest = (after[before > 0] / before[before > 0]).min()
            assert meta["noise_ratios"][attack][norm] == pytest.approx(smallest, rel=1e-4), (attack, norm)


SIZES = {
    "l0": lambda change: (np.abs(change) >= 1e-6).sum(1),
    "l2": lambda change: np.sqrt((change**2).sum(1)),
    "linf": lambda change: np.abs(change).max(1),
}


def table(report, title):
    (one,) = [each for each in report["report"]["tables"] if each["title"] == title]
    return one


def mean_of(recomputed, detector, trained_on, attack, field="auroc"):
    """The mean over seeds on all pairs."""
    return np.mean(
        [
            values[field]
            for (name, trained, tested, _, subset), values in recomputed.items()
            if (name, trained, tested, subset) == (detector, trained_on, attack, "all")
        ]
    )


CELLS = [(a, b) for a in ("fgsm", "bim") for b in ATTACKS if a != b]


def test_the_matrix_has_the_means_over_seeds(report, recomputed):
    matrix = table(report, "AUROC, all pairs")
    attacks = matrix["header"][2:]
    for detector, trained_on, *cells in matrix["rows"][2:]:
        for attack, text in zip(attacks, cells, strict=True):
            shown = float(str(text).split(" ±")[0])
            trained = None if trained_on == "-" else trained_on
            assert shown == pytest.approx(mean_of(recomputed, detector, trained, attack), abs=6e-4)
    rates = [recomputed["id", "fgsm", attack, 0, "all"]["attack_success_rate"] for attack in attacks]
    assert matrix["rows"][0][2:] == pytest.approx(rates)
    assert matrix["rows"][1][2:] == [recomputed["id", "fgsm", attack, 0, "all"]["n"] for attack in attacks]


def test_means_over_unseen_attacks_are_of_the_same_cells(report, recomputed):
    worst = {(row[0], row[1]): row[4] for row in table(report, worst_title(report))["rows"]}
    free = {detector for detector, trained_on in worst if trained_on == "-"}
    assert free
    for detector in free:
        expected = np.mean([mean_of(recomputed, detector, None, attack) for _, attack in CELLS])
        assert worst[detector, "-"] == pytest.approx(expected, abs=2e-6)
    for detector in ("id", "spd"):
        for trained_on in ("fgsm", "bim"):
            others = [mean_of(recomputed, detector, trained_on, attack) for a, attack in CELLS if a == trained_on]
            assert worst[detector, trained_on] == pytest.approx(np.mean(others), abs=2e-6)
        expected = mean_of(recomputed, detector, "all-but-bim", "bim")
        assert worst[detector, "all-but-bim"] == pytest.approx(expected, abs=2e-6)


def worst_title(report):
    return next(each["title"] for each in report["report"]["tables"] if each["title"].startswith("Worst case"))


def test_the_ranking_and_the_differences_have_these_means(report, recomputed):
    title = f"Attacks that a detector was not trained on, {report['meta']['headline_subset']} pairs"
    assert report["meta"]["headline_subset"] == "all"
    means = {
        detector: np.mean([mean_of(recomputed, detector, a if learnt else None, b) for a, b in CELLS])
        for detector, learnt in {(key[0], key[1] is not None) for key in recomputed}
    }
    ranked = table(report, title)["rows"]
    assert {row[0]: float(row[1].split(" [")[0]) for row in ranked} == pytest.approx(means, abs=6e-4)
    assert [row[0] for row in ranked] == sorted(means, key=means.get, reverse=True)
    for contrast in report["meta"]["contrasts"]:
        first, _, second = contrast["name"].removesuffix(", unseen attacks").partition(" - ")
        if contrast["name"].endswith(", unseen attacks") and second in means:
            assert contrast["value"] == pytest.approx(means[first] - means[second], abs=2e-6)
