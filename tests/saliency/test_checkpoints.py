import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from attacks.errors import InputError
from detectors import ID, JSD, SMD, SPD, Classifier, ConvNet, TorchvisionNetwork, WrappedNetwork
from saliency import Encoder, SaliencyModel, Selector
from saliency.checkpoints import FORMAT, Portable, load, save
from tests.saliency.helpers import loader, same, snapshot

SHAPE = (1, 12, 12)


class CheckpointTestScale(Portable):
    """A user's own portable module, with every kind of plain argument."""

    def __init__(self, factor=1.0, names=("a", "b"), options=None, inner=None, *, flag=True):
        super().__init__()
        self.factor = factor
        self.names = names
        self.options = options
        self.inner = inner
        self.flag = flag
        self.weight = nn.Parameter(torch.randn(3))

    def forward(self, values):
        inner = values if self.inner is None else self.inner(values)
        return self.factor * self.weight * inner


class CheckpointTestForgetful(Portable):
    def __init__(self, number=1):
        super().__init__()
        self.doubled = 2 * number


def _classifier(**given):
    return Classifier(SHAPE, 4, widths=(4,), **given)


def _encoder():
    return Encoder(SHAPE, 4, width=4)


def _model():
    return SaliencyModel(Selector(_encoder()), _classifier())


BUILDERS = {
    "Classifier": _classifier,
    "Classifier of another network": lambda: _classifier(network=ConvNet(SHAPE, 4, (3,), mean=(0.4,), std=(2.0,))),
    "Encoder": _encoder,
    "Selector": lambda: Selector(_encoder()),
    "SaliencyModel": _model,
    "ID": lambda: ID(_classifier()),
    "JSD": lambda: JSD(_classifier(), readout="margin", widths=(6,)),
    "SMD": lambda: SMD(_classifier(), _model()),
    "SPD": lambda: SPD(_classifier(), _model()),
}


def _outputs(module, images, labels):
    with torch.no_grad():
        if isinstance(module, Selector):
            return module(images, labels)
        if isinstance(module, SaliencyModel):
            return module.masks(images, labels)
        return module(images)


@pytest.fixture(params=BUILDERS)
def module(request):
    built = BUILDERS[request.param]()
    for value in built.state_dict().values():
        if value.is_floating_point():
            value.add_(0.05 * torch.rand_like(value))  # batch norms too: no buffer has its initial value
    return built.eval()


def test_round_trip_gives_the_same_outputs_bit_for_bit(module, tmp_path, images, labels):
    save(module, tmp_path / "model.ckpt")
    loaded = load(tmp_path / "model.ckpt")
    assert type(loaded) is type(module)
    assert same(loaded, snapshot(module))
    assert torch.equal(_outputs(loaded, images, labels), _outputs(module, images, labels))
    assert not any(layer.training for layer in loaded.modules())


def test_a_loaded_module_can_be_saved_again(module, tmp_path):
    save(module, tmp_path / "first.ckpt")
    save(load(tmp_path / "first.ckpt"), tmp_path / "second.ckpt")
    contents = [torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("first", "second")]
    assert contents[0]["architecture"] == contents[1]["architecture"]
    assert same(load(tmp_path / "second.ckpt"), snapshot(module))


def test_file_holds_nothing_but_tensors_and_plain_values(module, tmp_path):
    save(module, tmp_path / "model.ckpt", epoch=3)
    contents = torch.load(tmp_path / "model.ckpt", weights_only=True)
    assert contents["format"] == FORMAT
    assert contents["epoch"] == 3
    assert contents["architecture"]["class"] == type(module).__name__


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("Classifier", {"learning_rate": 0.5}),
        ("Encoder", {"schedule": "constant"}),
        ("Selector", {"weight_decay": 0.5}),
    ],
)
def test_every_argument_survives(name, changed, tmp_path):
    built = BUILDERS[name]()
    for attribute, value in changed.items():
        setattr(built, attribute, value)
    save(built, tmp_path / "model.ckpt")
    loaded = load(tmp_path / "model.ckpt")
    plain = {key: value for key, value in built.arguments().items() if not isinstance(value, nn.Module)}
    as_lists = {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}
    assert {key: getattr(loaded, key) for key in plain} == as_lists
    assert changed.items() <= as_lists.items()


def test_frozen_parts_are_frozen_after_loading(tmp_path):
    save(BUILDERS["SPD"](), tmp_path / "model.ckpt")
    loaded = load(tmp_path / "model.ckpt").train()
    trained = {name for name, parameter in loaded.named_parameters() if parameter.requires_grad}
    assert trained == {f"network.{name}" for name, _ in loaded.network.named_parameters()}
    assert not any(layer.training for layer in loaded.saliency.modules())


