"""DDN against closed forms and advertorch; JointDDN, and what a detector costs."""

import pytest
import torch
from torch import nn

from attacks import DDN, Advertorch, JointDDN
from attacks.norms import l2
from tests.attacks.minimal import at_distance, nearest, plain
from tests.attacks.white_box.museum import BROKEN


class Plane(nn.Module):
    """Rejects what lies on one side of a plane."""

    def __init__(self, normal, offset):
        super().__init__()
        self.normal, self.offset = normal, offset

    def forward(self, images):
        """Return the distance beyond the plane (N,)."""
        return images.flatten(1) @ self.normal - self.offset


def unit(size, seed):
    drawn = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn / drawn.norm()


@pytest.mark.parametrize("distance", [0.05, 0.3])
def test_two_classes_are_left_by_the_shortest_way(distance):
    model = plain(2)
    images = at_distance(model, 8, distance)
    result = DDN(steps=200).report(model, images)
    assert result.success.all()
    assert (result.l2 >= distance).all()
    torch.testing.assert_close(result.l2, torch.full_like(result.l2, distance), rtol=0.05, atol=0)


def test_nearest_of_several_classes_is_found_where_the_softmax_is_sharp():
    model = plain(4)
    for parameter in model.parameters():
        parameter.mul_(1e4)
    images = 0.4 + 0.2 * torch.rand(16, 1, 8, 8, dtype=torch.float64)
    result = DDN(steps=200).report(model, images)
    shortest = nearest(model, images, model(images).argmax(1))
    assert (result.l2 >= shortest).all()
    assert (result.l2 <= 1.05 * shortest).all()


@pytest.mark.slow
@pytest.mark.parametrize("targeted", [False, True])
def test_is_as_good_as_advertorchs(targeted, trained):
    net, images, predictions = trained
    labels = (predictions + targeted) % 6
    theirs = Advertorch(attack="DDNL2Attack", parameters={"nb_iter": 100, "quantize": False}, targeted=targeted).report(
        net, images, labels
    )
    ours = DDN(targeted=targeted).report(net, images, labels)
    assert ours.success.all()
    assert theirs.success.all()
    assert ours.l2.mean().item() == pytest.approx(theirs.l2.mean().item(), rel=0.01)
    assert ((ours.l2 / theirs.l2 - 1).abs() < 0.02).float().mean() > 0.9


@pytest.mark.slow
def test_more_steps_are_not_longer(trained):
    means = [DDN(steps=steps).report(*trained).l2.mean() for steps in (10, 50, 200)]
    assert means[0] > means[1] > 0.99 * means[2]


def test_radius_shrinks_and_grows_by_gamma():
    model, seen = plain(2), []
    images = at_distance(model, 1, 0.5)
    model.register_forward_pre_hook(lambda _model, inputs: seen.append(l2(inputs[0].detach() - images).item()))
    DDN(steps=6, gamma=0.5, initial_norm=0.8)(model, images, torch.tensor([0]))
    # the image withstands, 1.2 does not, .6 does not, .3 withstands, and so on
    assert seen == pytest.approx([0, 1.2, 0.6, 0.3, 0.45, 0.675, 0.3375], rel=1e-6)


def test_detector_that_accepts_everything_costs_nothing(trained):
    accepting = BROKEN["Constant"](trained[1])
    assert torch.equal(JointDDN()(*trained, detector=accepting), DDN()(*trained))


def test_image_that_passes_already_is_returned_as_it_is(trained):
    net, images, labels = trained
    wrong = (labels + 1) % 6
    accepting = BROKEN["Constant"](images)
    assert torch.equal(JointDDN()(net, images, wrong, detector=accepting), images)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
@pytest.mark.parametrize("tilt", [0.0, 0.5, -0.5])
def test_two_planes_are_passed_by_the_shortest_way_whatever_their_scale(tilt, scale):
    model = plain(2)
    images = 0.5 + torch.zeros(4, 1, 8, 8, dtype=torch.float64)
    toward = (model[1].weight[1] - model[1].weight[0]).double()
    toward = toward / toward.norm()
    with torch.no_grad():  # the image is .3 before the classifier's plane
        lead = (model(images)[:, 0] - model(images)[:, 1])[0]
        gap = (model[1].weight[1] - model[1].weight[0]).norm()
        model[1].bias[0] += 0.3 * gap - lead
    other = unit(64, 3)
    other = other - toward * (other @ toward)
    inward = tilt * toward + (1 - tilt**2) ** 0.5 * other / other.norm()  # the detector accepts along this
    detector = Plane(-scale * inward, -scale * (images[0].flatten() @ inward + 0.2))
    # the nearest point of {toward.d >= .3, inward.d >= .2}
    gram = torch.tensor([[1.0, tilt], [tilt, 1.0]], dtype=torch.float64)
    needed = torch.tensor([0.3, 0.2], dtype=torch.float64)
    shortest = (needed @ torch.linalg.solve(gram, needed)).sqrt().item()
    assert shortest > 0.3
    result = JointDDN(steps=200).report(model, images, torch.zeros(4, dtype=torch.long), detector=detector)
    assert result.success.all()
    assert (result.scores <= 0).all()
    assert (result.l2 >= shortest * (1 - 1e-9)).all()
    assert (result.l2 <= 1.1 * shortest).all()


@pytest.mark.slow
def test_price_of_detection_is_at_least_one(trained):
    detector = BROKEN["Linear"](trained[1])
    free, paid = DDN().report(*trained), JointDDN().report(*trained, detector=detector)
    assert paid.success.all()
    assert (paid.scores <= 0).all()
    ratio = paid.l2 / free.l2
    assert ratio.median() > 1.05
    assert (ratio > 0.95).all()  # both are searches


@pytest.mark.parametrize("arguments", [{"gamma": 0}, {"gamma": 1.0}, {"steps": 0}, {"initial_norm": -1.0}])
def test_bad_arguments_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"{name} must be"):
        DDN(**arguments)
