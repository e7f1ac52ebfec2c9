"""Data sets small enough to learn in a second, and what a fit must leave alone."""

from collections.abc import Callable
from pathlib import Path

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

SIDE = 12


def loader(*tensors: Tensor, batch_size: int = 8) -> DataLoader:
    """Batches in a fixed order."""
    return DataLoader(TensorDataset(*tensors), batch_size)


def quadrants(count: int) -> tuple[Tensor, Tensor]:
    """Grey noise with one bright quarter, whose place is the class: 4 classes that anything can learn."""
    generator = torch.Generator().manual_seed(0)
    images = 0.2 * torch.rand(count, 1, SIDE, SIDE, generator=generator)
    labels = torch.arange(count) % 4
    half = SIDE // 2
    for image, label in zip(images, labels.tolist(), strict=True):
        top, left = half * (label // 2), half * (label % 2)
        image[:, top : top + half, left : left + half] += 0.7
    return images, labels


class ToyImages(lightning.LightningDataModule):
    """A data module of given tensors, with the shape and classes that modules check."""

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        self.tensors = (images, labels)
        self.shape = tuple(images.shape[1:])
        self.classes = classes

    def train_dataloader(self) -> DataLoader:
        return loader(*self.tensors)

    def val_dataloader(self) -> DataLoader:
        return loader(*self.tensors)


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(module: nn.Module, before: dict[str, Tensor]) -> bool:
    """Whether no parameter and no buffer differs by a single bit."""
    after = module.state_dict()
    return set(after) == set(before) and all(torch.equal(after[name], before[name]) for name in before)


def loss_of(module: lightning.LightningModule, batch: tuple[Tensor, ...], monkeypatch) -> float:
    """The training loss on a batch, outside of a trainer."""
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    was_training = module.training
    module.train()
    with torch.no_grad():
        loss = module.training_step(batch, 0).item()
    module.train(was_training)
    return loss


def awake(module: nn.Module, run: Callable[[], object]) -> nn.Module:
    """Give batch norms the statistics of what `run` feeds them: untrained, activations fade with depth."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        run()
    for norm in norms:
        norm.eval().momentum = 0.1
    return module


def short_trainer(folder: Path, epochs: int) -> lightning.Trainer:
    """As the fixture `trainer`, for so many epochs, or for a second fit in a test."""
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
