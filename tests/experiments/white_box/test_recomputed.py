"""Every figure of white-box.json, its tables included, computed anew with numpy and scikit-learn.

No metric, threshold or interval of this project is used: only its networks, its data and the adversarial images.
"""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

import evaluate
from data import Digits
from detectors import Classifier, Detector, MaxSoftmax, load
from experiments.white_box.attacker import Attacker
from tests.experiments.figures import all_expected
from tests.experiments.studies import copy_of

IMAGES, CURVE_IMAGES, RESAMPLES, STEPS, EPSILON = 40, 20, 60, 5, 0.02
WALKS = {
    "hinged",
    "hinged_parts",
    "hinged_textured",
    "hinged_long",
    "lagrangian",
    "selective",
    "orthogonal",
    "selective_parts",
    "orthogonal_parts",
}
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

    def budgets(self, name, adversarial):
        """The shortest L-inf changes by which the first images are won, sorted."""
        count = len(adversarial[0])
        clean = self.images[:count].numpy().astype(np.float64)
        shortest = np.full(count, np.inf)
        for images in adversarial:
            won, _ = self.first_images(name, images[:count], 0.05)
            moved = np.abs(images[:count].numpy() - clean).max((1, 2, 3))
            shortest = np.where(won, np.minimum(shortest, moved), shortest)
        return np.sort(shortest[np.isfinite(shortest)]).tolist()

    def lengths(self, images):
        return np.sqrt(np.square((images - self.images[: len(images)]).numpy().astype(np.float64)).sum((1, 2, 3)))

    def first_images(self, name, images, rate):
        """Which of the first images, right before, are won at a rate (None: accepted or not), and which are right."""
        count = len(images)
        predicted, right = self.predicted(images), self.right[:count]
        reached = predicted == self.goals[:count] if self.targeted else predicted != self.labels[:count]
        passed = np.inf if rate is None else self.threshold(name, rate)
        return right & reached & (self.scores(name, images) <= passed), right

    def point(self, name, images):
        """What is known of a point of the curves."""
        won, right = self.first_images(name, images, 0.05)
        fooled, _ = self.first_images(name, images, None)
        return {"n_right": right.sum(), "sr_at_5": won.sum() / right.sum(), "fooled": fooled.sum() / right.sum()}

    def price(self, name, alone, both):
        """How much further an attack of minimal norm goes, over the images that it wins both ways."""
        fooled, right = self.first_images(name, alone, None)
        accepted, won = (self.first_images(name, images, 0.05)[0] for images in (alone, both))
        paid = fooled & won
        short, long = self.lengths(alone)[paid], self.lengths(both)[paid]
        quarters = np.quantile(long / short, [0.25, 0.5, 0.75])
        return {
            "n_right": right.sum(),
            "n_both": paid.sum(),
            "success_alone": fooled.sum() / right.sum(),
            "sr_at_5_alone": accepted.sum() / right.sum(),
            "sr_at_5": won.sum() / right.sum(),
            "median_l2_alone": np.median(short),
            "median_l2": np.median(long),
            **dict(zip(("ratio_q25", "ratio_median", "ratio_q75"), quarters, strict=True)),
        }

    def contrast(self, name, more, less):
        """How much more one attack wins than another at probability .5, with the ends of its interval."""
        drawn = torch.randint(IMAGES, (RESAMPLES, IMAGES), generator=torch.Generator().manual_seed(0)).numpy()
        won = [self.won(name, images, 0) for images in (more, less)]
        difference = won[0].astype(int) - won[1].astype(int)
        ends = np.quantile(difference[drawn].sum(1) / self.right[drawn].sum(1), [0.025, 0.975])
        return {"value": difference.sum() / self.right.sum(), "low": ends[0], "high": ends[1]}


