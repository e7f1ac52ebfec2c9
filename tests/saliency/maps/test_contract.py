"""What every saliency method promises, whatever it does inside."""

import numpy as np
import pytest
import torch
from torch import nn

from saliency import LIME, Gradient, Learnt, Random
from saliency.maps import reduce
from tests.fixtures import CLASSES
from tests.saliency.maps.cases import EACH, METHODS, SEEDED, Constant, hooks_of

CONTEXTS = {
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


class Failing(nn.Module):
    """A classifier that raises after some passes."""

    def __init__(self, model, passes) -> None:
        super().__init__()
        self.model = model
        self.left = passes

    def forward(self, images):
        self.left -= 1
        if self.left < 0:
            msg = "out of memory"
            raise RuntimeError(msg)
        return self.model(images)


@pytest.fixture
def targets(classifier, images):
    """Other classes than the predicted ones."""
    return (classifier(images).argmax(1) + 1) % CLASSES


@EACH
def test_maps_are_as_large_as_the_images_and_belong_to_nobody(method, classifier, images, targets):
    before = images.clone()
    attributions, maps = method.attributions(classifier, images, targets), method(classifier, images, targets)
    assert maps.shape == (8, 1, 12, 12)
    assert attributions.shape[1] in {1, images.shape[1]}
    assert maps.dtype == images.dtype
    assert not maps.requires_grad
    assert maps.isfinite().all()
    assert maps.flatten(1).std(1).min() > 0
    assert torch.equal(images, before)


@EACH
def test_a_map_does_not_depend_on_its_neighbours(method, classifier, images, targets):
    together = method(classifier, images, targets)
    alone = [method(classifier, images[row : row + 1], targets[row : row + 1]) for row in range(8)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-6 * float(together.abs().max()))


@EACH
def test_without_targets_the_predicted_classes_are_explained(method, classifier, images):
    predicted = classifier(images).argmax(1)
    assert torch.equal(method(classifier, images), method(classifier, images, predicted))


@pytest.mark.parametrize("name", METHODS)
def test_maps_depend_on_the_class_if_the_method_says_so(name, classifier, images, targets):
    method = METHODS[name]
    same = torch.equal(method(classifier, images), method(classifier, images, targets))
    assert same != method.of_class


@pytest.mark.parametrize("name", METHODS)
def test_maps_are_the_same_again_and_others_with_another_seed(name, classifier, images):
    method = METHODS[name]
    first = method(classifier, images)
    assert torch.equal(first, method(classifier, images))
    seeded = [method(classifier, images, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(seeded[0], seeded[1])
    assert torch.equal(seeded[0], seeded[2]) == (name not in SEEDED)


@EACH
@pytest.mark.parametrize("passes", [1000, 0, 1], ids=["done", "fails at once", "fails later"])
def test_nothing_of_the_callers_changes_also_after_an_exception(method, passes, classifier, images):
    model = Failing(classifier, passes).train()
    classifier.network.layers[1].training = False
    modes = [part.training for part in model.modules()]
    weights = [weight.clone() for weight in model.parameters()]
    random = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the state that must not change
    if passes == 1000:
        method(model, images)
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            [method(model, images) for _ in range(2)]  # some need one pass only
    assert hooks_of(model) == 0
    assert [part.training for part in model.modules()] == modes
    assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), weights, strict=True))
    assert torch.equal(torch.get_rng_state(), random[0])
    assert np.random.get_state()[1].tolist() == random[1]  # noqa: NPY002


@EACH
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
def test_works_in_any_context(method, context, classifier, images):
    expected = method(classifier, images)
    with context():
        found = method(classifier, images.clone())
    assert torch.allclose(found, expected, atol=1e-6)


@EACH
def test_an_empty_batch_has_no_maps(method, classifier, images):
    assert method(classifier, images[:0]).shape == (0, 1, 12, 12)


@EACH
def test_a_constant_classifier_has_finite_maps(method, images):
    assert method(Constant(), images).isfinite().all()


