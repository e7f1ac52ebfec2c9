import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from detectors import Classifier
from detectors.published import PredictionInconsistency
from detectors.published.prediction_inconsistency import jensen_shannon
from tests.fixtures import CLASSES, SHAPE


def test_score_is_the_squared_distance_of_scipy(classifier, images):
    second = Classifier(SHAPE, CLASSES, widths=(4,)).eval()
    detector = PredictionInconsistency(classifier, second)
    with torch.no_grad():
        first, other = (each(images).double().softmax(1).numpy() for each in (classifier, second))
        scores = detector(images).numpy()
    np.testing.assert_allclose(scores, jensenshannon(first, other, axis=1) ** 2, rtol=1e-4)


def test_equal_classifiers_score_0_and_opposite_ones_log_2(classifier, images):
    assert PredictionInconsistency(classifier, classifier)(images).abs().max() < 1e-12
    certain = torch.tensor([[1e3, 0.0], [0.0, 1e3]])
    assert jensen_shannon(certain, certain.flip(0)).tolist() == pytest.approx([math.log(2)] * 2)


def test_small_divergences_do_not_cancel():
    first = torch.tensor([[30.0, 0.0]])
    second = torch.tensor([[31.0, 0.0]])
    p, q = math.exp(-30), math.exp(-31)
    middle = (p + q) / 2
    expected = 0.5 * (p * math.log(p / middle) + q * math.log(q / middle))  # the other class adds less than this
    assert jensen_shannon(first, second).item() == pytest.approx(expected, rel=0.02)