def test_lightning_s_own_checkpoint_of_a_fit_is_read_too(trainer, tmp_path, images, labels):
    encoder = _encoder()
    trainer.fit(encoder, loader(images, labels))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert same(load(tmp_path / "last.ckpt", Encoder), snapshot(encoder))


def test_lightning_reads_a_saved_file_as_its_checkpoint(trainer, tmp_path, images, labels):
    saved, other = _classifier(), _classifier()
    save(saved, tmp_path / "model.ckpt")
    trainer.test(other, loader(images, labels), ckpt_path=tmp_path / "model.ckpt", weights_only=True, verbose=False)
    assert same(other, snapshot(saved))


def test_a_run_folder_can_be_moved(tmp_path, images):
    save(_classifier(), tmp_path / "run" / "classifier.ckpt")
    save(_model(), tmp_path / "run" / "mask.ckpt")
    detector = SPD(str(tmp_path / "run" / "classifier.ckpt"), str(tmp_path / "run" / "mask.ckpt")).eval()
    save(detector, tmp_path / "run" / "model.ckpt")
    (tmp_path / "run" / "classifier.ckpt").unlink()
    (tmp_path / "run" / "mask.ckpt").unlink()
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "elsewhere" / "model.ckpt")(images), detector(images))


def test_a_user_s_module_with_nested_parts_and_every_plain_value_round_trips(tmp_path):
    module = CheckpointTestScale(
        2.5, ["x", "y"], {"depth": [1, 2, {"deep": None}], "on": False}, inner=CheckpointTestScale(3.0), flag=False
    )
    save(module, tmp_path / "mine.ckpt")
    loaded = load(tmp_path / "mine.ckpt", CheckpointTestScale)
    assert (loaded.factor, loaded.names, loaded.flag) == (2.5, ["x", "y"], False)
    assert loaded.options == {"depth": [1, 2, {"deep": None}], "on": False}
    assert isinstance(loaded.inner, CheckpointTestScale)
    values = torch.randn(3)
    assert torch.equal(loaded(values), module(values))


# what is refused


def test_missing_file_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.ckpt.*python train\.py"):
        load(tmp_path / "missing.ckpt")
    (tmp_path / "model.ckpt").touch()
    with pytest.raises(FileNotFoundError, match=f"is a folder: give the checkpoint in it, {tmp_path}/model.ckpt"):
        load(tmp_path)


