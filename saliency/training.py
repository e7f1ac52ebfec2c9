"""The base of the project's LightningModules: optimiser, frozen parts, step randomness, a classifier's steps."""

import math
import re
from pathlib import Path
from typing import Any, Literal, get_args

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Generator, Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

from attacks.checks import one_of
from attacks.errors import InputError
from saliency.augmentation import Augmentation, augmented
from saliency.portable import FORMAT, Portable, describe

Schedule = Literal["constant", "one-cycle"]


class Trainable(Portable, lightning.LightningModule):
    """A portable LightningModule; a subclass has `shape` and `classes`, and its steps.

    Attributes:
        shape: (C, H, W) of the images.
        classes: Number of classes of the data set.
        learning_rate: Step size of Adam, above 0; with `schedule="one-cycle"` the peak.
        weight_decay: L2 penalty of Adam.
        schedule: Constant, or one cycle over the whole fit (Smith & Topin, arXiv 1708.07120).
    """

    shape: tuple[int, int, int]
    classes: int
    learning_rate: float
    weight_decay: float = 0.0
    schedule: Schedule = "constant"

    def configure_optimizers(self) -> Any:
        """Return Adam (.9, .999, 1e-8) over the parts that are not frozen, and the schedule (for a fit with an end)."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.learning_rate, weight_decay=self.weight_decay)
        if self.schedule == "constant":
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        if steps == 0:  # nothing is trained
            return optimizer
        if math.isinf(steps):
            msg = f"schedule {self.schedule} spans the whole fit, which has no end: give max_epochs or max_steps"
            raise InputError(msg)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.learning_rate, total_steps=int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        """Refuse to go on with a schedule that spans a fit of another number of steps."""
        steps = self.trainer.estimated_stepping_batches
        for config in self.trainer.lr_scheduler_configs:
            spanned = getattr(config.scheduler, "total_steps", steps)
            if spanned != steps:
                msg = (
                    f"schedule {self.schedule} spans a fit of {spanned} steps, and now the fit has {steps}: go on with "
                    "the max_epochs, data and number of devices that it began with, or begin a new fit from its weights"
                )
                raise InputError(msg)

    def train(self, mode: bool = True) -> "Trainable":  # noqa: FBT001, FBT002 - torch's signature
        """Set train or eval mode; frozen parts stay in eval mode."""
        super().train(mode)
        for child in self.children() if mode else ():
            parameters = list(child.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                child.eval()
        return self

    def setup(self, stage: str) -> None:
        """Refuse arguments that no checkpoint can hold, and data of another shape or number of classes."""
        if stage == "fit":
            describe(self)
        data = getattr(self.trainer, "datamodule", None)
        if data is None or not hasattr(data, "shape"):  # none, or a user's own that does not say
            return
        if tuple(data.shape) != tuple(self.shape) or data.classes != self.classes:
            msg = (
                f"{type(self).__name__} is made for images {_words(self.shape)} of {self.classes} classes, but "
                f"{type(data).__name__} gives images {_words(data.shape)} of {data.classes} classes: use a "
                "checkpoint and networks made for this data set"
            )
            raise InputError(msg)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the architecture to Lightning's own checkpoint, so that `load` reads it too."""
        checkpoint.update(format=FORMAT, architecture=describe(self))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take no path outside the fit's folder from a checkpoint.

        A `ModelCheckpoint` deletes the files that it wrote before, and reads their paths from the checkpoint. One that
        names other files begins without them.
        """
        if self._trainer is None:  # the weights alone are loaded
            return
        states, folder = checkpoint.get("callbacks") or {}, Path(self.trainer.default_root_dir).resolve()
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ModelCheckpoint):
                for key in (callback.state_key, type(callback)):  # the class in checkpoints of old versions
                    if not all(_within(path, folder) for path in _files(states.get(key, {}))):
                        del states[key]

    def step_generator(self, batch_idx: int) -> Generator:
        """Return the source of this step's randomness, derived from (seed, epoch, step, rank).

        A resumed fit draws what the uninterrupted one would have drawn; the global random state is not used.
        """
        words = (torch.initial_seed() % 2**32, self.current_epoch, batch_idx, self.global_rank)
        return seeded(*words, device=self.device)


class ImageClassifier(Trainable):
    """A LightningModule whose `forward` gives logits (N, K) of images (N, C, H, W) in [0, 1].

    Attributes:
        augmentation: How training images are changed at random: none, shift, or shift-flip; see `augmented`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        learning_rate: float,
        schedule: Schedule,
        augmentation: Augmentation,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.classes = classes
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.augmentation = augmentation
        one_of(get_args(Augmentation), augmentation=augmentation)
        self.validation_accuracy = MulticlassAccuracy(classes, average="micro")
        self.test_accuracy = MulticlassAccuracy(classes, average="micro")

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the mean cross entropy of (images, labels, ...), whose images are augmented."""
        images, labels, *_ = batch
        logits = self(augmented(images, self.augmentation, self.step_generator(batch_idx)))
        loss = functional.cross_entropy(logits, labels)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/accuracy", (logits.argmax(1) == labels).float().mean())
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:  # noqa: ARG002
        """Log loss and accuracy."""
        images, labels, *_ = batch
        logits = self(images)
        self.validation_accuracy(logits, labels)
        self.log("validation/loss", functional.cross_entropy(logits, labels), sync_dist=True)
        self.log("validation/accuracy", self.validation_accuracy)

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:  # noqa: ARG002
        """Log the accuracy."""
        images, labels, *_ = batch
        self.test_accuracy(self(images), labels)
        self.log("test/accuracy", self.test_accuracy)

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Any]:  # noqa: ARG002
        """Return labels, predictions (N,) and logits (N, K)."""
        images, labels, *_ = batch
        logits = self(images)
        return {"labels": labels, "predictions": logits.argmax(1), "logits": logits}


def seeded(*words: int, device: torch.device | str = "cpu") -> Generator:
    """Return a generator on a device, seeded by all the words together: integers from 0 on, as seed, epoch and step."""
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return Generator(device).manual_seed(int(state[0]) >> 1)


def frozen(module: nn.Module) -> nn.Module:
    """Return the module in eval mode, with no parameter that trains."""
    return module.requires_grad_(requires_grad=False).eval()


def _files(state: dict[str, Any]) -> list[str]:
    """Return the files that the state of a `ModelCheckpoint` names."""
    names = [state.get(f"{kind}_model_path") for kind in ("best", "kth_best", "last")]
    return [name for name in (*names, *state.get("best_k_models", ())) if name]


def _within(path: str, folder: Path) -> bool:
    """Tell whether a path is that of a checkpoint in a folder; `~` and protocols, as `file:`, may lead elsewhere."""
    plain = re.match(r"~|\w{2,}:", path) is None
    return plain and path.endswith(".ckpt") and Path(path).resolve().is_relative_to(folder)


def _words(shape: tuple[int, int, int]) -> str:
    return "x".join(str(size) for size in shape)
