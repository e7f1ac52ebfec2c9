"""Stage 3 of the learnt saliency model: the masks."""

from typing import Literal

import torch
import torchmetrics
from torch import Generator, Tensor, nn

from attacks.errors import InputError
from saliency.checkpoints import part
from saliency.fill import BLUR_SIGMA, Fill, blur, compose
from saliency.objective import OBJECTIVES, Objective, Terms, Weights
from saliency.selector import Selector, with_fakes
from saliency.training import ImageClassifier, Trainable, frozen, seeded
from saliency.unet import MaskDecoder

BlackBox = Literal["classifier", "encoder"]


class SaliencyModel(Trainable):
    """The learnt saliency model: one pass gives the mask of a class in an image.

    Called as any saliency method: `maps = saliency_model(classifier, images, targets=None)`.

    Args:
        selector: The trained selector with its encoder, or the path of its checkpoint.
        classifier: The classifier whose decisions the masks shall explain, or the path of its checkpoint.
        black_box: The network that the objective asks: that classifier (the paper's text), or the saliency model's own
            encoder (the authors' code).
        objective: margin (the authors' code) or log (the paper's equation).
        area_weight: Weight of the mask's area; None: the objective's default (8, as in the authors' code).
        smoothness_weight: Weight of the total variation; the main paper drops it.
        preserve_weight: Weight of "the kept image shows the class"; None: the objective's default.
        destroy_weight: Weight of "the destroyed image does not"; None: the objective's default.
        fill: Replacement of masked pixels during training; at detection time the map is deterministic.
        blur_sigma: Standard deviation of the blur of that fill, as a share of the image's shorter side.
        fake_probability: Chance that the mask is made for an absent class, and shall be empty.
        learning_rate: Step size of Adam, above 0.
        schedule: constant or one-cycle.

    Raises:
        ValueError: If classifier and selector were made for other images.

    Reference: Dabkowski & Gal, arXiv 1705.07857; adapted by Schut & Gal (2020), section 3.3.
    """

    def __init__(
        self,
        selector: str | Selector,
        classifier: str | ImageClassifier,
        black_box: BlackBox = "classifier",
        objective: Objective = "margin",
        area_weight: float | None = None,
        smoothness_weight: float = 0.0,
        preserve_weight: float | None = None,
        destroy_weight: float | None = None,
        fill: Fill = "mix",
        blur_sigma: float = BLUR_SIGMA,
        fake_probability: float = 0.3,
        learning_rate: float = 1e-3,
        schedule: Literal["constant", "one-cycle"] = "constant",
    ) -> None:
        super().__init__()
        self.selector = part(selector, Selector)
        self.classifier = part(classifier, ImageClassifier)
        self.shape, self.classes = self.selector.shape, self.selector.classes
        _same_images(self.selector, self.classifier)
        frozen(self.selector)
        frozen(self.classifier)
        self.decoder = MaskDecoder(self.selector.encoder.width).to(memory_format=torch.channels_last)
        self.black_box = black_box
        self.objective = objective
        self.area_weight = area_weight
        self.smoothness_weight = smoothness_weight
        self.preserve_weight = preserve_weight
        self.destroy_weight = destroy_weight
        self.fill = fill
        self.blur_sigma = blur_sigma
        self.fake_probability = fake_probability
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.measures = nn.ModuleDict({name: torchmetrics.MeanMetric() for name in _MEASURES})

    def forward(self, model: nn.Module, images: Tensor, targets: Tensor | None = None) -> Tensor:
        """Return the maps (N, 1, H, W) in [0, 1] of a class in each image, differentiable in the images.

        Args:
            model: The attacked classifier, logits (N, K); asked only where targets is None.
            images: (N, C, H, W) in [0, 1].
            targets: (N,), the class to look for; None: the class that the model predicts.
        """
        if targets is None:
            targets = model(images).argmax(1)
        return self.masks(images, targets)

    def masks(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return masks (N, 1, H, W) in [0, 1] of classes (N,) in images (N, C, H, W) in [0, 1]."""
        return self._masks(self.selector.encoder.network.scales(images), classes)

    def masks_and_opinion(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return masks (N, 1, H, W) of classes (N,), and the encoder's logits (N, K), from one pass through it."""
        network = self.selector.encoder.network
        scales = network.scales(images)
        return self._masks(scales, classes), network.classify(scales)

    def _masks(self, scales: list[Tensor], classes: Tensor) -> Tensor:
        gated, _ = self.selector.gate(scales, classes)
        masks: Tensor = self.decoder(gated)
        return masks

    def encode(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of the saliency model's own encoder."""
        logits: Tensor = self.selector.encoder(images)
        return logits

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the objective on (images, labels, ...), and log its terms."""
        images, labels, *_ = batch
        generator = self.step_generator(batch_idx)
        classes, fake = with_fakes(labels, self.classes, self.fake_probability, generator)
        masks = self.masks(images, classes)
        blurred = self._blurred(images)
        kept = self._judge(images, masks, blurred, generator)
        destroyed = self._judge(images, 1 - masks, blurred, generator)
        terms = self._terms(masks, kept, destroyed, labels, fake)
        for name, value in terms._asdict().items():
            self.log(f"train/{name}", value, prog_bar=name == "total")
        return terms.total

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Log what the masks keep and destroy, beside two controls of equal area; and the objective, without fakes."""
        self.log("validation/loss", self._measure(batch, batch_idx, "validation"), sync_dist=True)

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Log what the masks keep and destroy, beside two controls of equal area."""
        self._measure(batch, batch_idx, "test")

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Return labels, the classifier's predictions (N,) and the maps of these (N, 1, H, W)."""
        images, labels, *_ = batch
        predictions = self.classifier(images).argmax(1)
        return {"labels": labels, "predictions": predictions, "maps": self.masks(images, predictions)}

    def _measure(self, batch: tuple[Tensor, ...], batch_idx: int, stage: str) -> Tensor:
        """Log the measures of a batch; return its objective."""
        images, labels, *_ = batch
        generator = seeded(0, batch_idx, device=self.device)
        masks = self.masks(images, labels)
        absent, _ = with_fakes(labels, self.classes, 1.0, generator)
        disc = central_disc(masks)
        blurred, seen = self._blurred(images), [masks, 1 - masks, masks.roll(1, 0), disc, 1 - disc]
        kept, destroyed, *controls = (self._judge(images, mask, blurred, generator) for mask in seen)
        areas = [masks.mean((1, 2, 3)), self.masks(images, absent).mean((1, 2, 3))]
        right = [(logits.argmax(1) == labels).float() for logits in (kept, destroyed, *controls)]
        for name, value in zip(_MEASURES, (*right[:2], *areas, *right[2:]), strict=True):
            metric = self.measures[name]
            alone = name == "kept_accuracy_other_mask" and len(images) == 1  # its own mask would be the other one
            metric.update(value, weight=0.0 if alone else 1.0)  # type: ignore[operator]
            self.log(f"{stage}/{name}", metric)  # type: ignore[arg-type]
        return self._terms(masks, kept, destroyed, labels, torch.zeros_like(labels, dtype=torch.bool)).total

    def _blurred(self, images: Tensor) -> Tensor | None:
        """Return the images blurred, once for all masks; None if no masked pixel is replaced by them."""
        return blur(images, self.blur_sigma) if self.fill in {"mix", "blur"} else None

    def _judge(self, images: Tensor, masks: Tensor, blurred: Tensor | None, generator: Generator) -> Tensor:
        """Return the black box's logits (N, K) on what the masks leave of the images."""
        seen = compose(images, masks, self.fill, generator, self.blur_sigma, blurred)
        logits: Tensor = self.classifier(seen) if self.black_box == "classifier" else self.encode(seen)
        return logits

    def _terms(self, masks: Tensor, kept: Tensor, destroyed: Tensor, labels: Tensor, fake: Tensor) -> Terms:
        function, defaults = OBJECTIVES[self.objective]
        chosen = self.area_weight, self.smoothness_weight, self.preserve_weight, self.destroy_weight
        weights = Weights(*(b if a is None else a for a, b in zip(chosen, defaults, strict=True)))
        return function(masks, kept, destroyed, labels, fake, weights)


_MEASURES = (
    "kept_accuracy",
    "destroyed_accuracy",
    "area",
    "absent_area",
    "kept_accuracy_other_mask",
    "kept_accuracy_disc",
    "destroyed_accuracy_disc",
)


def _same_images(selector: Selector, classifier: ImageClassifier) -> None:
    if (tuple(selector.shape), selector.classes) != (tuple(classifier.shape), classifier.classes):
        msg = (
            f"the selector saw images {tuple(selector.shape)} of {selector.classes} classes, the classifier "
            f"{tuple(classifier.shape)} of {classifier.classes}: use checkpoints of one data set"
        )
        raise InputError(msg)


def central_disc(masks: Tensor) -> Tensor:
    """Return, for each mask (N, 1, H, W), a disc of 0 and 1 of the same area in the middle of the image.

    It holds the pixels nearest to the centre, as many as the sum of the mask's values, rounded.
    """
    count, _, height, width = masks.shape
    rows = torch.arange(height, device=masks.device) - (height - 1) / 2
    columns = torch.arange(width, device=masks.device) - (width - 1) / 2
    distance = rows.square()[:, None] + columns.square()[None, :]
    rank = torch.empty(height * width, device=masks.device, dtype=torch.long)
    rank[distance.flatten().argsort(stable=True)] = torch.arange(height * width, device=masks.device)
    wanted = masks.sum((1, 2, 3)).round()
    return (rank.expand(count, -1) < wanted[:, None]).to(masks.dtype).view(count, 1, height, width)