@pytest.fixture
def seen(monkeypatch):
    """What the attacks gave in a run: of each block the images, costs, goals and attack, by detector and attack."""
    blocks = {}
    attack_block = Attacker._block

    def recorded(self, subject, name, attack, aim, images, goals):
        parts = attack_block(self, subject, name, attack, aim, images, goals)
        blocks.setdefault((subject.name, name), []).append(parts | {"goals": goals, "attack": attack})
        return parts

    monkeypatch.setattr(Attacker, "_block", recorded)
    monkeypatch.setattr("experiments.white_box.attacker.BLOCK", 16)
    return blocks


class Tables:
    """The figures that the meta data and the tables must have."""

    def __init__(self, rows, blocks, study):
        self.rows, self.blocks, self.study = rows, blocks, study
        self.images = {key: torch.cat([parts["images"] for parts in of_key]) for key, of_key in blocks.items()}
        self.attacks = list(dict.fromkeys(row["attack"] for row in rows))
        self.at = {(row["detector"], row["attack"]): row for row in rows}

    def curves(self):
        """The points of each detector's strongest walk, by steps and by budget."""
        points = []
        for name in self.study.networks:
            walks = [row for row in self.rows if row["detector"] == name and row["attack"] in WALKS]
            best = max(walks, key=lambda row: row["sr_at_5"])["attack"]
            for across, places in {"steps": [1, 3, 5], "epsilon": [0, 0.005, 0.01, 0.02, 0.04, 1]}.items():
                for at in places:
                    blocks = self.blocks[name, f"{across} {at:g}"]
                    assert {type(each["attack"]) for each in blocks} == {type(self.blocks[name, best][0]["attack"])}
                    point = self.study.point(name, self.images[name, f"{across} {at:g}"])
                    points.append({"seed": self.at[name, best]["seed"], "at": at, **point})
        return points

    def smallest(self):
        """How far each of the first images was moved where it is won: by JointFMN, and by whatever moved it least."""
        return [
            {
                "seed": self.at[name, "metzen"]["seed"],
                "n_right": self.study.first_images(name, self.images[name, "joint_fmn"], 0.05)[1].sum(),
                "budgets": self.study.budgets(name, [self.images[name, "joint_fmn"]]),
                "bounds": self.study.budgets(name, [self.images[name, attack] for attack in self.not_control(name)]),
                **{f"{cost}_passes": self.passes(name, "joint_fmn", cost) for cost in ("forward", "backward")},
            }
            for name in self.study.networks
        ]

    def not_control(self, name):
        """JointFMN and the attacks of the suite on a detector."""
        suite = [row["attack"] for row in self.rows if row["detector"] == name]
        return ["joint_fmn", *(attack for attack in suite if attack not in {"noise", "worst case"})]

    def passes(self, name, attack, cost):
        return np.mean(np.concatenate([parts[cost].numpy() for parts in self.blocks[name, attack]]))

    def of_smallest(self, points):
        """Three lines for each detector: what JointFMN wins by epsilon, what the walk wins, and the higher of both."""
        curves = [point for point, is_steps in zip(points, self.of_steps(), strict=True) if not is_steps]
        lines = []
        for each, walk in zip(self.smallest(), np.reshape(curves, (len(self.study.networks), -1)), strict=True):
            count = each["n_right"]
            found, bound = ([within(each[key], count, point["at"]) for point in walk] for key in ("budgets", "bounds"))
            of_walk = [point["sr_at_5"] for point in walk]
            higher = [exact(max(pair), count) for pair in zip(bound, of_walk, strict=True)]
            middle, low = (median_of(each[key], count) for key in ("budgets", "bounds"))
            passes = [each["forward_passes"], each["backward_passes"]]
            lines += [
                [None, None, count, None, middle, *found, *passes],
                [None, None, count, None, None, *of_walk, None, None],
                [None, None, count, None, low, *higher, None, None],
            ]
        return lines

    def prices(self):
        return [
            {"seed": self.at[name, "metzen"]["seed"]}
            | self.study.price(name, self.images[name, "ddn"], self.images[name, "joint_ddn"])
            for name in self.study.networks
        ]

    def contrasts(self):
        pairs = [("alternating_long", "alternating"), ("alternating", "metzen")]
        return [
            self.study.contrast(name, *(self.images[name, attack] for attack in pair))
            for name in ("id", "spd")
            for pair in pairs
        ]

    def most_passes(self):
        """The most passes of a detector: what its attacks allow themselves, never less than they took."""
        bounds = []
        for name in self.study.networks:
            attacks = [
                self.blocks[name, row["attack"]][0]["attack"]
                for row in self.rows
                if row["detector"] == name and row["attack"] != "worst case"
            ]
            known = [each.most_passes(10) for each in attacks]
            bounds.append([sum(each[i] for each in known if each is not None) for i in (0, 1)])
            taken = [row for row in self.rows if row["detector"] == name and row["attack"] != "worst case"]
            assert all(
                sum(row[cost] for row in taken) <= bound
                for cost, bound in zip(("forward_passes", "backward_passes"), bounds[-1], strict=True)
            )
        return [max(each) for each in zip(*bounds, strict=True)]

    def headline(self):
        """The rate has the exact interval where resampling gives it no width."""
        lines = []
        for name in self.study.networks:
            paper, worst = self.at[name, "alternating"], self.at[name, "worst case"]
            value, low, high = (worst[key] for key in ("sr_at_5", "sr_at_5_low", "sr_at_5_high"))
            if low == high:
                _, low, high = exact(value, worst["n_right"])
            beside = ("sr_at_50", "robust_accuracy", "clean_right_and_accepted", "realised_fpr", "attack_success_rate")
            accuracies = paper["classifier_accuracy"], paper["detector_accuracy"]
            lines.append([None, *accuracies, worst["n_right"], (value, low, high), *(worst[key] for key in beside)])
        return lines

    def by_attack(self, field, attacks):
        """A line for each detector, without those for which nothing is known."""
        lines = [[self.at.get((name, attack), {}).get(field) for attack in attacks] for name in self.study.networks]
        return [[None, None, *line] for line in lines if any(value is not None for value in line)]

    def of_curves(self, points, across):
        chosen = [
            point["sr_at_5"] for point, of_steps in zip(points, self.of_steps(), strict=True) if of_steps is across
        ]
        return [[None, None, *line] for line in np.reshape(chosen, (len(self.study.networks), -1)).tolist()]

    def of_steps(self):
        return ([True] * 3 + [False] * 6) * len(self.study.networks)

    def costs(self, attacks):
        lines = []
        for attack in attacks:
            rows = [row for row in self.rows if row["attack"] == attack]
            lines.append([None, *(np.mean([row[cost] for row in rows]) for cost in COSTS)])
        return lines

    def expected(self, tables):
        points = self.curves()
        shown = {}
        for table in tables:
            title, header = table["title"], table["header"]
            if title.startswith("SR@5 of the walk"):
                shown[title] = self.of_curves(points, title.endswith("steps"))
            elif title.startswith("SR@5 by epsilon"):
                shown[title] = self.of_smallest(points)
            elif title == "The price of detection":
                shown[title] = [[None, None, *(price[key] for key in PRICES)] for price in self.prices()]
            elif title == "What the attacks cost":
                shown[title] = self.costs([line[0] for line in table["rows"]])
            elif title.endswith("before and after retraining"):
                shown[title] = self.headline()
            else:
                field = next(field for start, field in TITLES.items() if title.startswith(start))
                shown[title] = self.by_attack(field, header[2:])
        return points, shown


