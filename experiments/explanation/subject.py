"""What the explanation protocols share: a classifier, some images, and saliency methods by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

import saliency
from attacks import Attack
from attacks.checks import at_least
from attacks.guard import evaluation_mode
from data.decoding.decode import LazyPixels
from data.decoding.files import images_below
from experiments.explanation.unfinished import Unfinished
from experiments.results.result import Flag
from experiments.study.study import Study
from experiments.study.user_modules import check_classifier, name_of, own_classifier
from saliency.maps.reduction import reduce

PHOTOGRAPH: Final = 224
"""Side in pixels of photographs, unless another is asked for."""

METHODS: Final[Mapping[str, saliency.SaliencyMethod]] = {
    "gradient": saliency.Gradient(),
    "gradient_x_input": saliency.GradientTimesInput(),
    "jacobian": saliency.Jacobian(),
    "smoothgrad": saliency.SmoothGrad(),
    "smoothgrad_squared": saliency.SmoothGrad(square=True),
    "integrated_gradients": saliency.IntegratedGradients(),
    "grad_cam": saliency.GradCAM(),
    "guided_backprop": saliency.GuidedBackprop(),
    "enhanced_guided_backprop": saliency.Enhanced(),
    "lime": saliency.LIME(),
    "random": saliency.Random(),
}
"""The default methods of a study; `learnt` is added if the run has a saliency model."""

_PARTICULAR: Final = ("grad_cam", "guided_backprop", "enhanced_guided_backprop")
"""Those of these methods that are not defined for every network."""


@dataclass(frozen=True)
class Explained:
    """A classifier under study, with some images.

    Attributes:
        protocol: Name of the report's files; it includes the user's classifier and photographs, if given.
        unfinished: What took long until now, kept on disk for the next start of an interrupted study.
        classifier: On the study's device, in eval mode.
        own: Name of a classifier of the user's own; None: it is the run's.
        rows: (n,), numbers of the images in the test split, or in the folder of photographs.
        images: (n, C, H, W) in [0, 1], on the CPU.
        labels: (n,), the true classes; of photographs, which are unlabelled, the predicted ones.
        logits: (n, K) of the images.
        refused: Why a usual method is left out, by its name: it is not defined, or not trained yet.
        photographs: Whether the images are photographs in place of the run's test images.
    """

    study: Study
    protocol: str
    unfinished: Unfinished
    classifier: nn.Module
    own: str | None
    rows: Tensor
    images: Tensor
    labels: Tensor
    logits: Tensor
    classes: Sequence[str]
    methods: Mapping[str, saliency.SaliencyMethod]
    refused: Mapping[str, str] = field(default_factory=dict)
    photographs: bool = False

    @property
    def predictions(self) -> Tensor:
        """The classes (n,) that the classifier predicts for the images."""
        return self.logits.argmax(1)

    def meta(self) -> dict[str, Any]:
        """Return the settings that reproduce a table."""
        return self.study.meta() | {
            "classifier": self.own or "the run's",
            "explained_images": len(self.images),
            "methods": {name: repr(method) for name, method in self.methods.items()},
            "refused": dict(self.refused),
        }

    def flag(self) -> Flag:
        """Return whether a usual method is left out."""
        reasons = "; ".join(f"{name}: {reason}" for name, reason in self.refused.items())
        return Flag("Methods left out", bool(self.refused), f"{reasons}." if reasons else "None.")

    def predict(self, images: Tensor, about: str = "predictions") -> Tensor:
        """Return the logits (M, K) of images (M, C, H, W), on the CPU."""
        return _predict(self.unfinished, self.classifier, images, about)

    def attributions(
        self,
        name: str,
        images: Tensor,
        targets: Tensor | None = None,
        about: str = "",
        *,
        seed: int | None = None,
        anew: bool = False,
    ) -> Tensor:
        """Return a method's attributions (M, C or 1, H, W) of images, on the CPU, under a progress bar.

        Args:
            name: Key of `methods`.
            images: (M, C, H, W) in [0, 1].
            targets: (M,), the classes to explain; None: the predicted ones.
            about: Text beside the progress bar, after the method's name.
            seed: Seed of the method's random numbers; None: its fixed seed.
            anew: Whether they are made even if an interrupted study kept them.
        """
        method = self.methods[name]

        def of_batch(part: Tensor, classes: Tensor | None) -> Tensor:
            generator = None if seed is None else torch.Generator().manual_seed(seed)
            return method.attributions(self.classifier, part, classes, generator=generator)

        of, about = (self.classifier, method), f"{name} {about}".strip()
        return self.unfinished.outputs(of, of_batch, images, targets, about=about, seed=seed, anew=anew)

    def maps(self, name: str, images: Tensor, targets: Tensor | None = None, about: str = "") -> Tensor:
        """Return a method's maps (M, 1, H, W), as it reduces its channels; arguments as of `attributions`."""
        return reduce(self.attributions(name, images, targets, about), self.methods[name].reduction)

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
            attack: Attacks the classifier.
            images: (M, C, H, W) in [0, 1].
            labels: (M,), the classes to leave or, if the attack is targeted, to reach; None: the predicted ones.
            region: (M, 1, H, W), where pixels may change; None: everywhere.
            about: Text beside the progress bar.
        """

        def of_batch(part: Tensor, classes: Tensor | None, where: Tensor | None) -> Tensor:
            return attack(self.classifier, part, classes, region=where)

        of = self.classifier, attack
        return self.unfinished.outputs(of, of_batch, images, labels, region, about=about)


def _predict(unfinished: Unfinished, classifier: nn.Module, images: Tensor, about: str) -> Tensor:
    with torch.no_grad(), evaluation_mode(classifier):
        return unfinished.outputs((classifier,), classifier, images, about=about)


def explained(
    study: Study,
    name: str,
    *,
    images: int = 200,
    methods: Mapping[str, saliency.SaliencyMethod] | None = None,
    classifier: str | nn.Module | None = None,
    photographs: str | None = None,
    size: int | None = None,
) -> Explained:
    """Return the classifier, images and methods of an explanation protocol.

    Args:
        study: The run under evaluation.
        name: Of the protocol.
        images: Largest number of images, drawn with a fixed seed.
        methods: Saliency methods by name; None: `METHODS`, those that are defined for the classifier, and the
            learnt model if the run has one that takes the images.
        classifier: The user's own (class path, checkpoint or module); None: the run's.
        photographs: A folder to draw from in place of the test split.
        size: Side in pixels that images are scaled to before they are attacked and explained; None: as they are,
            photographs `PHOTOGRAPH`.

    Raises:
        FileNotFoundError: If a stage is missing, or there are no photographs; says what to do.
        ValueError: If images or size is below 1, or the classifier does not take the images.
    """
    at_least(1, images=images, size=1 if size is None else size)
    if photographs is None:
        rows, pixels, labels = _test_images(study, images, size)
    else:
        pixels = read_photographs(Path(photographs), size or PHOTOGRAPH, images)
        rows, labels = torch.arange(len(pixels)), None
    if classifier is None:
        network: nn.Module = study.classifier
        check_classifier("the run's classifier", network, pixels[:1], study.data.classes)
    else:
        outputs = study.data.classes if photographs is None else None
        network = own_classifier(classifier, study.device, pixels[:1], outputs)
    own = None if classifier is None else name_of(classifier)
    protocol = "-".join([name, *([] if own is None else [own]), *([] if photographs is None else ["photographs"])])
    unfinished = Unfinished(study, protocol)
    logits = _predict(unfinished, network, pixels, "predictions")
    named_by_run = classifier is None or photographs is None
    names = getattr(study.data, "class_names", None) if named_by_run else None
    refused: dict[str, str] = {}
    if methods is None:
        like_the_runs = (*pixels.shape[1:], logits.shape[1]) == (*study.data.shape, study.data.classes)
        methods, refused = _usual_methods(study, network, pixels[:1], learnt=like_the_runs)
    return Explained(
        study=study,
        protocol=protocol,
        unfinished=unfinished,
        classifier=network,
        own=own,
        rows=rows,
        images=pixels,
        labels=logits.argmax(1) if labels is None else labels,
        logits=logits,
        classes=names or getattr(network, "categories", None) or [str(number) for number in range(logits.shape[1])],
        methods=dict(methods),
        refused=refused,
        photographs=photographs is not None,
    )


def _test_images(study: Study, count: int, size: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows (n,), images and labels of some test images, scaled to a side in pixels."""
    split = study.data.split("test")
    rows = _drawn(len(split), count)
    batch = split.__getitems__(rows.tolist())
    if size is None:
        return rows, batch.images, batch.labels
    scaled = functional.interpolate(batch.images, (size, size), mode="bilinear", antialias=True)
    return rows, scaled.clamp(0, 1), batch.labels


