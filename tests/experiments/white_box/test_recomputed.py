"""Every figure in the rows of white-box.json, computed anew with numpy and scikit-learn from images and networks.

No metric, threshold or interval of this project is used: only its networks, its data and the adversarial images.
"""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

import evaluate
from data import Digits
from detectors import Classifier, Detector, MaxSoftmax, load
from experiments.white_box.attacker import Attacker
from tests.experiments.studies import copy_of

IMAGES, RESAMPLES = 40, 60
PAPER = {"alternating", "alternating_held", "alternating_literal", "alternating_long", "metzen"}


class Recomputed:
    """The networks of a run, and which of its images are right, accepted and won."""

    def __init__(self, folder, goals, *, targeted):
        data = Digits(train_limit=400, test_limit=IMAGES)
        split = data.split("test")
        test = split.__getitems__(list(range(len(split))))
        self.images, self.labels = test.images, test.labels.numpy()
        self.calibration = torch.cat([batch.images for batch in data.calibration_dataloader()])
        self.classifier = load(folder / "classifier/seed_0/model.ckpt", Classifier).eval()
        self.networks = {
            name: load(folder / f"detectors/{name}/fgsm/seed_0/model.ckpt", Detector).eval() for name in ("id", "spd")
        } | {"max_softmax": MaxSoftmax(self.classifier)}
        self.goals, self.targeted = goals, targeted
        self.right = self.predicted(self.images) == self.labels
        self.lost = {name: np.zeros(IMAGES, dtype=bool) for name in self.networks}

    def predicted(self, images):
        with torch.no_grad():
            return self.classifier(images).numpy().argmax(1)

    def scores(self, name, images):
        with torch.no_grad():
            return self.networks[name](images).numpy().astype(np.float64)

    def threshold(self, name, rate):
        """The smallest score above which a new clean image lies with a probability of at most the rate."""
        clean = np.sort(self.scores(name, self.calibration))
        return clean[math.ceil((len(clean) + 1) * (1 - rate) - 1e-9) - 1]

    def won(self, name, images, threshold):
        predicted = self.predicted(images)
        reached = predicted == self.goals if self.targeted else predicted != self.labels
        return self.right & reached & (self.scores(name, images) <= threshold)

    def share_of_right(self, chosen):
        return np.count_nonzero(chosen) / np.count_nonzero(self.right)

    def ends(self, chosen):
        drawn = torch.randint(IMAGES, (RESAMPLES, IMAGES), generator=torch.Generator().manual_seed(0)).numpy()
        return np.quantile(chosen[drawn].sum(1) / self.right[drawn].sum(1), [0.025, 0.975])

    def row(self, name, adversarial):
        """The figures of the worst case over adversarial images, a list of one or more tensors."""
        five, fifty = self.threshold(name, 0.05), self.threshold(name, 0.5)
        learnt, clean = name != "max_softmax", self.scores(name, self.images)

        def any_won(threshold):
            return np.any([self.won(name, images, threshold) for images in adversarial], axis=0)

        wrong = [self.predicted(images) != self.labels for images in adversarial]
        passed = [self.scores(name, images) <= five for images in adversarial]
        low, high = self.ends(any_won(five))
        return {
            "n": IMAGES,
            "n_right": int(self.right.sum()),
            "sr_at_5": self.share_of_right(any_won(five)),
            "sr_at_5_low": low,
            "sr_at_5_high": high,
            "sr_at_50": self.share_of_right(any_won(fifty)),
            "fooled_both": self.share_of_right(any_won(0)) if learnt else None,
            "attack_success_rate": self.share_of_right(any_won(np.inf)),
            "classifier_accuracy": accuracy_score(np.ones(IMAGES), ~np.any(wrong, axis=0)),
            "robust_accuracy": np.mean(~np.any(np.logical_and(wrong, passed), axis=0)),
            "clean_right_and_accepted": np.mean(self.right & (clean <= five)),
            "realised_fpr": np.mean(clean > five),
        }

    def first(self, name, attack, images, *, worst):
        """How many images an attack wins that none before it has won; of the worst case: how many are won at all."""
        if worst:
            return np.count_nonzero(self.lost[name])
        if attack == "noise":
            return None
        new = self.won(name, images, self.threshold(name, 0.05)) & ~self.lost[name]
        self.lost[name] |= new
        return np.count_nonzero(new)

    def of_one(self, name, images):
        """The figures that one attack has and the worst case has not."""
        both = np.concatenate([self.scores(name, self.images), self.scores(name, images)])
        kinds = np.repeat([0, 1], IMAGES)
        return {
            "auroc": roc_auc_score(kinds, both),
            "detector_accuracy": balanced_accuracy_score(kinds, both > 0) if name != "max_softmax" else None,
            "linf": np.abs((images - self.images).numpy()).max(),
            "l2": np.sqrt(np.square((images - self.images).numpy().astype(np.float64)).sum((1, 2, 3))).max(),
        }


