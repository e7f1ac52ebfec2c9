"""A detector of one's own: what it must say, and what it is told where it does not; images are checked."""

import pytest
import torch

from detectors import ID, Detector


class Contours(Detector):
    def __init__(self, classifier, returned=None):
        super().__init__(classifier, channels=1)
        self.returned = returned

    def represent(self, images, logits=None):  # noqa: ARG002 - given to every detector
        edges = (images - images.roll(1, -1)).abs().mean(1, keepdim=True)
        return edges if self.returned is None else self.returned(edges)


MISTAKES = {
    "two channels": (lambda edges: edges.repeat(1, 2, 1, 1), "it returned shape (8, 2, 12, 12)"),
    "no picture": (lambda edges: edges.mean((1, 2, 3)), "it returned shape (8,)"),
    "one image": (lambda edges: edges[:1], "it returned shape (1, 1, 12, 12)"),
    "numpy": (lambda edges: edges.numpy(), "it returned shape (8, 1, 12, 12)"),
    "nothing": (lambda _: (), "it returned tuple"),
}


@pytest.mark.parametrize(("returned", "told"), MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("asked", [Contours.forward, Contours.joint, Contours.scores])
def test_a_wrong_representation_is_told(asked, returned, told, classifier, images):
    with torch.no_grad(), pytest.raises(ValueError, match=r"Contours\.represent must return a tensor") as error:
        asked(Contours(classifier, returned), images)
    assert "of shape (8, 1, 12, 12) for images of shape (8, 1, 12, 12)" in str(error.value)
    assert str(error.value).endswith(told)


def test_a_detector_without_a_representation_is_refused(classifier):
    class Nothing(Detector):
        pass

    with pytest.raises(TypeError, match="Nothing has no represent"):
        Nothing(classifier, channels=1)


def test_scores_are_those_of_eval_mode_and_without_a_graph(classifier, images):
    detector = Contours(classifier)
    expected = detector.eval()(images).detach()
    detector.train()
    scores = detector.scores(images.requires_grad_())
    assert torch.equal(scores, expected)
    assert not scores.requires_grad
    assert detector.training


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda images: images * 255, r"\[0, 1\]"),
        (lambda images: images * float("nan"), "nan"),
        (lambda images: images[0], "N, C, H, W"),
        (lambda images: images.repeat(1, 3, 1, 1), r"ID needs images \(N, 1, 12, 12\), got \(8, 3, 12, 12\)"),
    ],
)
def test_scores_of_what_is_no_batch_of_its_images_are_refused(change, told, classifier, images):
    with pytest.raises(ValueError, match=told):
        ID(classifier).scores(change(images))
