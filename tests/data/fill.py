"""Fills a store, slowly enough to be killed while at it."""

import time

import torch
from rich.progress import Progress

from attacks import BIM
from data.store.sets import AdversarialSets
from data.store.store import Store
from detectors import Classifier
from detectors.explanations import LogitGradient
from tests.data.toy import LargeToy
from tests.fixtures import CLASSES, SHAPE

PAUSE = 0.01
"""Seconds per batch, so that there is time to be killed in."""


def fill(folder, pause=PAUSE):
    """Complete the sets of an attack and an explanation; return how many shards were made here."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    classifier = Classifier(SHAPE, CLASSES, widths=(4,)).eval()
    data = LargeToy(batch_size=64)
    data.setup()

    class Slow(BIM):
        def perturb(self, problem):
            time.sleep(pause)
            return super().perturb(problem)

    sets = AdversarialSets(Store(folder), data, classifier, torch.device("cpu"), Progress(disable=True))
    sets.pairs("detector_train", Slow(epsilon=0.1, step_size=0.02, steps=5), LogitGradient(classifier, "sum"))
    return sets.tally
