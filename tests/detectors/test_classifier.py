import pytest
import torch
from torch import nn

from attacks import FGSM
from detectors import JSD, Classifier, ConvNet
from saliency.checkpoints import Portable, save
from tests.saliency.helpers import loader

SHAPE = (1, 12, 12)


class ClassifierTestNetwork(Portable):
    """Gives whatever its function makes of the images, and remembers how it was called."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.norm = nn.BatchNorm2d(1)
        self.calls = []

    def forward(self, images):
        self.calls.append((tuple(images.shape), self.norm.training, torch.is_grad_enabled(), images.dtype))
        return self.function(self.norm(images))


def _sums(images):
    return images.sum((1, 2, 3))[:, None].repeat(1, 4)


def test_network_is_tried_once_on_one_image_in_eval_mode_without_gradients():
    network = ClassifierTestNetwork(_sums).double()
    classifier = Classifier(SHAPE, 4, network=network)
    assert network.calls == [((1, *SHAPE), False, False, torch.float64)]
    assert classifier.network is network
    assert network.norm.num_batches_tracked == 0


@pytest.mark.parametrize("function", [_sums, lambda images: images], ids=["accepted", "refused"])
def test_mode_of_every_module_is_as_before(function):
    network = ClassifierTestNetwork(function)
    network.norm.eval()
    try:
        Classifier(SHAPE, 4, network=network)
    except ValueError:
        assert function is not _sums
    assert network.training
    assert not network.norm.training


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda images: _sums(images)[:, :3],
            r"an output of shape \(1, 3\) for one of the images \(1, 12, 12\), but 4",
        ),
        (
            lambda images: _sums(images)[0],
            r"shape \(4,\).* need logits of shape \(1, 4\): use a network with 4 outputs",
        ),
        (lambda images: (None, _sums(images)), "gives a tuple: it must give logits"),
        (lambda images: _sums(images) / 0, "gives logits that are not finite"),
        (lambda images: images @ torch.rand(5, 5), r"does not take images \(1, 12, 12\) \(RuntimeError: .*shapes"),
        (lambda images: images.nothing, r"does not take images .*AttributeError: .*use a network made for them$"),
    ],
    ids=["three outputs", "no batch", "tuple", "not finite", "another shape", "bug"],
)
def test_network_that_gives_no_logits_is_refused_with_a_sentence(function, message):
    with pytest.raises(ValueError, match=message) as caught:
        Classifier(SHAPE, 4, network=ClassifierTestNetwork(function))
    assert "\n" not in str(caught.value)


def test_network_for_other_images_is_refused():
    with pytest.raises(ValueError, match=r"ConvNet does not take images \(1, 12, 12\)"):
        Classifier(SHAPE, 4, network=ConvNet((1, 20, 20), 4, (4,)))


def test_making_a_classifier_draws_nothing_beyond_its_weights():
    torch.manual_seed(0)
    Classifier(SHAPE, 4, (4,))
    after = torch.get_rng_state()
    torch.manual_seed(0)
    ConvNet(SHAPE, 4, (4,))
    assert torch.equal(torch.get_rng_state(), after)


def test_a_network_that_writes_on_its_input_gets_a_copy(twins, images):
    awkward, plain = (classifier.float() for classifier in twins)
    before = images.clone()
    with torch.inference_mode():
        assert torch.equal(awkward(images), plain(images))
    assert torch.equal(images, before)
    detectors = [JSD(classifier, widths=(4,)).eval() for classifier in (awkward, plain)]
    detectors[1].load_state_dict(detectors[0].state_dict())
    for function in ("__call__", "scores", "represent"):
        found, expected = (getattr(detector, function)(images) for detector in detectors)
        assert torch.allclose(found, expected, atol=1e-6)
    assert torch.equal(images, before)


def test_a_network_that_only_reads_its_input_gets_no_copy(twins, images):
    seen = []
    twins[1].network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    twins[1].float()(images)
    assert seen[-1] is images


def _own():
    return Classifier(SHAPE, 4, network=nn.Sequential(nn.Flatten(), nn.Linear(144, 4)))


def test_a_network_of_ones_own_is_attacked_without_being_saved(images, labels):
    adversarial = FGSM(epsilon=0.1)(_own(), images, labels)
    assert (adversarial - images).abs().max() == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize("keep", ["fit", "save"])
def test_a_network_that_no_checkpoint_can_hold_is_refused_before_it_trains(keep, trainer, tmp_path):
    path, batches = tmp_path / "model.ckpt", loader(torch.rand(8, *SHAPE), torch.arange(8) % 4)
    with pytest.raises(TypeError, match=r"Classifier\.network cannot be kept .*WrappedNetwork\(Sequential, options"):
        trainer.fit(_own(), batches) if keep == "fit" else save(_own(), path)
    assert trainer.global_step == 0
    assert not path.exists()
