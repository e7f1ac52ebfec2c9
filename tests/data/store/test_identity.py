"""Digests change with what an adversarial set depends on, and with nothing else."""

import importlib
import importlib.util
import sys
import textwrap
from dataclasses import dataclass, field
from types import ModuleType

import pytest
import torch
from torch import nn

from attacks import BIM, FGSM, DeepFool, OneOf, SelectivePGD, Transfer
from data.store import identity
from data.store.identity import digest, of_code, of_module, of_parameters, of_tensor
from detectors import Classifier, MaxSoftmax, Thresholded, TorchvisionNetwork
from detectors.explanations import LogitGradient
from tests.fixtures import CLASSES, SHAPE

SOURCE = '''
"""An attack of a user."""
from dataclasses import dataclass
from attacks import FGSM

@dataclass(frozen=True)
class Own(FGSM):
    def perturb(self, problem):
        """Attack."""
        return super().perturb(problem)
'''


def test_a_module_is_told_by_architecture_weights_and_buffers(classifier):
    before = of_module(classifier)
    assert before == of_module(classifier)
    weights = classifier.state_dict()
    other = Classifier(SHAPE, CLASSES, widths=(4,))
    assert of_module(other) != before
    other.load_state_dict(weights)
    assert of_module(other) == before
    assert of_module(other.double()) != before
    assert of_module(Classifier(SHAPE, CLASSES, widths=(8,))) != before
    next(classifier.parameters()).data.view(-1)[0] += 1e-6
    assert of_module(classifier) != before
    weights = [tensor.clone() for tensor in other.state_dict().values()]
    assert len(weights) > 2


def test_train_mode_and_gradients_do_not_count(classifier):
    before = of_module(classifier)
    classifier.train()(torch.rand(2, *SHAPE)).sum().backward()
    assert of_module(classifier) == before


def test_every_buffer_counts(classifier):
    before = of_module(classifier)
    for buffer in classifier.buffers():
        buffer.add_(1)
        assert of_module(classifier) != before
        before = of_module(classifier)


def test_a_tensor_is_told_by_its_values_in_their_order():
    tensor = torch.tensor([1, 2, 3])
    assert of_tensor(tensor) == of_tensor(tensor.clone())
    assert of_tensor(torch.stack([tensor, tensor])[:, 1]) == of_tensor(torch.tensor([2, 2]))
    assert len({of_tensor(tensor), of_tensor(tensor.flip(0)), of_tensor(tensor[:2])}) == 3


def test_order_of_keys_does_not_count():
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})


@pytest.fixture
def own(tmp_path):
    """Return a function that writes a user's module with some text replaced, imports it, and gives its attack."""

    def load(old="", new=""):
        path = tmp_path / f"own_{abs(hash((old, new)))}.py"
        path.write_text(SOURCE.replace(old, new) if old else SOURCE)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module.Own(epsilon=0.1)

    return load


def test_code_of_a_user_s_own_attack_counts_but_not_its_comments(own, classifier):
    before = of_code(own(), classifier)
    assert of_code(own('"""Attack."""', '"""Perturb."""  # faster'), classifier) == before
    assert of_code(own("return super().perturb(problem)", "return problem.images"), classifier) != before


def test_code_of_a_user_s_own_network_counts(classifier):
    before = of_code(FGSM(epsilon=0.1), classifier)
    classifier.extra = OwnLayer()
    assert of_code(FGSM(epsilon=0.1), classifier) != before


class OwnLayer(nn.Module):
    pass


def test_attacks_of_the_project_share_their_code(classifier):
    assert of_code(FGSM(epsilon=0.1), classifier) == of_code(BIM(epsilon=0.2), classifier)
    assert of_code(classifier) != of_code(FGSM(epsilon=0.1), classifier)


def files_of(monkeypatch, *things):
    """Return the files whose code counts."""
    counted, parsed = {}, identity._parsed

    def spy(module, path, changed):
        source = parsed(module, path, changed)
        counted[source.logic] = path.name
        return source

    monkeypatch.setattr(identity, "_parsed", spy)
    of_code(*things)
    monkeypatch.undo()
    return set(counted.values()) - {"__init__.py"}  # read to see whose names they offer


