"""What the explanation protocols share: a classifier, some test images, and saliency methods by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from attacks import Attack
from attacks.guard import evaluation_mode
from data.decoding.decoding import LazyPixels
from data.decoding.files import images_below
from experiments.results.result import Flag
from experiments.study.study import Study
from experiments.study.user_modules import check_classifier, name_of, own_classifier
from saliency import (
    LIME,
    Enhanced,
    GradCAM,
    Gradient,
    GradientTimesInput,
    GuidedBackprop,
    IntegratedGradients,
    Jacobian,
    Learnt,
    Random,
    SaliencyMethod,
    SmoothGrad,
)

PHOTOGRAPH: Final = 224
"""Side in pixels of photographs, unless another is asked for."""

BATCH: Final = 64
"""Images between two steps of the progress bar."""

METHODS: Final[Mapping[str, SaliencyMethod]] = {
    "gradient": Gradient(),
    "gradient_x_input": GradientTimesInput(),
    "jacobian": Jacobian(),
    "smoothgrad": SmoothGrad(),
    "smoothgrad_squared": SmoothGrad(square=True),
    "integrated_gradients": IntegratedGradients(),
    "grad_cam": GradCAM(),
    "guided_backprop": GuidedBackprop(),
    "enhanced_guided_backprop": Enhanced(),
    "lime": LIME(),
    "random": Random(),
}
"""Used where no methods are given, and `learnt` where the run has a saliency model."""


@dataclass(frozen=True)
class Explained:
    """A classifier under study, on some of the test images.

    Attributes:
        study: Of the run.
        classifier: On the study's device, in eval mode.
        own: Name of a classifier of the user's own; None: it is the run's.
        rows: (n,) of the images in the test split; of photographs their numbers.
        images: (n, C, H, W) in [0, 1], on the CPU.
        labels: (n,), the true classes; of photographs, whose classes nobody told, the predicted ones.
        logits: (n, K) of the images.
        classes: Names of all classes.
        methods: By name.
        refused: Why usual methods are not among them, by name: not defined for the classifier, or not made yet.
        photographs: Whether the images are photographs, not the run's.
    """

    study: Study
    classifier: nn.Module
    own: str | None
    rows: Tensor
    images: Tensor
    labels: Tensor
    logits: Tensor
    classes: Sequence[str]
    methods: Mapping[str, SaliencyMethod]
    refused: Mapping[str, str] = field(default_factory=dict)
    photographs: bool = False

    @property
    def predictions(self) -> Tensor:
        """The classes (n,) that the classifier predicts for the images."""
        return self.logits.argmax(1)

    def protocol(self, name: str) -> str:
        """Return the name of a protocol's files: its own, and what is not the run's: classifier, photographs."""
        parts = [name, *([] if self.own is None else [self.own]), *(["photographs"] if self.photographs else [])]
        return "-".join(parts)

    def meta(self) -> dict[str, Any]:
        """Return what reproduces a table."""
        return self.study.meta() | {
            "classifier": self.own or "the run's",
            "explained_images": len(self.images),
            "methods": {name: repr(method) for name, method in self.methods.items()},
            "refused": dict(self.refused),
        }

    def flag(self) -> Flag:
        """Return whether all usual methods are there."""
        told = "; ".join(f"{name}: {reason}" for name, reason in self.refused.items())
        return Flag("Methods left out", bool(self.refused), f"{told}." if told else "None.")

    def predict(self, images: Tensor, about: str = "predictions") -> Tensor:
        """Return the logits (M, K) of images (M, C, H, W), on the CPU."""
        with torch.no_grad(), evaluation_mode(self.classifier):
            return self._in_batches(self.classifier, [images], about)

    def attributions(
        self, name: str, images: Tensor, targets: Tensor | None = None, about: str = "", *, seed: int | None = None
    ) -> Tensor:
        """Return a method's attributions (M, C or 1, H, W) of images, on the CPU, under a progress bar.

        Args:
            name: Of the method.
            images: (M, C, H, W) in [0, 1].
            targets: (M,), the classes to explain; None: the predicted ones.
            about: What is shown beside the bar, after the method's name.
            seed: Of what is random in the method; None: the fixed one.
        """
        return self._mapped(self.methods[name].attributions, f"{name} {about}".strip(), images, targets, seed)

    def maps(
        self, name: str, images: Tensor, targets: Tensor | None = None, about: str = "", *, seed: int | None = None
    ) -> Tensor:
        """Return a method's maps (M, 1, H, W), as it reduces its channels; arguments as of `attributions`."""
        return self._mapped(self.methods[name], f"{name} {about}".strip(), images, targets, seed)

    def attacked(
        self,
        attack: Attack,
        images: Tensor,
        labels: Tensor | None = None,
        region: Tensor | None = None,
        about: str = "attacking",
    ) -> Tensor:
        """Return adversarial images (M, C, H, W), on the CPU, under a progress bar.

        Args:
            attack: On the classifier.
            images: (M, C, H, W) in [0, 1].
            labels: (M,), to leave or to reach; None: the predicted ones.
            region: (M, 1, H, W), where pixels may change; None: everywhere.
            about: What is shown beside the bar.
        """

        def of(part: Tensor, given: Tensor | None, where: Tensor | None) -> Tensor:
            return attack(self.classifier, part, given, region=where)

        return self._in_batches(of, [images, labels, region], about)

    def _mapped(
        self, function: Callable[..., Tensor], about: str, images: Tensor, targets: Tensor | None, seed: int | None
    ) -> Tensor:
        def of(part: Tensor, classes: Tensor | None) -> Tensor:
            generator = None if seed is None else torch.Generator().manual_seed(seed)
            return function(self.classifier, part, classes, generator=generator)

        return self._in_batches(of, [images, targets], about)

    def _in_batches(self, function: Callable[..., Tensor], given: Sequence[Tensor | None], about: str) -> Tensor:
        """Return a function's outputs for corresponding parts of tensors, joined."""
        images, device = given[0], self.study.device
        starts = range(0, max(0 if images is None else len(images), 1), BATCH)
        parts = []
        progress = self.study.progress
        bar = progress.add_task(about)
        for start in progress.track(starts, task_id=bar):
            rows = slice(start, start + BATCH)
            parts.append(function(*(None if each is None else each[rows].to(device) for each in given)).cpu())
        progress.remove_task(bar)  # a protocol makes hundreds of maps' batches: finished bars would fill the screen
        return torch.cat(parts)


