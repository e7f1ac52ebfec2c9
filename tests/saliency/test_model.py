import pytest
import torch

from detectors import Classifier
from saliency import Encoder, SaliencyModel, Selector
from saliency.checkpoints import load, save
from saliency.fill import compose
from saliency.objective import OBJECTIVES, Weights, margin
from saliency.selector import with_fakes
from saliency.training import seeded
from tests.saliency.helpers import awake, loader, loss_of, quadrants, same, short_trainer, snapshot

SHAPE = (1, 12, 12)


@pytest.fixture
def model(saliency, images, labels):
    """A saliency model whose masks react to the class."""
    return awake(saliency, lambda: saliency.masks(images, labels))


def _built(**given):
    return SaliencyModel(Selector(Encoder(SHAPE, 4, width=4)), Classifier(SHAPE, 4, widths=(4,)), **given)


def test_maps_have_one_channel_and_lie_within_0_and_1(model, classifier, images, labels):
    maps = model(classifier, images, labels)
    assert maps.shape == (8, 1, 12, 12)
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_masks_depend_on_the_class_asked_for(model, images):
    masks = [model.masks(images, torch.full((8,), number)) for number in range(4)]
    for first in range(4):
        for second in range(first):
            assert (masks[first] - masks[second]).abs().max() > 1e-3


def test_masks_are_deterministic_in_eval_and_draw_nothing(model, images, labels):
    before = torch.get_rng_state()
    assert torch.equal(model.masks(images, labels), model.masks(images, labels))
    assert torch.equal(torch.get_rng_state(), before)


def test_batch_of_n_equals_n_batches_of_one(model, images, labels):
    model, images = model.double(), images.double()
    alone = torch.cat([model.masks(images[i : i + 1], labels[i : i + 1]) for i in range(8)])
    assert torch.allclose(model.masks(images, labels), alone, atol=1e-8)


def test_without_targets_the_map_is_of_the_class_that_the_given_model_predicts(model, linear, images):
    predicted = linear(images).argmax(1)
    assert len(predicted.unique()) > 1
    assert torch.equal(model(linear, images), model.masks(images, predicted))


def test_with_targets_the_given_model_is_not_asked(model, images, labels):
    def refuse(_):
        raise AssertionError

    assert torch.equal(model(refuse, images, labels), model.masks(images, labels))


def test_maps_are_differentiable_in_the_images(model, linear, images):
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(model(linear, images).sum(), images)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("black_box", ["classifier", "encoder"])
@pytest.mark.parametrize("objective", ["margin", "log"])
def test_fit_changes_the_decoder_alone(black_box, objective, trainer, images, labels):
    model = _built(black_box=black_box, objective=objective)
    before = {part: snapshot(model.get_submodule(part)) for part in ("selector", "classifier", "decoder")}
    trainer.fit(model, loader(images, labels))
    assert trainer.global_step == 1
    assert same(model.selector, before["selector"])
    assert same(model.classifier, before["classifier"])
    assert all(not torch.equal(value, before["decoder"][name]) for name, value in model.decoder.named_parameters())
    assert all(parameter.grad is None for parameter in [*model.selector.parameters(), *model.classifier.parameters()])


@pytest.mark.parametrize("black_box", ["classifier", "encoder"])
def test_black_box_is_the_network_that_is_asked_during_training(black_box, images, labels, monkeypatch):
    model = _built(black_box=black_box)
    calls = []
    model.classifier.register_forward_hook(lambda *_: calls.append("classifier"))
    model.selector.encoder.register_forward_hook(lambda *_: calls.append("encoder"))
    loss_of(model, (images, labels), monkeypatch)
    assert calls == [black_box, black_box]


@pytest.mark.parametrize("objective", ["margin", "log"])
def test_training_loss_is_the_objective_on_the_kept_and_the_destroyed_image(objective, images, labels, monkeypatch):
    given = {"area": 2.0, "smoothness": 0.5, "preserve": 3.0, "destroy": 0.7}
    model = _built(objective=objective, fill="zero", **{f"{name}_weight": value for name, value in given.items()})
    loss = loss_of(model, (images, labels), monkeypatch)
    classes, fake = with_fakes(labels, 4, 0.3, model.step_generator(0))
    with torch.no_grad():
        masks = model.train().masks(images, classes)
        kept, destroyed = model.classifier(images * masks), model.classifier(images * (1 - masks))
    function, _ = OBJECTIVES[objective]
    expected = function(masks, kept, destroyed, labels, fake, Weights(**given)).total
    assert loss == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("objective", ["margin", "log"])
def test_weights_not_given_are_the_objective_s_own(objective, images, labels, monkeypatch):
    defaults = OBJECTIVES[objective][1]
    model = _built(objective=objective)
    named = {f"{name}_weight": value for name, value in defaults._asdict().items()}
    loss = loss_of(model, (images, labels), monkeypatch)
    for name, value in named.items():
        setattr(model, name, value)
    assert loss_of(model, (images, labels), monkeypatch) == pytest.approx(loss, rel=1e-6)


def test_fill_and_blur_sigma_reach_the_composed_images(images, labels, monkeypatch):
    losses = [
        loss_of(_same_weights(fill=fill, blur_sigma=sigma), (images, labels), monkeypatch)
        for fill, sigma in [("blur", 0.05), ("blur", 0.3), ("zero", 0.3), ("colour", 0.3)]
    ]
    assert len(set(losses)) == 4


def _same_weights(**given):
    torch.manual_seed(1)
    return _built(**given)


