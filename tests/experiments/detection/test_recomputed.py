"""Every figure of `transfer.json`, its tables included, computed anew by numpy and scikit-learn from the scores."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score, roc_curve

import evaluate
import train
from detectors import ID
from experiments.study.maps import maps_of, over
from tests.experiments.conftest import ENTRY, pipeline_file
from tests.experiments.figures import all_expected
from tests.experiments.studies import study_of

pytestmark = pytest.mark.long

RESAMPLES = 50
ATTACKS = {
    "bim": {"class_path": "attacks.BIM", "init_args": {"epsilon": 0.1, "step_size": 0.05, "steps": 2}},
    "deepfool": {"class_path": "attacks.DeepFool"},
    "fgsm": {"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.1}},
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


class Recomputed:
    """What numpy makes of a run.

    Attributes:
        figures: Of each row, by detector, trained on, tested on, seed and subset.
        areas, noisy: By detector, trained on and tested on: AUROCs (seeds,) and those of each resample (resamples,).
        evaded: By detector and trained on: of each seed the images on which some attack evades it.
        right: Images that the classifier gets right.
        first: The scores by attack of the first detector, of clean and of adversarial images.
    """

    def __init__(self):
        self.figures, self.areas, self.noisy, self.evaded, self.first = {}, {}, {}, {}, {}


@pytest.fixture(scope="module")
def recomputed(run):
    study = study_of(run)
    labels = study.images.labels.numpy()
    known = Recomputed()
    figures = known.figures
    for attack in ATTACKS:
        under = study.under(attack)
        with torch.no_grad():
            before, after = (
                study.classifier(i).argmax(1).numpy() for i in (study.images.clean[:], under.adversarial[:])
            )
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
            np.testing.assert_allclose(scores["clean"], _scores(module, study.images.clean[:]), atol=1e-4)
            for subset, pairs in subsets.items():
                key = contender.name, contender.trained_on, attack, contender.seed, subset
                figures[key] = _row(
                    scores, calibration, pairs, right, wrong, whole=subset == "all", learnt=contender.trained_on
                )
            cell, line = (contender.name, contender.trained_on, attack), (contender.name, contender.trained_on)
            known.areas.setdefault(cell, []).append(_resampled(scores["clean"], scores["adversarial"]))
            known.noisy.setdefault(cell, []).append(_resampled(scores["noise"], scores["adversarial"]))
            lost = known.evaded.setdefault(line, {}).setdefault(contender.seed, np.zeros_like(right))
            lost |= right & wrong & (scores["adversarial"] <= _limit(calibration, 0.05))
            known.first.setdefault(attack, (scores["clean"], scores["adversarial"]))
            known.right, known.images, known.calibration = int(right.sum()), len(right), len(calibration)
    _add_true_labels(study, known)
    for areas in (known.areas, known.noisy):
        for cell, seeds in areas.items():
            values, replicates = zip(*seeds, strict=True)
            areas[cell] = np.array(values), np.mean(replicates, axis=0)
    return known


def _add_true_labels(study, known):
    """Add the map detector that sees the map of the true label."""
    learnt = next(maps for maps in maps_of(study) if maps.selected)
    for contender in study.contenders:
        if contender.name == "spd":
            for attack in ATTACKS:
                scores = []
                for images in (study.images.clean[:], study.under(attack).adversarial[:]):
                    maps = over(study, learnt, images, study.images.labels, "true label")[:]
                    with torch.no_grad():
                        scores.append(contender.module.score(images, maps).numpy())
                cell = "spd (true label)", contender.trained_on, attack
                known.areas.setdefault(cell, []).append(_resampled(*scores))


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
    """The percentiles of the AUROC over resamples of the images."""
    return np.quantile(_resampled(clean, adversarial)[1], [0.025, 0.975])


def _resampled(clean, adversarial):
    """The AUROC, and that of each resample of the images, by counting pairs."""
    wins = (adversarial[:, None] > clean) + (adversarial[:, None] == clean) / 2
    drawn = torch.randint(len(clean), (RESAMPLES, len(clean)), generator=torch.Generator().manual_seed(0)).numpy()
    return wins.mean(), np.array([wins[np.ix_(rows, rows)].mean() for rows in drawn])


def _ends_of(values, replicates):
    """A mean over seeds with the ends of its interval: Student's t over seeds beside the resamples of the images."""
    if len(values) > 1:
        places = torch.randperm(RESAMPLES, generator=torch.Generator().manual_seed(len(values))).numpy() + 0.5
        errors = stats.t.ppf(places / RESAMPLES, len(values) - 1)
        replicates = replicates + errors * stats.sem(values)
    return np.mean(values), *np.quantile(replicates, [0.025, 0.975])