def explained(study: Study) -> Explained:
    """Return what an explanation protocol works on.

    Args:
        study: Its options: images, at most so many, drawn with a fixed seed from the test split or, if a folder of
            photographs is given, from that; size, the side in pixels that images are brought to before they are
            attacked and explained (None: as they are, photographs `PHOTOGRAPH`); methods, by name (None: `METHODS`,
            and the learnt model if the run has one); classifier, one of the user's own (None: the run's).

    Raises:
        FileNotFoundError: If a stage is missing, or there are no photographs; says what to do.
        ValueError: If images or size is below 1, or the classifier does not take the images.
    """
    given, photographs = study.options.get("classifier"), study.options.get("photographs")
    count = _at_least_one(study, "images", 200)
    size = None if study.options.get("size") is None else _at_least_one(study, "size", 0)
    if photographs is None:
        rows, images, labels = _test_images(study, count, size)
        classes: int | None = study.data.classes
    else:
        images = read_photographs(Path(photographs), size or PHOTOGRAPH, count)
        rows, labels, classes = torch.arange(len(images)), None, None
    if given is None:
        classifier: nn.Module = study.classifier
        check_classifier("the run's classifier", classifier, images[:1], study.data.classes)
    else:
        classifier = own_classifier(given, study.device, images[:1], classes)
    found = Explained(
        study=study,
        classifier=classifier,
        own=None if given is None else name_of(given),
        rows=rows,
        images=images,
        labels=torch.empty(0) if labels is None else labels,
        logits=torch.empty(0),
        classes=[],
        methods={},
        photographs=photographs is not None,
    )
    of_the_run = given is None or photographs is None
    names = getattr(study.data, "class_names", None) if of_the_run else None
    names = names or getattr(classifier, "categories", None)
    logits = found.predict(images)
    alike = (*images.shape[1:], logits.shape[1]) == (*study.data.shape, study.data.classes)
    methods, refused = methods_of(found, learnt=alike)
    numbered = [str(number) for number in range(logits.shape[1])]
    return replace(
        found,
        logits=logits,
        classes=names or numbered,
        labels=logits.argmax(1) if labels is None else labels,
        methods=methods,
        refused=refused,
    )


def _at_least_one(study: Study, name: str, default: int) -> int:
    value: int = study.options.get(name, default)
    if value < 1:
        msg = f"{name} must be at least 1, got {value}"
        raise ValueError(msg)
    return value


def _test_images(study: Study, count: int, size: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows (n,), images and labels of some test images, scaled to a side of so many pixels."""
    split = study.data.split("test")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    rows = order[:count].sort().values
    batch = split.__getitems__(rows.tolist())
    if size is None:
        return rows, batch.images, batch.labels
    scaled = functional.interpolate(batch.images, (size, size), mode="bilinear", antialias=True)
    return rows, scaled.clamp(0, 1), batch.labels


def read_photographs(folder: Path, size: int, count: int) -> Tensor:
    """Return the images of a folder, (n, 3, size, size) in [0, 1], scaled and cut to their centre.

    Args:
        folder: Whatever in it, or below it, is an image file and not hidden.
        size: Side in pixels.
        count: At most so many, drawn with a fixed seed.

    Raises:
        FileNotFoundError: If the folder does not exist or holds no image.
        ValueError: If one cannot be decoded; names it.
    """
    files = sorted(path for path, _ in images_below(folder)) if folder.is_dir() else []
    if not files:
        lacks = "holds no image" if folder.is_dir() else "does not exist"
        msg = f"the folder of photographs {folder} {lacks}: give one with .jpg, .png or other image files"
        raise FileNotFoundError(msg)
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(0))
    rows = order[:count].sort().values
    return LazyPixels(files, (3, size, size))[rows].float() / 255


def methods_of(found: Explained, *, learnt: bool = True) -> tuple[dict[str, SaliencyMethod], dict[str, str]]:
    """Return the saliency methods by name, and why some of the usual ones are not among them.

    Args:
        found: Whose study's option gives the methods; None: the usual ones that are defined for its classifier, and the
            run's learnt model.
        learnt: Whether images and classes are like the run's, so that its learnt model takes them.
    """
    given: Mapping[str, SaliencyMethod] | None = found.study.options.get("methods")
    if given is not None:
        return dict(given), {}
    methods, refused = dict(METHODS), {}
    for name in _PARTICULAR:
        try:
            METHODS[name](found.classifier, found.images[:1].to(found.study.device))
        except ValueError as error:
            refused[name] = str(error)
            del methods[name]
    try:
        model = found.study.saliency if learnt else None
    except FileNotFoundError as error:
        refused["learnt"], model = str(error), None
    return {**methods, **({} if model is None else {"learnt": Learnt(saliency=model)})}, refused


_PARTICULAR: Final = ("grad_cam", "guided_backprop", "enhanced_guided_backprop")
"""Usual methods that are not defined for every network."""
