import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from detectors import ID, SPD, Classifier
from saliency import Encoder, SaliencyModel, Selector
from saliency.training import frozen, seeded
from tests.saliency.helpers import ToyImages, loader, same, short_trainer, snapshot

SHAPE = (1, 12, 12)


def _encoder():
    return Encoder(SHAPE, 4, width=4)


def _selector():
    return Selector(_encoder())


def _model():
    return SaliencyModel(_selector(), Classifier(SHAPE, 4, widths=(4,)))


def _spd():
    return SPD(Classifier(SHAPE, 4, widths=(4,)), _model())


def _id():
    return ID(Classifier(SHAPE, 4, widths=(4,)))


PARTS = {
    _selector: ["encoder"],
    _model: ["selector", "classifier"],
    _id: ["classifier"],
    _spd: ["classifier", "saliency"],
}
WITH_PARTS = pytest.mark.parametrize(("build", "parts"), PARTS.items(), ids=["Selector", "SaliencyModel", "ID", "SPD"])


@WITH_PARTS
def test_frozen_parts_stay_in_eval_mode_after_train(build, parts):
    module = build().train()
    of_parts = {layer for name in parts for layer in module.get_submodule(name).modules()}
    assert not any(layer.training for layer in of_parts)
    assert all(layer.training for layer in module.modules() if layer not in of_parts)
    module.eval()
    assert not any(layer.training for layer in module.modules())


@WITH_PARTS
def test_optimiser_holds_exactly_the_parameters_that_are_not_frozen(build, parts):
    module = build()
    of_parts = {id(parameter) for name in parts for parameter in module.get_submodule(name).parameters()}
    held = [id(parameter) for group in module.configure_optimizers().param_groups for parameter in group["params"]]
    wanted = {id(parameter) for parameter in module.parameters()} - of_parts
    assert set(held) == wanted
    assert len(held) == len(wanted) > 0
    assert len(of_parts) > 0


def test_optimiser_is_adam_with_the_given_numbers():
    optimiser = Selector(_encoder(), learning_rate=0.02, weight_decay=0.3).configure_optimizers()
    group = optimiser.param_groups[0]
    assert type(optimiser) is torch.optim.Adam
    assert (group["lr"], group["weight_decay"], group["betas"], group["eps"]) == (0.02, 0.3, (0.9, 0.999), 1e-8)


def test_one_cycle_ends_with_the_fit(tmp_path):
    trainer = short_trainer(tmp_path, 3)
    rates = []

    class Rates(lightning.Callback):
        def on_train_batch_start(self, trainer, *_):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    trainer.callbacks.append(Rates())
    trainer.fit(_encoder(), loader(torch.rand(32, *SHAPE), torch.arange(32) % 4))
    assert len(rates) == 12
    assert max(rates) == pytest.approx(1e-2, rel=0.1)
    assert rates[0] == pytest.approx(1e-2 / 25)
    assert rates[-1] < 1e-5


def test_one_cycle_of_another_length_does_not_go_on(tmp_path):
    batches = loader(torch.rand(32, *SHAPE), torch.arange(32) % 4)
    first = short_trainer(tmp_path, 1)
    first.fit(_encoder(), batches)
    first.save_checkpoint(tmp_path / "last.ckpt")
    module = _encoder()
    with pytest.raises(ValueError, match="one-cycle spans a fit of 4 steps, and now the fit has 8: go on with the"):
        short_trainer(tmp_path, 2).fit(module, batches, ckpt_path=tmp_path / "last.ckpt", weights_only=True)


def test_one_cycle_needs_an_end(tmp_path):
    with pytest.raises(ValueError, match="one-cycle spans the whole fit, which has no end: give max_epochs or max_ste"):
        short_trainer(tmp_path, -1).fit(_encoder(), loader(torch.rand(8, *SHAPE), torch.arange(8) % 4))


@pytest.mark.parametrize("augmentation", ["none", "shift-flip"])
def test_training_images_alone_are_augmented(augmentation, tmp_path, monkeypatch):
    module, images, seen = Encoder(SHAPE, 4, width=4, augmentation=augmentation), torch.rand(8, *SHAPE), {}
    forward = module.network.forward

    def watched(batch):
        seen.setdefault(module.training, []).append(batch)
        return forward(batch)

    monkeypatch.setattr(module.network, "forward", watched)
    batches = loader(images, torch.arange(8) % 4, batch_size=8)
    short_trainer(tmp_path, 2).fit(module, batches, batches)
    assert all(torch.equal(batch, images) for batch in seen[False])
    assert [torch.equal(batch, images) for batch in seen[True]] == [augmentation == "none"] * 2
    assert torch.equal(*seen[True]) == (augmentation == "none")  # each epoch draws anew


def test_an_unknown_augmentation_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"augmentation 'shift_flip'.* Did you mean 'shift-flip'"):
        Encoder(SHAPE, 4, width=4, augmentation="shift_flip")


def test_one_cycle_of_no_epochs_leaves_the_weights(tmp_path):
    module = _encoder()
    before = snapshot(module)
    short_trainer(tmp_path, 0).fit(module, loader(torch.rand(8, *SHAPE), torch.arange(8) % 4))
    assert same(module, before)


def _draws(module, step):
    return torch.rand(5, generator=module.step_generator(step)).tolist()


