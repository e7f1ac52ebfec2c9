"""The base of the trained detectors: a binary network over a representation of the image."""

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from attacks.checks import one_of
from attacks.errors import InputError, InputTypeError
from attacks.guard import evaluation_mode
from detectors.calibration import threshold
from detectors.classifier import Classifier
from detectors.explanations import UsesExplanation
from detectors.guard import ImageFiles, Verdict, check_shape, judge
from detectors.metrics import probabilities, training_metrics
from detectors.networks import ConvNet
from detectors.residual import ResidualNet
from saliency.checkpoints import part
from saliency.training import Schedule, Trainable, frozen

Architecture = Literal["paper", "residual"]


class Detector(Trainable):
    """Tells adversarial images from clean ones, by a network over `represent(images)`.

    A detector of your own is a subclass with `represent`, which passes `channels` to this constructor.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint; frozen.
        channels: Channels of the representation.
        widths: Channels of the blocks of the network; None: as the classifier's, as in the paper.
        learning_rate: Step size of Adam, above 0; 1e-3 in the paper.
        schedule: constant (the paper's) or one-cycle.
        architecture: paper: the network is a `ConvNet`; residual: a `ResidualNet`, which learns small perturbations
            of natural images from a few thousand pairs, where the paper's network hardly does.

    Attributes:
        calibration: (n,) sorted scores of clean calibration images, a buffer written after the fit; empty before.

    Raises:
        FileNotFoundError: If the classifier's checkpoint does not exist.
        ValueError: If it holds something else, or architecture is another word.
        TypeError: If a subclass has no `represent`.
    """

    calibration: Tensor

    def __init__(
        self,
        classifier: str | Classifier,
        channels: int,
        widths: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
        architecture: Architecture = "paper",
    ) -> None:
        one_of(get_args(Architecture), architecture=architecture)
        if type(self).represent is Detector.represent:
            msg = f"{type(self).__name__} has no represent(self, images, logits=None): it says what the network sees"
            raise InputTypeError(msg)
        super().__init__()
        self.classifier = part(classifier, Classifier)
        self.shape, self.classes = self.classifier.shape, self.classifier.classes
        frozen(self.classifier)
        self.channels = channels
        self.widths = self.classifier.widths if widths is None else widths
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.architecture = architecture
        if architecture == "paper":
            self.network: ConvNet | ResidualNet = ConvNet((channels, *self.shape[1:]), 1, self.widths)
        else:
            self.network = ResidualNet(1, channels, self.widths, mean=(0.0,), std=(1.0,))
        self.register_buffer("calibration", torch.empty(0))
        self.validation_metrics = training_metrics().clone(prefix="validation/")
        self.test_metrics = nn.ModuleList()
        self.test_names: list[str] = []

    @abstractmethod
    def represent(self, images: Tensor, logits: Tensor | None = None) -> Tensor:
        """Return what the network sees, (N, channels, H, W), differentiable in the images (N, C, H, W) in [0, 1].

        The classifier's logits (N, K) on these images are passed where they are known.
        """

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,), higher = more adversarial, 0 = probability .5, of images (N, C, H, W) in [0, 1]."""
        return self._scored(images, self.represent(images))

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """Return scores (N,) as `forward` does, in eval mode, without a graph.

        Raises:
            ValueError: If the images are not (N, C, H, W) float32 in [0, 1] on the detector's device.
        """
        check_shape(self, images)
        with evaluation_mode(self):
            scores: Tensor = self(images.clone())  # on which a network may write
        return scores

    def judge(self, images: Tensor | ImageFiles, false_positive_rate: float = 0.05) -> Verdict:
        """Return verdicts on images (N, C, H, W) in [0, 1] or image files; see `detectors.guard.judge`."""
        return judge(self, images, false_positive_rate)

    def batch_scores(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Return the scores of a batch (images, ...) of a data module."""
        scores: Tensor = self(batch[0])
        return scores

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (N, K) and the scores (N,), from one pass through the classifier.

        It takes two passes if a subclass has its own `forward`, or a `represent` without logits.
        """
        logits = self.classifier(images)
        if type(self).forward is not Detector.forward or "logits" not in inspect.signature(self.represent).parameters:
            return logits, self(images)
        return logits, self._scored(images, self.represent(images, logits))

    def _scored(self, images: Tensor, representation: Tensor) -> Tensor:
        """Return the network's scores (N,) of a representation, if the network was built for its shape."""
        expected = (images.shape[0], self.channels, *images.shape[2:])  # len(images) would fix the batch of an export
        if not isinstance(representation, Tensor) or representation.shape != expected:
            shape = getattr(representation, "shape", None)
            got = type(representation).__name__ if shape is None else f"shape {tuple(shape)}"
            msg = (
                f"{type(self).__name__}.represent must return a tensor of shape {expected} for images of shape "
                f"{tuple(images.shape)}, with the channels that its constructor tells; it returned {got}"
            )
            raise InputError(msg)
        scores: Tensor = self.network(representation)
        return scores.squeeze(1)

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return what `joint` returns, and by name the scores (N,) of parts that an attack should lower as well.

        A part of a detector may mislead the gradient of an attack: a piecewise constant Jacobian, a map that is empty.
        Such a detector offers a differentiable score for it, higher = more adversarial; here there is none.
        """
        return (*self.joint(images), {})

    def representation_step(self, images: Tensor, step_size: float) -> Tensor:
        """Return the authors' step against the detector, to be added to the images (Schut & Gal, eq. 4, appendix C).

        One signed step of the representation that lowers the score, with the explanation in it held constant.

        Args:
            images: (N, C, H, W) in [0, 1].
            step_size: L-inf length of the step.

        Returns:
            (N, C, H, W) or (N, 1, H, W), detached.

        Raises:
            NotImplementedError: If the detector has no `on_pixels`, or has its own `forward`.
        """
        if not self.has_representation_step:
            msg = (
                f"{type(self).__name__} does not say what a change of its representation means for the pixels: attack "
                "it with through_saliency=True, or give it the method on_pixels"
            )
            raise NotImplementedError(msg)
        with torch.enable_grad():
            seen = self.represent(images).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.network(seen).sum(), seen)
        return self.on_pixels(-step_size * gradient.sign())

    @property
    def has_representation_step(self) -> bool:
        """Whether the authors' step is known: for a subclass that has `on_pixels` and keeps `forward`."""
        own = type(self)
        return own.on_pixels is not Detector.on_pixels and own.forward is Detector.forward

    def on_pixels(self, change: Tensor) -> Tensor:
        """Return the change of the pixels for a change (N, channels, H, W) of the representation, if it is known."""
        raise NotImplementedError

    def calibrate(self, scores: Tensor) -> None:
        """Keep the scores (n,) of clean calibration images: every threshold is read from them."""
        self.calibration = scores.detach().flatten().sort().values.to(self.calibration)

    def threshold(self, false_positive_rate: float) -> float | None:
        """Return the score above which an image is rejected at that rate; see `detectors.calibration.threshold`."""
        return threshold(self.calibration, false_positive_rate)

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's
        """Return the mean binary cross entropy of (images, is_adversarial, ...)."""
        scores, is_adversarial, loss = self._judged(batch)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/accuracy", ((scores > 0) == is_adversarial).float().mean())
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Log loss, accuracy, AUROC and average precision; return the scores, for callbacks."""
        scores, is_adversarial, loss = self._judged(batch)
        self.validation_metrics.update(probabilities(scores), is_adversarial.long())
        self.log("validation/loss", loss, sync_dist=True)
        self.log_dict(self.validation_metrics)
        return scores

    def _judged(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        scores, is_adversarial = self.batch_scores(batch), batch[1]
        return scores, is_adversarial, functional.binary_cross_entropy_with_logits(scores, is_adversarial.to(scores))

    def on_test_start(self) -> None:
        """Make metrics for each test loader: shared ones would pool the attacks."""
        data = getattr(self.trainer, "datamodule", None)
        plain = [f"loader_{number}" for number in range(len(self.trainer.num_test_batches))]
        self.test_names = list(getattr(data, "test_names", plain))
        collections = [training_metrics().clone(prefix=f"test/{name}/") for name in self.test_names]
        self.test_metrics = nn.ModuleList(collections).to(self.device)

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        """Log accuracy, AUROC and average precision of each attack under its name."""
        metrics = self.test_metrics[dataloader_idx]
        metrics.update(probabilities(self.batch_scores(batch)), batch[1].long())  # type: ignore[operator]
        self.log_dict(metrics, add_dataloader_idx=False)  # type: ignore[arg-type]

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Return scores, and whether each image is adversarial where the batch says so."""
        are_pairs = len(batch) > 1 and batch[1].dtype == torch.bool
        return {"scores": self.batch_scores(batch)} | ({"is_adversarial": batch[1]} if are_pairs else {})

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        saved = state_dict.get(f"{prefix}calibration")
        if saved is not None:  # its length is the calibration split's, unknown to the constructor
            self.calibration = self.calibration.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)