def test_code_that_is_imported_counts_too(monkeypatch, classifier):
    assert "jacobian.py" in files_of(monkeypatch, LogitGradient(classifier, "sum"))
    classifier.network = TorchvisionNetwork("resnet18", CLASSES, size=32)
    assert {"foreign.py", "torchvision_networks.py", "training.py"} <= files_of(monkeypatch, classifier)
    assert {"fgsm.py", "gradient.py"} & files_of(monkeypatch, FGSM(epsilon=0.1))
    assert {"guard.py", "problem.py", "base.py"} <= files_of(monkeypatch, FGSM(epsilon=0.1))


def test_code_that_is_only_near_does_not_count(monkeypatch, classifier):
    files = files_of(monkeypatch, MaxSoftmax(classifier))
    assert {"baselines.py", "classifier.py", "networks.py"} <= files
    assert not {"unet.py", "model.py", "selector.py", "representations.py"} & files


PACKAGE = {
    "__init__.py": "from {0}.attack import Own\nfrom {0}.unrelated import other\n",
    "attack.py": """
        from __future__ import annotations
        from dataclasses import dataclass
        import {0}.constants as constants
        from attacks import FGSM
        from {0}.hints import Hint
        from .deep import names
        from {0} import tools

        @dataclass(frozen=True)
        class Own(FGSM):
            def perturb(self, problem: Hint):
                from {0} import lazy
                return names.helper(problem, tools.scale, constants.ONE, lazy)
    """,
    "hints.py": "class Hint: pass\n",
    "unrelated.py": "def other(): return 1\n",
    "constants.py": "ONE = 1\n",
    "tools.py": "from {0}.scales import *\nfrom os.path import join\n",
    "scales.py": "def scale(x): return x\n",
    "lazy.py": "two = 2\n",
    "deep/__init__.py": "",
    "deep/names.py": "from {0}.moved import helper\n",
    "moved.py": "from {0}.constants import ONE\ndef helper(*values): return values\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return the folder of a user's package, and a function that gives the digest of its attack's code."""
    name = f"package_{tmp_path.name}"
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / name
    (folder / "deep").mkdir(parents=True)
    for file, source in PACKAGE.items():
        (folder / file).write_text(textwrap.dedent(source).format(name))
    attack = importlib.import_module(name).Own(epsilon=0.1)
    return folder, lambda: of_code(attack)


@pytest.mark.parametrize("file", ["attack.py", "constants.py", "tools.py", "scales.py", "lazy.py", "moved.py"])
def test_a_change_in_what_an_attack_imports_by_name_counts(file, package):
    folder, code = package
    before = code()
    with (folder / file).open("a") as source:
        source.write("\nchanged = 1\n")
    assert code() != before


@pytest.mark.parametrize("file", ["__init__.py", "hints.py", "unrelated.py", "deep/__init__.py"])
def test_a_change_in_a_module_that_an_attack_does_not_use_does_not_count(file, package):
    folder, code = package
    before = code()
    with (folder / file).open("a") as source:
        source.write("\nchanged = 1\n")
    assert code() == before


def test_a_move_of_a_helper_does_not_count(package):
    folder, code = package
    before = code()
    names = folder / "deep" / "names.py"
    (folder / "elsewhere.py").write_bytes((folder / "moved.py").read_bytes())
    names.write_text(names.read_text().replace(".moved", ".elsewhere"))
    assert code() == before
    names.write_text("from os.path import join as helper\n")
    assert code() != before


def test_an_object_that_a_module_or_an_attack_holds_counts(own, classifier):
    digests = [of_code(classifier)]
    classifier.helpers = {"by name": [own()]}
    digests.append(of_code(classifier))
    classifier.helpers["again"] = classifier
    digests.append(of_code(classifier))
    assert digests[0] != digests[1] == digests[2]


def test_a_helper_of_a_user_s_attack_counts(own, tmp_path, monkeypatch, classifier):
    monkeypatch.syspath_prepend(tmp_path)
    helper = tmp_path / "own_helper.py"
    helper.write_text("def sign(): return 1\n")
    attack = own("from attacks import FGSM", "from attacks import FGSM\nfrom own_helper import sign")
    before = of_code(attack, classifier)
    helper.write_text("def sign(): return -1\n")
    assert of_code(attack, classifier) != before


def test_the_code_of_attacks_in_a_list_counts(own, classifier):
    first, other = (own("return super().perturb(problem)", f"return problem.images  # {word}") for word in ("a", "b"))
    changed = own("return super().perturb(problem)", "return problem.images.clone()")
    digests = [of_code(OneOf(attacks=(FGSM(epsilon=0.1), each)), classifier) for each in (first, other, changed)]
    assert digests[0] == digests[1] != digests[2]


def test_a_class_without_a_file_is_refused():
    scope = {"__name__": "nowhere_at_all", "FGSM": FGSM, "dataclass": dataclass}
    sys.modules["nowhere_at_all"] = ModuleType("nowhere_at_all")
    exec("@dataclass(frozen=True)\nclass Own(FGSM):\n    pass", scope)  # noqa: S102
    with pytest.raises(
        TypeError, match=r"nowhere_at_all lies in no file.*: put its classes into a module, or give store: null"
    ):
        of_code(scope["Own"](epsilon=0.1))


@dataclass(frozen=True)
class Rich(FGSM):
    """An attack with fields that its repr does not show."""

    network: nn.Module | None = None
    weights: torch.Tensor | None = field(default=None, repr=False)
    path: str | None = None
    inner: FGSM | None = None
    other: object = None

    def __repr__(self):
        return "Rich()"


def test_an_attack_is_told_by_the_values_of_all_its_fields(tmp_path):
    file = tmp_path / "weights"
    file.write_text("1")
    attacks = [
        Rich(epsilon=0.1),
        Rich(epsilon=0.2),
        Rich(epsilon=0.1, network=nn.Linear(2, 2)),
        Rich(epsilon=0.1, network=nn.Linear(2, 2)),
        Rich(epsilon=0.1, weights=torch.tensor([1.0])),
        Rich(epsilon=0.1, weights=torch.tensor([1.00001])),
        Rich(epsilon=0.1, path=str(file)),
        Rich(epsilon=0.1, inner=FGSM(epsilon=0.1)),
        Rich(epsilon=0.1, inner=FGSM(epsilon=0.2)),
        FGSM(epsilon=0.1),
    ]
    assert len({of_parameters(attack) for attack in attacks}) == len(attacks)
    assert of_parameters(Rich(epsilon=0.1)) == of_parameters(attacks[0])
    before = of_parameters(attacks[6])
    file.write_text("2")
    assert of_parameters(attacks[6]) != before


def test_a_field_that_cannot_be_told_is_refused():
    with pytest.raises(
        TypeError,
        match=r"Rich\.other is a function, which cannot be hashed, .*: give store: null",
    ):
        of_parameters(Rich(epsilon=0.1, other=lambda: 0))


class Scaled(nn.Module):
    """Somebody else's module, whose only argument is a plain attribute."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, images):
        return self.factor * images.mean((1, 2, 3))


def test_plain_attributes_of_a_user_s_own_module_count():
    assert of_module(Scaled(1.0)) == of_module(Scaled(1.0))
    assert of_module(Scaled(1.0)) != of_module(Scaled(0.5))
    assert of_module(nn.Sequential(Scaled(1.0))) != of_module(nn.Sequential(Scaled(0.5)))


def test_what_a_transferred_attack_holds_counts(classifier):
    def transfer(attack, threshold):
        return Transfer(attack=attack, model=classifier, detector=Thresholded(Scaled(1.0), threshold))

    first = transfer(SelectivePGD(steps=5), 0.0)
    assert of_parameters(first) == of_parameters(transfer(SelectivePGD(steps=5), 0.0))
    assert of_parameters(first) != of_parameters(transfer(SelectivePGD(steps=6), 0.0))
    assert of_parameters(first) != of_parameters(transfer(SelectivePGD(steps=5), 5.0))
    by_class = [of_code(Transfer(attack=attack, model=nn.Flatten())) for attack in (BIM(), DeepFool())]
    assert by_class[0] != by_class[1]