def test_step_generator_depends_on_seed_epoch_step_and_rank(monkeypatch):
    module = _selector()
    draws = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        for epoch in (0, 3):
            monkeypatch.setattr(Selector, "current_epoch", epoch)
            for rank in (0, 1):
                monkeypatch.setattr(Selector, "global_rank", rank)
                draws += [tuple(_draws(module, step)) for step in (0, 1, 3)]
    assert len(set(draws)) == 24


def test_step_generator_does_not_depend_on_what_was_drawn_before_nor_on_the_weights():
    torch.manual_seed(5)
    first = _selector()
    expected = _draws(first, 7)
    _draws(first, 2)
    torch.rand(11)
    assert _draws(first, 7) == expected
    assert _draws(_selector(), 7) == expected


def test_step_generator_leaves_the_global_random_state_alone():
    module = _selector()
    before = torch.get_rng_state()
    _draws(module, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("build", [_selector, _model], ids=["Selector", "SaliencyModel"])
def test_training_steps_leave_the_global_random_state_alone(build, monkeypatch):
    module = build()
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    before = torch.get_rng_state()
    module.training_step((torch.rand(4, *SHAPE, generator=seeded(0)), torch.arange(4)), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_uses_every_word_and_their_order():
    words = [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 0, 0), (1, 0, 0), (0, 0, 1), (2**32 - 1, 0, 0)]
    assert len({seeded(*given).initial_seed() for given in words}) == len(words)
    assert torch.equal(torch.rand(3, generator=seeded(4, 2)), torch.rand(3, generator=seeded(4, 2)))


def test_frozen_means_eval_mode_and_no_trained_parameter():
    layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    assert frozen(layers) is layers
    assert not any(layer.training for layer in layers.modules())
    assert not any(parameter.requires_grad for parameter in layers.parameters())


@pytest.mark.parametrize("build", [_encoder, _selector, _model, _id])
@pytest.mark.parametrize(("shape", "classes"), [((3, 12, 12), 4), ((1, 14, 14), 4), ((1, 12, 12), 5)])
def test_data_of_another_shape_or_number_of_classes_is_refused(build, shape, classes, trainer):
    module = build()
    data = ToyImages(torch.rand(4, *shape), torch.arange(4) % 2, classes)
    words = "x".join(map(str, shape))
    message = f"{type(module).__name__} is made for images 1x12x12 of 4 classes.*{words} of {classes} classes"
    with pytest.raises(ValueError, match=message):
        trainer.fit(module, data)


def test_data_that_fit_are_accepted(trainer):
    module = _encoder()
    trainer.fit(module, ToyImages(torch.rand(4, *SHAPE), torch.arange(4), 4))
    assert trainer.global_step == 1


# continuing from a checkpoint of somebody else


def _fitted(folder, epochs, path=None, **options):
    """Fit in a folder, from a checkpoint, and return the callback that writes `last.ckpt` there."""
    writer = ModelCheckpoint(folder, save_last=True, enable_version_counter=False, **options)
    trainer = short_trainer(folder, epochs)
    trainer.callbacks.append(writer)
    images, labels = torch.rand(8, *SHAPE, generator=seeded(0)), torch.arange(8) % 4
    trainer.fit(Classifier(SHAPE, 4, widths=(4,)), loader(images, labels), ckpt_path=path, weights_only=True)
    return writer


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("path", ["local://{}", "file://{}", "file:{}", "local:{}", "~/victim"])
@pytest.mark.parametrize("name", ["best_model_path", "last_model_path", "checkpoint_callback_best_model_path"])
def test_no_file_that_a_checkpoint_names_elsewhere_is_deleted(tmp_path, monkeypatch, name, path):
    run, victim = tmp_path / "run", tmp_path / "victim"
    run.mkdir()
    monkeypatch.chdir(run)  # where `file:/victim` looks like a file of the run to Lightning
    monkeypatch.setenv("HOME", str(tmp_path))
    _fitted(run, 1)
    victim.mkdir()
    (victim / "thesis.txt").write_text("years of work")
    contents = torch.load(run / "last.ckpt", weights_only=True)
    if name.startswith("checkpoint"):  # as versions before 0.10 wrote it
        contents |= {"pytorch-lightning_version": "0.9.0", name: path.format(victim), "callbacks": {}}
        del contents["loops"]
    else:
        (state,) = contents["callbacks"].values()
        state[name] = path.format(victim)
    torch.save(contents, run / "sent.ckpt")
    _fitted(run, 2, run / "sent.ckpt")
    assert (victim / "thesis.txt").read_text() == "years of work"


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_the_best_checkpoints_of_a_fit_are_remembered_when_it_goes_on(tmp_path):
    options = {"monitor": "train/loss", "save_top_k": 2, "filename": "{epoch}"}
    first = _fitted(tmp_path, 1, **options)
    again = _fitted(tmp_path, 2, tmp_path / "last.ckpt", **options)
    assert [key.rpartition("/")[2] for key in first.best_k_models] == ["epoch=0.ckpt"]
    assert [key.rpartition("/")[2] for key in again.best_k_models] == ["epoch=0.ckpt", "epoch=1.ckpt"]


def test_weights_alone_are_loaded_without_a_trainer(tmp_path):
    _fitted(tmp_path, 1)
    contents = torch.load(tmp_path / "last.ckpt", weights_only=True)
    before = contents["callbacks"].copy()
    Classifier(SHAPE, 4, widths=(4,)).on_load_checkpoint(contents)
    assert contents["callbacks"] == before
