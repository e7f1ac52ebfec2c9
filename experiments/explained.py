"""What the explanation protocols share: a classifier, some test images, and saliency methods by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from attacks import Attack
from attacks.guard import evaluation_mode
from data.decoding import LazyPixels
from data.files import is_image
from experiments.own import name_of, own_classifier
from experiments.study import Study
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

    @property
    def predictions(self) -> Tensor:
        """The classes (n,) that the classifier predicts for the images."""
        return self.logits.argmax(1)

    def protocol(self, name: str) -> str:
        """Return the name of a protocol's files: its own, and that of a classifier that is not the run's."""
        return name if self.own is None else f"{name}-{self.own}"

    def meta(self) -> dict[str, Any]:
        """Return what reproduces a table."""
        return self.study.meta() | {
            "classifier": self.own or "the run's",
            "explained_images": len(self.images),
            "methods": {name: repr(method) for name, method in self.methods.items()},
        }

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
            photographs is given, from that; size, to which photographs are brought; methods, by name (None: `METHODS`,
            and the learnt model if the run has one); classifier, one of the user's own (None: the run's).

    Raises:
        FileNotFoundError: If a stage is missing, or there are no photographs; says what to do.
        ValueError: If images or size is below 1, or the classifier does not take the images.
    """
    given, photographs = study.options.get("classifier"), study.options.get("photographs")
    count = _at_least_one(study, "images", 200)
    if photographs is None:
        rows, images, labels = _test_images(study, count)
        classes: int | None = study.data.classes
        names = getattr(study.data, "class_names", None)
    else:
        images = read_photographs(Path(photographs), _at_least_one(study, "size", 224), count)
        rows, labels, classes, names = torch.arange(len(images)), None, None, None
    classifier = study.classifier if given is None else own_classifier(study, given, images[:1], classes)
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
    )
    logits = found.predict(images)
    alike = (*images.shape[1:], logits.shape[1]) == (*study.data.shape, study.data.classes)
    numbered = [str(number) for number in range(logits.shape[1])]
    return replace(
        found,
        logits=logits,
        classes=names or numbered,
        labels=logits.argmax(1) if labels is None else labels,
        methods=methods_of(study, learnt=alike),
    )


def _at_least_one(study: Study, name: str, default: int) -> int:
    value: int = study.options.get(name, default)
    if value < 1:
        msg = f"{name} must be at least 1, got {value}"
        raise ValueError(msg)
    return value


def _test_images(study: Study, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows (n,), images and labels of some test images."""
    split = study.data.split("test")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    rows = order[:count].sort().values
    batch = split.__getitems__(rows.tolist())
    return rows, batch.images, batch.labels


def read_photographs(folder: Path, size: int, count: int) -> Tensor:
    """Return the images of a folder, (n, 3, size, size) in [0, 1], scaled and cut to their centre.

    Args:
        folder: Whatever in it, or below it, is an image file.
        size: Side in pixels.
        count: At most so many, drawn with a fixed seed.

    Raises:
        FileNotFoundError: If the folder does not exist or holds no image.
        ValueError: If one cannot be decoded; names it.
    """
    files = sorted(str(path) for path in folder.rglob("*") if is_image(path.name))
    if not files:
        lacks = "holds no image" if folder.is_dir() else "does not exist"
        msg = f"the folder of photographs {folder} {lacks}: give one with .jpg, .png or other image files"
        raise FileNotFoundError(msg)
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(0))
    rows = order[:count].sort().values
    return LazyPixels(files, (3, size, size))[rows].float() / 255


def methods_of(study: Study, *, learnt: bool = True) -> dict[str, SaliencyMethod]:
    """Return the saliency methods by name: those of the option, else the usual ones and the run's learnt model.

    Args:
        study: Of a run.
        learnt: Whether images and classes are like the run's, so that its learnt model takes them.
    """
    given: Mapping[str, SaliencyMethod] | None = study.options.get("methods")
    if given is not None:
        return dict(given)
    if not learnt or study.saliency is None:
        return dict(METHODS)
    return {**METHODS, "learnt": Learnt(saliency=study.saliency)}