def _mean(cells):
    """The mean of cells, which are AUROCs by seed and by resample."""
    return sum(values for values, _ in cells) / len(cells), sum(resampled for _, resampled in cells) / len(cells)


def _rate(share, count):
    """A share with its exact interval."""
    ends = stats.binomtest(round(share * count), count).proportion_ci(method="exact")
    return share, ends.low, ends.high


def _expected_contrasts(known, free):
    """The name, the ends and the number of cells of every comparison."""
    areas = known.areas
    pairs = [(a, b) for a in ("fgsm", "bim") for b in ATTACKS if a != b]
    found = {}

    def add(name, first, second):
        (values, resampled), (other, of_other) = _mean(first), _mean(second)
        found[name] = *_ends_of(values - other, resampled - of_other), len(first)

    level = [(np.array([0.75]), np.zeros(RESAMPLES) + 0.75)]
    spd = [areas["spd", *pair] for pair in pairs]
    for other in ("id", *free):
        second = [areas[other, None if other in free else a, b] for a, b in pairs]
        add(f"spd - {other}, unseen attacks", spd, second)
    every = [(a, b) for a in ("fgsm", "bim") for b in ATTACKS]
    true_label = [areas["spd (true label)", *pair] for pair in every]
    add("spd - spd (true label), all attacks", [areas["spd", *pair] for pair in every], true_label)
    add("spd against noise, unseen attacks, above 0.75", [known.noisy["spd", *pair] for pair in pairs], level)
    for name in ("id", "spd"):
        weak = [areas[name, "fgsm", b] for b in ("bim", "deepfool")]
        add(f"{name}, from FGSM to other attacks, above 0.75", weak, level)
    lines = [(name, a, b) for name in ("id", "spd") for a, b in (("fgsm", "bim"), ("bim", "fgsm"))]
    same, another = [areas[line] for line in lines], [areas[name, a, "deepfool"] for name, a, _ in lines]
    add("same family of norms - another, attacks not trained on", same, another)
    return found


MATRICES = {
    "AUROC": "auroc",
    "TPR at 5 % FPR": "tpr_at_5_fpr",
    "TPR at 10 % FPR": "tpr_at_10_fpr",
    "Balanced accuracy at probability .5 (the paper's number)": "accuracy",
    "Adversarial or just noisy: AUROC against norm-matched noise": "auroc_against_noise",
    "Adversarial or just noisy: share of norm-matched noise flagged at 5 % FPR": "noise_flagged",
    "AUROC of adversarial images rounded to 8 bits": "auroc_rounded",
    "The attacker's success (SR@5): wrong and accepted at 5 % FPR": "success_at_5_fpr",
}