@pytest.fixture
def seen(monkeypatch):
    """What the attacks gave in a run: a list of adversarial images of blocks, and of goals, by detector and attack."""
    blocks = {}
    attack_block = Attacker._block

    def recorded(self, subject, name, attack, aim, images, goals):
        parts = attack_block(self, subject, name, attack, aim, images, goals)
        blocks.setdefault((subject.name, name), []).append((parts, goals))
        return parts

    monkeypatch.setattr(Attacker, "_block", recorded)
    monkeypatch.setattr("experiments.white_box.attacker.BLOCK", 16)
    return blocks


@pytest.mark.slow
@pytest.mark.parametrize("targeted", [False, True])
def test_every_figure_is_what_numpy_and_scikit_learn_say(finished, tmp_path, seen, targeted):
    folder = copy_of(finished, tmp_path)
    size = ["--images", str(IMAGES), "--steps", "5", "--epsilon", "0.02", "--curve_images", "0"]
    options = ["--resamples", str(RESAMPLES), "--detectors", "[id, spd, max_softmax]", "--device", "cpu"]
    goal = ["--targeted", "true"] if targeted else []
    assert evaluate.main(["white-box", "--run", str(folder), *size, *options, *goal]) == 0
    rows = json.loads((folder / f"report/white-box{'-targeted' if targeted else ''}.json").read_text())["rows"]
    blocks = {key: [parts for parts, _ in pairs] for key, pairs in seen.items() if key[0] != "broken"}
    goals = torch.cat([goals for _, goals in seen["id", "alternating"]]).numpy()
    study = Recomputed(folder, goals, targeted=targeted)
    assert (goals != study.labels).all() if targeted else (goals == study.labels).all()
    images = {key: torch.cat([parts["images"] for parts in of_key]) for key, of_key in blocks.items()}
    assert {(row["detector"], row["attack"]) for row in rows if row["attack"] != "worst case"} == set(images)
    for row in rows:
        keys = [(row["detector"], row["attack"])]
        if row["attack"] == "worst case":
            keys = [key for key in images if key[0] == row["detector"] and key[1] != "noise"]
        expected = study.row(row["detector"], [images[key] for key in keys])
        one = row["attack"] != "worst case"
        alone = study.of_one(row["detector"], images[keys[0]])
        expected |= alone if one else dict.fromkeys(alone)
        for cost in ("forward", "backward", "seconds"):
            per_image = [torch.cat([parts[cost] for parts in blocks[key]]).numpy() for key in keys]
            expected[cost if cost == "seconds" else f"{cost}_passes"] = sum(each.mean() for each in per_image)
        expected |= {"n_given": IMAGES, "n_won_first": study.first(*keys[0], images[keys[0]], worst=not one)}
        text = {key: row.pop(key) for key in ("detector", "phase", "trained_on", "seed", "attack")}
        assert text["phase"] == "before"
        assert row.keys() == expected.keys()
        for key, value in expected.items():
            assert row[key] == (value if value is None else pytest.approx(value, rel=1e-6, abs=1e-9)), (text, key)
    assert len({row["sr_at_5"] for row in rows}) > 3  # the run is no trivial one
    assert {attack for _, attack in images} > PAPER
