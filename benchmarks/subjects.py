"""What the benchmarks attack: small networks, trained once and kept, and images that they were not trained on."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms.functional import pil_to_tensor

from data import ASSIRA, Digits, ImageData
from data.batches import Images as Batch
from detectors import Classifier, EfficientNetLite0
from experiments.explanation.subject import PHOTOGRAPH as SIDE
from experiments.explanation.subject import read_photographs

Images = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Subject:
    """A data set with a network of the paper's family for it."""

    shape: tuple[int, int, int]
    classes: int
    widths: tuple[int, ...]
    epochs: int
    epsilon: float
    gamma: float  # an even number of values: libraries round the number of pairs up or down
    read: Callable[[Path], tuple[Images, Images]]
    mean: float = 0.0
    std: float = 1.0
    learning_rate: float = 2e-3
    flips: bool = False  # train on mirrored images too
    pretrained: Callable[[], nn.Module] | None = None  # builds a network with weights; its images have no labels

    def network(self) -> nn.Module:
        """Return the network: `pretrained`'s, or an untrained one."""
        if self.pretrained is not None:
            return self.pretrained()
        return Classifier(self.shape, self.classes, widths=self.widths, mean=[self.mean], std=[self.std])


def _digits(_root: Path) -> tuple[Images, Images]:
    return _splits(Digits())


def _assira(root: Path) -> tuple[Images, Images]:
    return _splits(ASSIRA(str(root), cache=None, workers=0, splits="paper"))


def _splits(data: ImageData) -> tuple[Images, Images]:
    data.prepare_data()
    data.setup()
    train, test = list(data.train_dataloader()), list(data.test_dataloader())
    return _joined(train), _joined(test)


def _joined(batches: list[Batch]) -> Images:
    return torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])


def _mnist(root: Path) -> tuple[Images, Images]:
    sets = [torchvision.datasets.MNIST(root, train=train) for train in (True, False)]
    train, test = [(part.data[:, None].float() / 255, part.targets) for part in sets]
    return (train[0][:20000], train[1][:20000]), test


def _folder(name: str) -> Callable[[Path], tuple[Images, Images]]:
    def read(root: Path) -> tuple[Images, Images]:
        return part(root / name / "train"), part(root / name / "test")

    def part(folder: Path) -> Images:
        files = torchvision.datasets.ImageFolder(folder)
        return torch.stack([pil_to_tensor(image) for image, _ in files]) / 255, torch.tensor(files.targets)

    return read


def _photographs(root: Path) -> tuple[Images, Images]:
    images = read_photographs(root / "photos", SIDE, count=100)
    unlabelled = images, torch.full((len(images),), -1)
    return unlabelled, unlabelled


SUBJECTS = {
    "digits": Subject((1, 28, 28), 10, (16, 32), 8, 0.1, 112 / 784, _digits),
    "mnist": Subject((1, 28, 28), 10, (32, 64), 3, 0.3, 112 / 784, _mnist),
    "cifar10": Subject((3, 32, 32), 10, (32, 64, 128), 8, 0.03, 64 / 3072, _folder("cifar10")),
    # half the paper's widths, which learn in some minutes; input, rate and gamma as in configs/assira.yaml
    "assira": Subject(
        (3, 112, 112), 2, (16, 32, 64, 64), 7, 0.03, 752 / 37632, _assira, 0.5, 0.25, learning_rate=3e-4, flips=True
    ),
    "photographs": Subject(
        (3, SIDE, SIDE), 1000, (), 0, 0.03, 1000 / (3 * SIDE**2), _photographs, pretrained=EfficientNetLite0
    ),
}


def prepare(name: str, root: Path, kept: Path, count: int, *, skip: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a classifier in eval mode and images with its predictions for them.

    Args:
        name: Of the subject.
        root: Where the data lie: MNIST as torchvision lays it out, photographs in `photos`, the others as
            `<name>/{train,test}/<class>/*`; ASSIRA also as `data.ASSIRA` finds it.
        kept: Folder of the trained networks; one that is missing is trained first, for some minutes.
        count: Number of test images, drawn with a fixed seed.
        skip: How many of those to leave out first (they served for tuning).
    """
    subject = SUBJECTS[name]
    train, test = subject.read(root)
    model = subject.network().eval()
    if subject.pretrained is None:
        file = kept / f"{name}.pt"
        if not file.exists():
            print(f"training the {name} network", flush=True)
            kept.mkdir(parents=True, exist_ok=True)
            torch.save(_trained(subject, *train).state_dict(), file)
        model.load_state_dict(torch.load(file, weights_only=True))
    order = torch.randperm(len(test[0]), generator=torch.Generator().manual_seed(1))[skip : skip + count]
    if len(order) == 0:
        sys.exit(f"{name} has {len(test[0])} test images: --skip {skip} leaves none")
    images = test[0][order]
    labels = predicted(model, images)
    if subject.pretrained is None:
        right = (labels == test[1][order]).float().mean().item()
        print(f"{name}: {len(images)} images, the network's accuracy on them {right:.3f}", flush=True)
    return model, images, labels


@torch.no_grad()
def predicted(model: nn.Module, images: Tensor) -> Tensor:
    """Return the classes (N,) that a model in eval mode predicts, in small batches."""
    return torch.cat([model(images[start : start + 50]).argmax(1) for start in range(0, len(images), 50)])


def _trained(subject: Subject, images: Tensor, labels: Tensor) -> nn.Module:
    torch.manual_seed(0)
    model = subject.network().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters())
    steps = subject.epochs * (len(images) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, subject.learning_rate, total_steps=steps)
    for _ in range(subject.epochs):
        for rows in torch.randperm(len(images))[: len(images) // 64 * 64].view(-1, 64):
            seen = images[rows].contiguous(memory_format=torch.channels_last)
            if subject.flips:
                seen = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, seen.flip(3), seen)  # noqa: PLR2004 - a coin
            loss = functional.cross_entropy(model(seen), labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return model