def _drawn(total: int, count: int) -> Tensor:
    """Return at most `count` numbers below a total, drawn with a fixed seed, ascending."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(0))[:count].sort().values


def read_photographs(folder: Path, size: int, count: int) -> Tensor:
    """Return the images of a folder, (n, 3, size, size) in [0, 1], scaled and cut to their centre.

    Args:
        folder: All image files in it and below it count, but for hidden ones.
        size: Side in pixels.
        count: Largest number of images, drawn with a fixed seed.

    Raises:
        FileNotFoundError: If the folder does not exist or holds no image.
        ValueError: If an image cannot be decoded; names it.
    """
    files = sorted(path for path, _ in images_below(folder)) if folder.is_dir() else []
    if not files:
        lacks = "holds no image" if folder.is_dir() else "does not exist"
        msg = f"the folder of photographs {folder} {lacks}: give one with .jpg, .png or other image files"
        raise FileNotFoundError(msg)
    return LazyPixels(files, (3, size, size))[_drawn(len(files), count)].float() / 255


def _usual_methods(
    study: Study, classifier: nn.Module, image: Tensor, *, learnt: bool
) -> tuple[dict[str, saliency.SaliencyMethod], dict[str, str]]:
    """Return the usual methods, tried on an image (1, C, H, W), and why some of them are left out, by name.

    The run's saliency model is among them where images and classes are like the run's.
    """
    methods, refused = dict(METHODS), {}
    for name in _PARTICULAR:
        try:
            METHODS[name](classifier, image.to(study.device))
        except ValueError as error:
            refused[name] = str(error)
            del methods[name]
    try:
        model = study.saliency if learnt else None
    except FileNotFoundError as error:
        refused["learnt"], model = str(error), None
    return methods | ({} if model is None else {"learnt": saliency.Learnt(saliency=model)}), refused