class Tables:
    """The tables that a report must have, by title, and the figures of their notes."""

    def __init__(self, report, known):
        self.known, self.notes = known, {}
        self.lines = dict.fromkeys((row["detector"], row["trained_on"]) for row in report["rows"])
        self.free = [name for name, trained_on in self.lines if trained_on is None]
        self.seeds = {line: [None] if line[0] in self.free else [0, 1] for line in self.lines}

    def values(self, line, attack, field="auroc", subset="all"):
        every = [self.known.figures[*line, attack, seed, subset].get(field) for seed in self.seeds[line]]
        return [value for value in every if value is not None]

    def mean(self, line, attack):
        values = self.values(line, attack)
        return np.mean(values) if values else None

    def threshold(self, rate):
        """The interval of the false-positive rate of an order statistic."""
        n = self.known.calibration
        k = math.ceil(round((n + 1) * (1 - rate), 9))
        return tuple(stats.beta.ppf([0.025, 0.975], n + 1 - k, k))

    def of_attack(self, attack, field, subset="all"):
        return self.known.figures[*next(iter(self.lines)), attack, self.seeds[next(iter(self.lines))][0], subset][field]

    def matrix(self, title):
        name, subset = title.removesuffix(" pairs").rsplit(", ", 1)
        field, right = MATRICES[name], [self.known.right] * len(ATTACKS)
        counts = right if field == "success_at_5_fpr" else [self.of_attack(attack, "n", subset) for attack in ATTACKS]
        margin = [
            [None, None, *values] for values in ([self.of_attack(a, "attack_success_rate") for a in ATTACKS], counts)
        ]
        rate = {"tpr_at_10_fpr": 0.1, "tpr_at_5_fpr": 0.05, "noise_flagged": 0.05, "success_at_5_fpr": 0.05}.get(field)
        self.notes[title] = () if rate is None else self.threshold(rate)
        cells = [[_spread(self.values(line, attack, field, subset)) for attack in ATTACKS] for line in self.lines]
        return [*margin, *([None, None, *line] for line in cells)]

    def ranking(self):
        rows = []
        for detector in dict.fromkeys(name for name, _ in self.lines):
            pairs = [(a, b) for a in ("fgsm", "bim") for b in ATTACKS if a != b]
            cells = [(detector, None if detector in self.free else a, b) for a, b in pairs]
            area, noise = (
                _ends_of(*_mean([areas[cell] for cell in cells])) for areas in (self.known.areas, self.known.noisy)
            )
            lowest = min(self.known.areas[cell][0].mean() for cell in cells)
            rows.append([detector, area, noise, lowest, None, None, len(cells), self.known.images])
        return sorted(rows, key=lambda row: -row[1][0])

    def best_two(self):
        """How far the first two of the ranking lie apart."""
        names = [row[0] for row in self.ranking()[:2]]
        pairs = [(a, b) for a in ("fgsm", "bim") for b in ATTACKS if a != b]
        both = [
            _mean([self.known.areas[name, None if name in self.free else a, b] for a, b in pairs]) for name in names
        ]
        ends = _ends_of(both[0][0] - both[1][0], both[0][1] - both[1][1])
        return dict(zip(("name", "value", "low", "high", "cells"), (" - ".join(names), *ends, len(pairs)), strict=True))

    def attacks(self, ratios):
        return [
            [
                None,
                _rate(self.of_attack(attack, "attack_success_rate"), self.known.right),
                *(self.of_attack(attack, "n", subset) for subset in ("all", "successful", "failed")),
                *ratios[attack].values(),
            ]
            for attack in ATTACKS
        ]

    def realised(self):
        self.notes["Realised false-positive rate of the 5 % threshold"] = self.threshold(0.05)
        return [
            [None, None, seed, _rate(self.known.figures[*line, "fgsm", seed, "all"]["realised_fpr"], self.known.images)]
            for line in self.lines
            for seed in self.seeds[line]
        ]

    def worst(self):
        rows = []
        for line in self.lines:
            trained_on = line[1]
            means = [self.mean(line, attack) for attack in ATTACKS]
            others = {"all-but-bim": ["bim"], "fgsm": ["bim", "deepfool"], "bim": ["fgsm", "deepfool"]}
            unseen = others[trained_on] if trained_on else [b for a in ("fgsm", "bim") for b in others[a]]
            shares = [lost.sum() / self.known.right for lost in self.known.evaded[line].values()]
            mean = np.mean([self.mean(line, attack) for attack in unseen])
            rows.append([None, None, min(means), None, mean, _spread(shares)])
        return rows

    def left_out(self):
        best = max(self.mean((name, None), "bim") for name in self.free)
        self.notes["Leave one attack out"] = (best,)
        return [
            [
                *(None, None, self.of_attack("bim", "attack_success_rate"), self.known.images),
                *(_spread(self.values((name, "all-but-bim"), "bim", field)) for field in ("auroc", "tpr_at_5_fpr")),
                np.mean([self.mean((name, "all-but-bim"), attack) for attack in ("fgsm", "deepfool")]),
                *(self.mean((name, attack), "bim") for attack in ("bim", "fgsm")),
                None,
            ]
            for name in ("id", "spd")
        ]

    def controls(self, study):
        """A constant score, pairs of which half are swapped, and networks as they are before training."""
        swapped, untrained = [], []
        for clean, adversarial in self.known.first.values():
            generators = [torch.Generator().manual_seed(seed) for seed in range(10)]
            swaps = [torch.randint(0, 2, clean.shape, generator=each).bool().numpy() for each in generators]
            swapped.append([_area(np.where(s, adversarial, clean), np.where(s, clean, adversarial)) for s in swaps])
        networks, classifier = [], study.classifier  # which draws random numbers where it is loaded
        for seed in range(10):
            torch.manual_seed(seed)
            networks.append(ID(classifier).eval())
        before = [_scores(network, study.images.clean[:]) for network in networks]
        for attack in ATTACKS:
            after = [_scores(network, study.under(attack).adversarial[:]) for network in networks]
            untrained.append([_area(*pair) for pair in zip(before, after, strict=True)])
        ranges = [[None, *((min(each), max(each)) for each in areas)] for areas in (swapped, untrained)]
        return [[None, *([(0.5,)] * len(ATTACKS))], *ranges]