@EACH
def test_bad_input_is_refused_in_a_sentence(method, classifier, images):
    with pytest.raises(ValueError, match=r"images must be finite and in \[0, 1\], got values from 1 to"):
        method(classifier, images + 1)
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(8,\)"):
        method(classifier, images, torch.zeros(3, dtype=torch.long))
    if not isinstance(method, Random):  # it asks nothing of the model
        with pytest.raises(ValueError, match="labels must be below the model's 4 classes, got 4"):
            method(classifier, images, torch.full((8,), CLASSES))


@EACH
def test_values_that_are_not_finite_are_refused(method, images):
    class Broken(Constant):
        def forward(self, images):
            return super().forward(images) * torch.where(images.sum((1, 2, 3)) > 0, torch.inf, 1)[:, None]

    if not isinstance(method, Random):
        with pytest.raises(RuntimeError, match="maps that are not finite"):
            method(Broken(), images)


@EACH
@pytest.mark.parametrize("given", [False, True], ids=["predicted classes", "given targets"])
def test_a_classifier_whose_network_writes_on_its_input_and_flattens_by_view_is_explained_as_any_other(
    method, given, twins, images
):
    images, before = images.double(), images.double().clone()
    targets = torch.arange(8) % CLASSES if given else None
    found, expected = (method.attributions(model, images, targets) for model in twins)
    assert torch.equal(images, before)
    assert torch.allclose(found, expected, rtol=0, atol=1e-9)
    assert expected.abs().max() > 1e-3


@EACH
def test_a_network_that_writes_on_its_input_is_refused(method, twins, images):
    images, before = images.double(), images.double()
    for targets in (None, torch.arange(8) % CLASSES):
        with pytest.raises(ValueError, match="Awkward writes on the images that it is given: set inplace=False"):
            method(twins[0].network, images, targets)
    assert torch.equal(images, before)


class Silent(Constant):
    @torch.no_grad()
    def forward(self, images):
        return super().forward(images)


@EACH
def test_a_network_without_a_gradient_is_refused_unless_the_method_needs_none(method, images, labels):
    if isinstance(method, LIME | Random):
        assert method(Silent(), images, labels).isfinite().all()
    else:
        with pytest.raises(ValueError, match=r"no gradient leads from the logits .* LIME"):
            method(Silent(), images, labels)


def test_probabilities_and_gradients_of_zero_are_told(images, labels):
    with pytest.warns(UserWarning, match="the gradient of the logits of Constant is exactly 0 for every image"):
        Gradient()(Constant(), images, labels)
    with pytest.warns(UserWarning, match="Sequential gives probabilities"):
        Gradient()(nn.Sequential(nn.Flatten(), nn.Linear(144, 4), nn.Softmax(1)), images, labels)


def test_the_learnt_model_is_a_method_among_others(saliency, classifier, images, targets):
    method = Learnt(saliency=saliency.train())
    with torch.no_grad():
        expected = saliency.eval().masks(images, targets)
    saliency.train()
    assert torch.allclose(method(classifier, images, targets), expected, atol=1e-6)
    assert saliency.training
    assert "SaliencyModel" not in repr(method)


@pytest.mark.parametrize(("reduction", "expected"), [("max", 3.0), ("l1", 6.0), ("positive", 3.0), ("mean", 0.0)])
def test_channels_are_reduced(reduction, expected):
    attributions = torch.tensor([1.0, 2.0, -3.0]).view(1, 3, 1, 1)
    assert reduce(attributions, reduction).item() == expected


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match=r"unknown reduction 'sum'. Accepted: max, l1, positive, mean"):
        type(METHODS["Gradient"])(reduction="sum")


def test_images_draw_other_numbers_however_many_there_are():
    images = torch.rand(3000, 1, 2, 2)
    maps = Random()(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), images)
    assert len(maps.flatten(1).unique(dim=0)) == 3000
