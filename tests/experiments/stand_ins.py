"""A study of networks that need no training, for protocols that look at images and maps."""

from types import SimpleNamespace

import torch
from rich.progress import Progress
from torch import nn

from attacks import FGSM
from data import ImageData
from detectors import Classifier
from experiments.study.contenders import Contender
from experiments.study.study import Study
from saliency import Encoder, SaliencyModel, Selector

CLASSES = 4
COUNT = 200
"""Images, a fifth of which are for tests."""


class Predicted(ImageData):
    """Made-up images whose labels are a classifier's predictions; so it is always right."""

    classes = CLASSES

    def __init__(self, classifier, shape):
        super().__init__()
        self.classifier, self.shape = classifier, shape

    def read(self):
        generator = torch.Generator().manual_seed(1)
        pixels = torch.randint(256, (COUNT, *self.shape), generator=generator, dtype=torch.uint8)
        labels = self.classifier(pixels / 255).argmax(1)
        return pixels, labels, None


class Brightness(nn.Module):
    """A detector that flags bright images."""

    def forward(self, images):
        return images.mean((1, 2, 3))


def stand_in(folder, shape=(1, 12, 12), attacks=None, *, learnt=True):
    """Return a study of a linear classifier, an untrained saliency model and a detector trained on nothing."""
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], CLASSES)).eval()
    saliency = SaliencyModel(Selector(Encoder(shape, CLASSES, width=4)), Classifier(shape, CLASSES, (4,))).eval()
    attacks = attacks or {"fgsm": FGSM(epsilon=0.1), "none": FGSM(epsilon=0.0)}
    run = SimpleNamespace(
        folder=folder,
        report=folder / "report",
        settings=SimpleNamespace(seeds=[0], train_on=["fgsm"]),
        attacks=lambda: attacks,
        store=lambda: None,
        finished=list,
    )
    data = Predicted(classifier, shape)
    data.setup()
    calibration = torch.linspace(0, 0.5, 100)
    study = Study(run, torch.device("cpu"), Progress(disable=True), ["python", "evaluate.py"])
    study.__dict__ |= {
        "data": data,
        "classifier": classifier,
        "saliency": saliency if learnt else None,
        "trained": [Contender("bright", "fgsm", 0, Brightness(), calibration)],
        "training_free": [Contender("max_softmax", None, None, Brightness(), calibration)],
    }
    return study