def _area(clean, adversarial):
    return roc_auc_score(np.repeat([0, 1], len(clean)), np.concatenate([clean, adversarial]))


def _spread(values):
    """A mean, with the standard deviation where there are several; None of none."""
    return (np.mean(values), np.std(values, ddof=1)) if len(values) > 1 else values[0] if values else None


def test_every_figure_is_what_numpy_and_scikit_learn_say(run, report, recomputed):
    keys = ("detector", "trained_on", "tested_on", "seed", "subset")
    assert {tuple(row[key] for key in keys) for row in report["rows"]} == set(recomputed.figures)
    tables, study, meta = Tables(report, recomputed), study_of(run), _meta(study_of(run))
    contrasts = _expected_contrasts(recomputed, tables.free)
    assert [each["name"] for each in report["meta"]["contrasts"]] == list(contrasts)
    fields = ("name", "value", "low", "high", "cells")
    of_title = {
        "Attacks that a detector was not trained on, all pairs": tables.ranking,
        "Attacks": lambda: tables.attacks(meta["noise_ratios"]),
        "Realised false-positive rate of the 5 % threshold": tables.realised,
        "Worst case over attacks, and attacks that were left out of training": tables.worst,
        "Leave one attack out": tables.left_out,
        "Differences in AUROC": lambda: [[name, *ends, None] for name, ends in contrasts.items()],
        "Controls: AUROC where there is nothing to be learnt": lambda: tables.controls(study),
    }
    titles = [table["title"] for table in report["report"]["tables"]]
    assert set(of_title) <= set(titles)
    expected = {
        "meta": meta
        | {"best_two": tables.best_two()}
        | {"contrasts": [dict(zip(fields, (name, *ends), strict=True)) for name, ends in contrasts.items()]},
        "rows": [recomputed.figures[tuple(row[key] for key in keys)] | {"seed": row["seed"]} for row in report["rows"]],
        "tables": {title: of_title[title]() if title in of_title else tables.matrix(title) for title in titles},
        "notes": tables.notes,
    }
    all_expected(report, expected)


def _meta(study):
    """Accuracy, counts, the underflow of the softmax with its exact interval, and the norms of the noise."""
    clean, labels = study.images.clean[:], study.images.labels.numpy()
    images = clean.clone().requires_grad_()
    logits = study.classifier(images)
    zero = {}
    for name, values in {"share": logits.softmax(1), "share_logit": logits}.items():
        (gradient,) = torch.autograd.grad(values.amax(1).sum(), images, retain_graph=True)
        zero[name] = (gradient.numpy() == 0).reshape(len(clean), -1).all(1).mean()
    ratios = {}
    for attack in ATTACKS:
        under = study.under(attack)
        change, noise = (
            (each - clean).double().numpy().reshape(len(clean), -1)
            for each in (under.adversarial[:], under.variant("noise", study.images.clean)[0][:])
        )
        sizes = {norm: (size(noise), size(change)) for norm, size in SIZES.items()}
        ratios[attack] = {
            norm: (after[before > 0] / before[before > 0]).min() for norm, (after, before) in sizes.items()
        }
    share, low, high = _rate(zero["share"], len(clean))
    return {
        "seeds": [0, 1],
        "classes": 10,
        "test_images": len(clean),
        "calibration_images": sum(len(batch.images) for batch in study.data.calibration_dataloader()),
        "classifier_accuracy": (logits.detach().numpy().argmax(1) == labels).mean(),
        "resamples": RESAMPLES,
        "options": {"resamples": RESAMPLES},
        "underflow": {"n": len(clean), "share": share, "low": low, "high": high, "share_logit": zero["share_logit"]},
        "noise_ratios": ratios,
    }


SIZES = {
    "l0": lambda change: (np.abs(change) >= 1e-6).sum(1),
    "l2": lambda change: np.sqrt((change**2).sum(1)),
    "linf": lambda change: np.abs(change).max(1),
}