@pytest.mark.parametrize("build", [Selector, ID, lambda path: SaliencyModel(path, _classifier())])
def test_a_part_s_missing_checkpoint_names_the_command_that_makes_it(build, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.ckpt.*python train\.py"):
        build(str(tmp_path / "missing.ckpt"))


@pytest.mark.parametrize(
    "content",
    [b"", b"hello world\n", b"<html></html>", b"PK\x03\x04", b"%PDF-1.4", bytes(100), b"\x80\x02}.", b"]", b"."],
    ids=["empty", "text", "html", "zip", "pdf", "zeros", "pickle of a dict", "bracket", "full stop"],
)
def test_garbage_is_refused_with_a_sentence(content, tmp_path):
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.ckpt is (damaged|not a checkpoint of this project)"):
        load(path)


def test_random_bytes_are_refused_with_a_sentence(tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "model.ckpt"
    for length in range(1, 60):
        path.write_bytes(b"\x80\x02" + generator.bytes(length))
        with pytest.raises(ValueError, match=r"model\.ckpt is damaged"):
            load(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(share, tmp_path):
    path = tmp_path / "model.ckpt"
    save(_classifier(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"model\.ckpt is damaged"):
        load(path)


def test_a_flipped_bit_among_the_weights_is_noticed(tmp_path):
    classifier = _classifier()
    path = tmp_path / "model.ckpt"
    save(classifier, path)
    content = bytearray(path.read_bytes())
    weights = classifier.network.layers[1].weight.detach().numpy().tobytes()
    content[content.index(weights) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.ckpt is damaged"):
        load(path)


def _contents(module, **changed):
    contents = {"format": FORMAT, "state_dict": module.state_dict()}
    contents["architecture"] = {"class": "CheckpointTestScale", "arguments": {"factor": 1.0}}
    return contents | changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": FORMAT + 1}, "upgrade the project"),
        ({"architecture": {"class": "NobodyKnowsMe", "arguments": {}}}, "NobodyKnowsMe, which is not known here"),
        ({"architecture": {"class": "os.system", "arguments": {}}}, "os.system, which is not known here"),
        ({"architecture": {"class": "torch.nn.Linear", "arguments": {}}}, "not known here"),
        ({"architecture": {"class": "CheckpointTestScale", "arguments": {"speed": 1}}}, "another version"),
        ({"state_dict": {}}, "do not fit"),
        ({"state_dict": {"weight": torch.zeros(4)}}, "do not fit"),
        # other people's files use these names as well
        ({"architecture": "resnet50"}, "model.ckpt"),
        ({"architecture": None}, "model.ckpt"),
        ({"architecture": {"depth": 50}}, "model.ckpt"),
        ({"architecture": {"class": ["CheckpointTestScale"], "arguments": {}}}, "model.ckpt"),
        ({"architecture": {"class": "CheckpointTestScale", "arguments": None}}, "model.ckpt"),
        ({"format": "2.0"}, "model.ckpt"),
        ({"state_dict": None}, "model.ckpt"),
    ],
    ids=[
        "newer format",
        "unknown class",
        "path of a callable",
        "path of a class",
        "unknown argument",
        "no weights",
        "weights of another size",
        "architecture is a text",
        "architecture is none",
        "architecture without a class",
        "class is a list",
        "arguments are none",
        "format is a text",
        "weights are none",
    ],
)
def test_contents_that_do_not_belong_are_refused_with_a_sentence(changed, message, tmp_path):
    path = tmp_path / "model.ckpt"
    torch.save(_contents(CheckpointTestScale(), **changed), path)
    with pytest.raises(ValueError, match=message):
        load(path)


def test_the_contents_above_load_where_nothing_is_changed(tmp_path):
    torch.save(_contents(CheckpointTestScale()), tmp_path / "model.ckpt")
    assert isinstance(load(tmp_path / "model.ckpt"), CheckpointTestScale)


def test_a_class_that_is_not_imported_is_refused_also_inside_another(tmp_path, monkeypatch):
    save(CheckpointTestScale(inner=ConvNet(SHAPE, 4, (3,))), tmp_path / "model.ckpt")
    monkeypatch.delitem(Portable._known, "ConvNet")
    with pytest.raises(ValueError, match="holds a ConvNet, which is not known here: import the module"):
        load(tmp_path / "model.ckpt")


@pytest.mark.parametrize("read", [load, lambda path, _: ID(str(path))], ids=["load", "constructor"])
def test_a_checkpoint_of_another_class_is_refused(read, tmp_path):
    save(_encoder(), tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="holds Encoder, but Classifier is needed"):
        read(tmp_path / "model.ckpt", Classifier)


def test_a_checkpoint_of_a_subclass_is_accepted(tmp_path):
    save(_classifier(), tmp_path / "model.ckpt")
    assert isinstance(load(tmp_path / "model.ckpt", Portable), Classifier)


def test_a_foreign_lightning_checkpoint_is_refused(tmp_path):
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.6.0", "epoch": 1}, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="is not a checkpoint of this project"):
        load(tmp_path / "model.ckpt")


@pytest.mark.parametrize("contents", [torch.zeros(3), [1, 2], "text", 5])
def test_a_file_of_something_else_than_a_dictionary_is_refused(contents, tmp_path):
    torch.save(contents, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="is not a checkpoint of this project"):
        load(tmp_path / "model.ckpt")


class _Touch:
    """Runs a function when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("place", ["epoch", "architecture", "state_dict"])
@pytest.mark.parametrize("write", [torch.save, lambda contents, path: path.write_bytes(pickle.dumps(contents))])
def test_a_pickled_callable_is_refused_and_not_run(write, place, tmp_path):
    path, marker = tmp_path / "model.ckpt", tmp_path / "code ran"
    write(_contents(CheckpointTestScale(), **{place: _Touch(marker)}), path)
    with pytest.raises(ValueError, match=r"model\.ckpt is damaged"):
        load(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "argument", "place"),
    [
        (lambda: ID(_classifier()), "classifier", "part.ckpt"),
        (lambda: Selector(_encoder()), "encoder", "missing.ckpt"),
        (lambda: TorchvisionNetwork("squeezenet1_1", 4), "weights", "part.ckpt"),
        (lambda: TorchvisionNetwork("squeezenet1_1", 4), "weights", "IMAGENET1K_V1"),
        (lambda: WrappedNetwork(nn.Flatten), "weights", "missing.ckpt"),
    ],
    ids=["part", "missing part", "weights", "weights to download", "missing weights"],
)
def test_no_other_file_that_a_checkpoint_names_is_read(module, argument, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(_classifier(), "part.ckpt")
    save(module(), "model.ckpt")
    contents = torch.load("model.ckpt", weights_only=True)
    contents["architecture"]["arguments"][argument] = place
    torch.save(contents, "model.ckpt")
    with pytest.raises(ValueError, match=f"a checkpoint that is being loaded names another file, {place}: "):
        load("model.ckpt")


@pytest.mark.parametrize(
    ("argument", "value", "reason"),
    [
        ("classes", "ten", r"classes='ten'.*Expected argument `num_classes` to be an integer"),
        ("shape", [1, -1, 16], r"shape=\[1, -1, 16\].*shape\[1\] must be at least 1, got -1"),
        ("readout", "sun", r"unknown readout 'sun'\. Did you mean 'sum'\?"),
        ("channels", 3, "was written by another version of .*unexpected keyword argument 'channels'"),
    ],
)
def test_arguments_that_a_class_refuses_are_told_with_file_argument_and_reason(argument, value, reason, tmp_path):
    path = tmp_path / "model.ckpt"
    save(JSD(_classifier()), path)
    contents = torch.load(path, weights_only=True)
    detector = contents["architecture"]["arguments"]
    changed = detector["classifier"]["arguments"] if argument in {"classes", "shape"} else detector
    if argument in {"classes", "shape"}:
        changed["network"] = None
    changed[argument] = value
    torch.save(contents, path)
    with pytest.raises(InputError, match=reason) as refusal:
        load(path)
    assert str(refusal.value).startswith(f"{path} ")
    assert len(str(refusal.value).splitlines()) == 1


class CheckpointTestBackbone(Portable):
    """Reads a file of its own whenever it is built."""

    def __init__(self, name="backbone"):
        super().__init__()
        self.name = name
        self.part = load(f"{name}.ckpt")


def test_a_class_may_read_a_file_of_its_own_when_it_is_built(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(_classifier(), "backbone.ckpt")
    save(CheckpointTestBackbone(), "model.ckpt")
    assert isinstance(load("model.ckpt").part, Classifier)


# how it is written


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.ckpt"
    save(_encoder(), path)
    before = path.read_bytes()

    def broken(_, file):
        file.write(b"half")
        msg = "disk full"
        raise OSError(msg)

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        save(_classifier(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_replaces_the_file_makes_the_folder_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "new" / "folder" / "model.ckpt"
    save(_encoder(), path)
    save(_classifier(), str(path))
    assert isinstance(load(path), Classifier)
    assert list(path.parent.iterdir()) == [path]


def test_saving_leaves_the_module_as_it_is(tmp_path):
    module = _classifier().train()
    before = snapshot(module)
    save(module, tmp_path / "model.ckpt")
    assert same(module, before)
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize(
    "value",
    [torch.relu, nn.Linear(2, 2), torch.zeros(2), Path("x"), {1: "a"}, [{"deep": object()}], torch.float32],
    ids=["function", "module", "tensor", "path", "dict of numbers", "deep object", "dtype"],
)
def test_an_argument_that_is_not_plain_is_refused_when_saving(value, tmp_path):
    with pytest.raises(TypeError, match=r"CheckpointTestScale\.options cannot be kept in a checkpoint"):
        save(CheckpointTestScale(options=value), tmp_path / "model.ckpt")
    assert not list(tmp_path.iterdir())


def test_an_argument_that_is_not_kept_as_an_attribute_is_refused_when_saving(tmp_path):
    with pytest.raises(TypeError, match="does not keep its argument number"):
        save(CheckpointTestForgetful(), tmp_path / "model.ckpt")


@pytest.mark.parametrize("value", [np.float64(0.5), np.float32(0.5), np.int64(3)])
def test_a_numpy_number_is_either_refused_or_can_be_read_back(value, tmp_path):
    try:
        save(CheckpointTestScale(factor=value), tmp_path / "model.ckpt")
    except TypeError:
        assert not list(tmp_path.iterdir())
    else:
        assert load(tmp_path / "model.ckpt").factor == value


@pytest.mark.parametrize("name", ["Classifier", "Encoder", "ID"])
def test_a_class_whose_name_is_taken_is_refused_and_changes_nothing(name, tmp_path):
    known = Portable._known[name]
    with pytest.raises(TypeError, match=f"the name {name} is taken by {known.__module__}.{name}: choose another"):
        type(name, (Portable,), {"__module__": "somewhere.else"})
    assert Portable._known[name] is known
    save(_classifier(), tmp_path / "model.ckpt")
    assert isinstance(load(tmp_path / "model.ckpt"), Classifier)


def test_a_class_may_be_defined_again_in_its_own_module(monkeypatch):
    monkeypatch.setitem(Portable._known, "CheckpointTestScale", CheckpointTestScale)
    again = type("CheckpointTestScale", (Portable,), {"__module__": __name__})
    assert Portable._known["CheckpointTestScale"] is again
