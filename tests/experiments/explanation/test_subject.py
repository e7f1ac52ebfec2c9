"""What the protocols about saliency methods work on."""

from functools import partial, wraps

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.nn import functional

import evaluate
from attacks import FGSM
from detectors import TorchvisionNetwork
from experiments.evaluation.protocols import PROTOCOLS
from experiments.explanation.enhance.protocol import enhance
from experiments.explanation.subject import METHODS, explained, read_photographs
from experiments.study.batches import in_batches
from saliency import LIME, Gradient, GuidedBackprop, Learnt, Random
from tests.experiments.studies import copy_of, study_of


@pytest.fixture
def photographs(tmp_path):
    """Three images of other sizes, one of them below, and a file that is none."""
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["a.jpg", "b.png", "more/c.png"]):
        pixels = np.random.default_rng(number).integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "licence.txt").write_text("CC0")
    return folder


def test_some_test_images_are_drawn_and_the_same_ones_again(finished):
    found, again = (explained(study_of(finished), "recover", images=7) for _ in range(2))
    split = found.study.data.split("test")
    assert found.images.shape == (7, 1, 28, 28)
    assert torch.equal(found.images, split.__getitems__(found.rows.tolist()).images)
    assert torch.equal(found.rows, again.rows)
    assert len(set(found.rows.tolist())) == 7
    assert found.logits.shape == (7, 10)
    with torch.no_grad():
        assert torch.equal(found.predictions, found.classifier(found.images).argmax(1))


def test_there_may_be_fewer_images_than_asked_for(finished):
    assert len(explained(study_of(finished), "recover", images=5000).images) == 40


def test_all_methods_and_the_runs_learnt_model_are_there_unless_others_are_given(finished):
    found = explained(study_of(finished), "recover", images=3)
    assert list(found.methods) == [*METHODS, "learnt"]
    given = {"mine": Gradient(reduction="l1")}
    assert explained(study_of(finished), "recover", images=3, methods=given).methods == given


def test_usual_methods_that_a_classifier_does_not_allow_are_left_out_and_told(finished):
    found = explained(study_of(finished), "recover", images=3, classifier="tests.experiments.nets.Smooth")
    assert list(found.refused) == ["guided_backprop", "enhanced_guided_backprop"]
    assert list(found.methods) == [name for name in [*METHODS, "learnt"] if name not in found.refused]
    assert found.flag().raised
    assert "guided_backprop: guided backpropagation is defined by" in found.flag().sentence
    assert not explained(study_of(finished), "recover", images=3).flag().raised