class ExplainingDetector(Detector, UsesExplanation):
    """A detector whose representation combines the image with an explanation by frozen networks.

    The explanation depends on the image alone: pairs from a store carry it. A subclass has `explanation` and `combine`
    in place of `represent`.
    """

    @abstractmethod
    def combine(self, images: Tensor, explanation: Tensor) -> Tensor:
        """Return the representation (N, channels, H, W) of images and their explanation, differentiable in both."""

    @property
    def takes_explanation(self) -> bool:
        """Whether a stored explanation can be used: not if a subclass has its own `represent` or `forward`."""
        own = type(self)
        return own.represent is ExplainingDetector.represent and own.forward is Detector.forward

    def represent(self, images: Tensor, logits: Tensor | None = None) -> Tensor:
        """Return the representation (N, channels, H, W)."""
        return self.combine(images, self.explanation(images, logits))

    def batch_scores(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Return the scores of a batch (images, ...), with its stored explanation if it has one."""
        explanation: Tensor | None = getattr(batch, "explanation", None)
        if explanation is None or explanation.shape[1] == 0 or not self.takes_explanation:
            return super().batch_scores(batch)
        return self.score(batch[0], explanation)

    def score(self, images: Tensor, explanation: Tensor) -> Tensor:
        """Return the scores (N,) of images whose explanation is known."""
        return self._scored(images, self.combine(images, explanation))