def within(lengths, count, epsilon):
    return np.count_nonzero(np.array(lengths) <= epsilon + 1e-6) / count


def exact(share, count):
    """A share with Clopper and Pearson's interval."""
    ends = stats.binomtest(round(share * count), count).proportion_ci(method="exact")
    return share, ends.low, ends.high


def median_of(lengths, count):
    """The median of all images, those that are not won at infinity; None if it lies there."""
    middle = np.median([*lengths, *[np.inf] * (count - len(lengths))])
    return middle if np.isfinite(middle) else None


COSTS = ("forward_passes", "backward_passes", "seconds")
PRICES = (
    *("n_right", "success_alone", "sr_at_5_alone", "sr_at_5", "n_both", "median_l2_alone", "median_l2"),
    *("ratio_q25", "ratio_median", "ratio_q75"),
)
TITLES = {
    "SR@5:": "sr_at_5",
    "SR@50:": "sr_at_50",
    "Those ": "fooled_both",
    "Success on the classifier alone": "attack_success_rate",
    "Classifier accuracy under attack": "classifier_accuracy",
    "Detector accuracy under attack": "detector_accuracy",
    "Robust accuracy": "robust_accuracy",
    "AUROC": "auroc",
}


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("targeted", [False, True])
def test_every_figure_is_what_numpy_and_scikit_learn_say(finished, tmp_path, seen, targeted):
    folder = copy_of(finished, tmp_path)
    size = ["--images", str(IMAGES), "--steps", str(STEPS), "--epsilon", str(EPSILON)]
    size += ["--curve_images", str(CURVE_IMAGES), "--resamples", str(RESAMPLES)]
    options = ["--detectors", "[id, spd, max_softmax]", "--device", "cpu"]
    goal = ["--targeted", "true"] if targeted else []
    assert evaluate.main(["white-box", "--run", str(folder), *size, *options, *goal]) == 0
    contents = json.loads((folder / f"report/white-box{'-targeted' if targeted else ''}.json").read_text())
    blocks = {key: parts for key, parts in seen.items() if key[0] != "broken"}
    goals = torch.cat([parts["goals"] for parts in seen["id", "alternating"]]).numpy()
    study = Recomputed(folder, goals, targeted=targeted)
    assert (goals != study.labels).all() if targeted else (goals == study.labels).all()
    images = {key: torch.cat([parts["images"] for parts in of_key]) for key, of_key in blocks.items()}
    alone = [(row["detector"], row["attack"]) for row in contents["rows"] if row["attack"] != "worst case"]
    assert [key for key, each in images.items() if len(each) == IMAGES] == alone
    rows = [_row(row, study, blocks, images) for row in contents["rows"]]
    tables = Tables(rows, blocks, study)
    points, shown = tables.expected(contents["report"]["tables"])
    settings = {
        "images": IMAGES,
        "steps": STEPS,
        "epsilon": EPSILON,
        "curve_images": CURVE_IMAGES,
        "resamples": RESAMPLES,
    }
    calibration = len(study.calibration)
    expected = {
        "meta": {
            **{key: settings[key] for key in ("steps", "epsilon", "curve_images")},
            "options": settings,
            "restarts": 1,
            "goals": 0,
            "attacked_images": IMAGES,
            "test_images": IMAGES,
            "classes": 10,
            "seeds": [0],
            "attacked_seeds": [0],
            "suite_seeds": [0],
            "calibration_images": calibration,
            "most_passes": tables.most_passes(),
            "contrasts": tables.contrasts(),
            "curves": points,
            "smallest": tables.smallest(),
            "prices": tables.prices(),
        },
        "rows": rows,
        "tables": shown,
        "notes": {},
    }
    all_expected(contents, expected)
    assert len({row["sr_at_5"] for row in rows}) > 3  # the run is no trivial one
    assert {attack for _, attack in images} > PAPER


def _row(row, study, blocks, images):
    """The figures of an attack, or of the worst case over all attacks on a detector but the control."""
    name, attack = row["detector"], row["attack"]
    one = attack != "worst case"
    of_detector = [key for key in images if key[0] == name and key[1] != "noise" and len(images[key]) == IMAGES]
    keys = [(name, attack)] if one else of_detector
    found = study.row(name, [images[key] for key in keys])
    alone = study.of_one(name, images[keys[0]])
    found |= alone if one else dict.fromkeys(alone)
    for cost in ("forward", "backward", "seconds"):
        per_image = [torch.cat([parts[cost] for parts in blocks[key]]).numpy() for key in keys]
        found[cost if cost == "seconds" else f"{cost}_passes"] = sum(each.mean() for each in per_image)
    found |= {"n_given": IMAGES, "n_won_first": study.first(*keys[0], images[keys[0]], worst=not one)}
    return found | {"detector": name, "attack": attack, "seed": row["seed"]}