def test_a_saliency_model_that_is_not_made_yet_is_left_out_and_told(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    (copy / "saliency" / "mask" / "model.ckpt").unlink()
    found = explained(study_of(copy), "recover", images=3)
    assert "learnt" not in found.methods
    assert "lacks saliency/mask" in found.refused["learnt"]


def test_a_network_of_torchvision_knows_the_names_of_its_classes(finished, photographs):
    network = TorchvisionNetwork("resnet18", 1000, size=32)
    found = explained(
        study_of(finished), "recover", photographs=str(photographs), size=32, classifier=network, methods={}
    )
    assert found.classes[77] == "wolf spider"
    assert TorchvisionNetwork("resnet18", 10).categories is None


def test_maps_come_in_batches_as_the_method_makes_them(finished, monkeypatch):
    monkeypatch.setattr("experiments.explanation.unfinished.in_batches", partial(in_batches, size=3))
    found = explained(study_of(finished), "recover", images=7, methods={"guided": GuidedBackprop(), "random": Random()})
    expected = GuidedBackprop()(found.classifier, found.images)
    assert torch.allclose(found.maps("guided", found.images), expected, atol=1e-6)
    one, same, other = (found.attributions("random", found.images, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    targets = torch.arange(7)
    whole = GuidedBackprop().attributions(found.classifier, found.images, targets)
    assert torch.allclose(found.attributions("guided", found.images, targets), whole, atol=1e-6)


def test_attacks_see_labels_and_regions(finished, monkeypatch):
    monkeypatch.setattr("experiments.explanation.unfinished.in_batches", partial(in_batches, size=3))
    found = explained(study_of(finished), "recover", images=5, methods={})
    region = torch.zeros(5, 1, 28, 28)
    region[:, :, :14] = 1
    attack, labels = FGSM(epsilon=0.1), torch.arange(5)
    adversarial = found.attacked(attack, found.images, labels, region)
    assert torch.equal(adversarial[:, :, 14:], found.images[:, :, 14:])
    assert torch.allclose(adversarial, attack(found.classifier, found.images, labels, region=region), atol=1e-6)


def test_photographs_are_scaled_and_their_classes_are_the_predicted_ones(finished, photographs):
    found = explained(
        study_of(finished), "recover", photographs=str(photographs), size=32, classifier="tests.experiments.nets.Wide"
    )
    assert found.images.shape == (3, 3, 32, 32)
    assert torch.equal(found.labels, found.predictions)
    assert found.classes == [str(number) for number in range(13)]
    assert found.protocol == "recover-wide-photographs"
    assert read_photographs(photographs, 16, 2).shape == (2, 3, 16, 16)


def test_test_images_are_enlarged_before_anything_else(finished):
    plain = explained(study_of(finished), "recover", images=4)
    found = explained(study_of(finished), "recover", images=4, size=56, classifier="tests.experiments.nets.Grey")
    assert found.images.shape == (4, 1, 56, 56)
    assert torch.allclose(functional.avg_pool2d(found.images, 2), plain.images, atol=0.2)
    assert torch.equal(found.labels, plain.labels)
    assert "learnt" not in found.methods


def test_hidden_photographs_are_left_out(photographs):
    for name in ("@eaDir/a.jpg", "more/.ipynb_checkpoints/c.png", "._a.jpg"):
        (photographs / name).parent.mkdir(exist_ok=True)
        (photographs / name).write_bytes((photographs / "a.jpg").read_bytes())
    assert len(read_photographs(photographs, 16, 100)) == 3


def test_a_folder_without_photographs_is_refused(finished, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist: give one with \.jpg"):
        explained(study_of(finished), "recover", photographs=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty holds no image"):
        explained(study_of(finished), "recover", photographs=str(tmp_path / "empty"))


def test_a_photograph_that_cannot_be_decoded_is_named(finished, photographs):
    (photographs / "d.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"d\.jpg cannot be decoded"):
        explained(study_of(finished), "recover", photographs=str(photographs))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"images": 0}, "images must be at least 1, got 0"),
        ({"photographs": ".", "size": 0}, "size must be at least 1, got 0"),
        ({"size": 20}, r"the run's classifier does not take images \(1, 20, 20\) \(RuntimeError: "),
        ({"classifier": "tests.experiments.nets.Wide"}, r"Wide does not take images \(1, 28, 28\) \(RuntimeError: "),
        (
            {"classifier": "tests.experiments.nets.Nothing"},
            "Nothing' cannot be imported: module",
        ),
    ],
)
def test_bad_options_are_refused(finished, options, told):
    with pytest.raises(ValueError, match=told):
        explained(study_of(finished), "recover", **options)


@pytest.mark.slow
def test_options_come_from_a_file_and_the_command_line(finished, tmp_path, monkeypatch):
    seen = {}

    @wraps(enhance)  # has its options
    def spy(study, **options):
        seen.update(options)
        return PROTOCOLS["strength"].run(study)

    monkeypatch.setattr("experiments.explanation.enhance.protocol.enhance", spy)
    mask = finished / "saliency" / "mask" / "model.ckpt"
    methods = {
        "lime": {"class_path": "saliency.LIME", "init_args": {"samples": 20}},
        "learnt": {"class_path": "saliency.Learnt", "init_args": {"saliency": str(mask)}},
    }
    network = {"class_path": "detectors.ConvNet", "init_args": {"shape": [1, 28, 28], "outputs": 10}}
    path = tmp_path / "options.yaml"
    path.write_text(yaml.safe_dump({"images": 9, "methods": methods, "classifier": network}))
    arguments = ["enhance", "--run", str(finished), "--config", str(path), "--images", "4"]
    assert evaluate.main(arguments) == 0
    assert seen["images"] == 4
    assert seen["methods"]["lime"] == LIME(samples=20)
    assert isinstance(seen["methods"]["learnt"], Learnt)
    assert type(seen["classifier"]).__name__ == "ConvNet"


def test_a_typo_in_the_file_is_told_in_a_sentence(finished, tmp_path, capsys):
    path = tmp_path / "options.yaml"
    path.write_text("imgaes: 3\n")
    assert evaluate.main(["similarity", "--run", str(finished), "--config", str(path)]) == 2
    told = capsys.readouterr().err
    assert "imgaes" in told
    assert told.count("\n") == 1