def test_fit_lowers_the_loss_on_separable_images(tmp_path, monkeypatch):
    images, labels = quadrants(64)
    batches = loader(images, labels, batch_size=16)
    classifier = Classifier(SHAPE, 4, widths=(8,), learning_rate=0.01)
    short_trainer(tmp_path, 10).fit(classifier, batches)
    encoder = Encoder(SHAPE, 4, width=4)
    short_trainer(tmp_path, 10).fit(encoder, batches)
    selector = Selector(encoder, learning_rate=0.03)
    short_trainer(tmp_path, 10).fit(selector, batches)
    model = SaliencyModel(selector, classifier, learning_rate=0.01)
    loss = loss_of(model, (images, labels), monkeypatch)
    monkeypatch.undo()
    short_trainer(tmp_path, 12).fit(model, batches)
    assert loss_of(model, (images, labels), monkeypatch) < 0.8 * loss
    with torch.no_grad():
        masks = model.eval().masks(images, labels)
        zeroed = compose(images, 1 - masks, "blur", torch.Generator().manual_seed(0))
    assert 0 < masks.mean() < 1
    assert zeroed.isfinite().all()


@pytest.mark.parametrize("run", ["validate", "test"])
def test_evaluation_logs_every_measure_as_a_mean_over_images(run, trainer, images, labels, model):
    stage = {"validate": "validation", "test": "test"}[run]
    (logged,) = getattr(trainer, run)(model, loader(images, labels, batch_size=5), verbose=False)
    assert logged.pop("validation/loss", 1) > 0
    assert set(logged) == {
        f"{stage}/{name}"
        for name in (
            "kept_accuracy",
            "destroyed_accuracy",
            "area",
            "absent_area",
            "kept_accuracy_other_mask",
            "kept_accuracy_disc",
            "destroyed_accuracy_disc",
        )
    }
    with torch.no_grad():
        area = model.eval().masks(images, labels).mean().item()
    assert logged[f"{stage}/area"] == pytest.approx(area, abs=1e-4)
    assert all(0 <= value <= 1 for value in logged.values())


def test_validation_loss_is_the_objective_of_the_true_classes(trainer, images, labels, model):
    (logged,) = trainer.validate(model, loader(images, labels, batch_size=len(images)), verbose=False)
    generator = seeded(0, 0, device="cpu")
    with torch.no_grad():
        masks = model.eval().masks(images, labels)
        with_fakes(labels, model.classes, 1.0, generator)  # drawn before
        kept, destroyed = (
            model.classifier(compose(images, mask, model.fill, generator, model.blur_sigma))
            for mask in (masks, 1 - masks)
        )
        expected = margin(masks, kept, destroyed, labels, torch.zeros(len(labels), dtype=torch.bool)).total
    assert logged["validation/loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_an_image_alone_in_its_batch_has_no_other_mask(tmp_path, images, labels, model):
    control = "test/kept_accuracy_other_mask"
    whole, rest = (
        short_trainer(tmp_path, 1).test(model, loader(images[:n], labels[:n], batch_size=4), verbose=False)[0]
        for n in (5, 4)
    )
    assert whole[control] == rest[control]
    assert whole["test/area"] != rest["test/area"]


def test_evaluation_gives_the_same_numbers_twice(tmp_path, images, labels, model):
    batches = loader(images, labels)
    runs = [short_trainer(tmp_path, 1).test(model, batches, verbose=False) for _ in range(2)]
    assert runs[0] == runs[1]


def test_prediction_gives_the_maps_of_the_predicted_class(trainer, images, labels, model):
    (result,) = trainer.predict(model, loader(images, labels))
    with torch.no_grad():
        predicted = model.classifier(images).argmax(1)
        masks = model.eval().masks(images, predicted)
    assert torch.equal(result["predictions"], predicted)
    assert torch.equal(result["labels"], labels)
    assert torch.allclose(result["maps"], masks, atol=1e-6)


@pytest.mark.parametrize(("shape", "classes"), [((1, 14, 14), 4), ((3, 12, 12), 4), ((1, 12, 12), 3)])
def test_selector_and_classifier_of_different_data_are_refused(shape, classes):
    selector = Selector(Encoder(SHAPE, 4, width=4))
    classifier = Classifier(shape, classes, widths=(4,))
    with pytest.raises(ValueError, match="use checkpoints of one data set"):
        SaliencyModel(selector, classifier)


def test_parts_may_be_paths_of_checkpoints(tmp_path, model, images, labels):
    save(model.selector, tmp_path / "selector.ckpt")
    save(model.classifier, tmp_path / "classifier.ckpt")
    built = SaliencyModel(str(tmp_path / "selector.ckpt"), str(tmp_path / "classifier.ckpt")).eval()
    assert same(built.selector, snapshot(model.selector))
    assert same(built.classifier, snapshot(model.classifier))
    save(built, tmp_path / "mask.ckpt")
    for name in ("selector.ckpt", "classifier.ckpt"):
        (tmp_path / name).unlink()
    assert torch.equal(load(tmp_path / "mask.ckpt").masks(images, labels), built.masks(images, labels))


@pytest.mark.parametrize("wrong", ["selector", "classifier"])
def test_a_part_of_the_wrong_class_is_refused(wrong):
    parts = {"selector": Selector(Encoder(SHAPE, 4, width=4)), "classifier": Classifier(SHAPE, 4, widths=(4,))}
    parts[wrong] = torch.nn.Linear(2, 2)
    with pytest.raises(TypeError, match="got Linear"):
        SaliencyModel(**parts)
