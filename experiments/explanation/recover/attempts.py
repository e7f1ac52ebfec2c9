"""Attacks on the largest regions of images, one region each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import LocalizedBIM
from experiments.explanation.subject import Explained
from saliency.maps import runner_up
from saliency.regions import largest, segments


@dataclass(frozen=True)
class Attempts:
    """All attacks that were tried, and the images of those that succeeded.

    Attributes:
        segments: (n, H, W), the segmentation of each image.
        left_out: (n,) bool, images that are predicted as the target already.
        image: (A,), the number of the image that each attempt is on.
        region: (A, H, W) bool, the only pixels that may change; of an image the largest first.
        target: (A,), the class to reach.
        succeeded: (A,) bool; the others are discarded.
        escaped: How many attempts changed a pixel outside of their region: none, unless something is wrong.
        adversarial: (M, C, H, W), of those that succeeded.
        logits: (M, K) of them.
    """

    segments: Tensor
    left_out: Tensor
    image: Tensor
    region: Tensor
    target: Tensor
    succeeded: Tensor
    escaped: int
    adversarial: Tensor
    logits: Tensor

    @property
    def sources(self) -> Tensor:
        """The number (M,) of the image behind each adversarial one."""
        return self.image[self.succeeded]

    @property
    def regions(self) -> Tensor:
        """The region (M, H, W) that changed in each adversarial image."""
        return self.region[self.succeeded]

    @property
    def targets(self) -> Tensor:
        """The class (M,) that each adversarial image is predicted as."""
        return self.target[self.succeeded]


def attempted(found: Explained, attack: LocalizedBIM, regions: int, target: int | None) -> Attempts:
    """Attack the largest regions of all images, each on its own.

    Args:
        found: The classifier and its images.
        attack: Targeted.
        regions: Of an image, at most so many.
        target: See `targets_of`.

    Raises:
        ValueError: If the target is no class, regions is below 1, or no attack succeeds; says what to do.
    """
    wanted = targets_of(found.logits, target)
    left_out = wanted == found.predictions
    image, region, whole = [], [], []
    for number in found.study.progress.track(range(len(found.images)), description="regions"):
        whole.append(segments(found.images[number : number + 1])[0])
        if not left_out[number]:
            region.append(largest(whole[-1], regions))
            image.append(torch.full((len(region[-1]),), number))
    of, where = (torch.cat(parts) if parts else torch.empty(0) for parts in (image, region))
    if len(of) == 0:
        msg = (
            f"there is nothing to attack: {int(left_out.sum())} of {len(found.images)} images are predicted as the "
            "target already, and the others have no region of 1 to 50 % of their pixels: give other images, or another "
            "target"
        )
        raise ValueError(msg)
    clean = found.images[of]
    moved = found.attacked(attack, clean, wanted[of], where[:, None].to(clean.dtype))
    changed = (moved != clean).any(1)
    succeeded = changed.flatten(1).any(1)  # what failed is returned as it was
    logits = found.predict(moved[succeeded], "predictions under attack") if succeeded.any() else found.logits[:0]
    reached = logits.argmax(1) == wanted[of][succeeded]  # a low probability is not yet the most likely class
    succeeded[succeeded.clone()] = reached
    if not succeeded.any():
        msg = f"none of {len(of)} attacks succeeds with {attack}: raise steps or step_size, or lower probability"
        raise ValueError(msg)
    return Attempts(
        segments=torch.stack(whole),
        left_out=left_out,
        image=of,
        region=where,
        target=wanted[of],
        succeeded=succeeded,
        escaped=int((changed & ~where).flatten(1).any(1).sum()),
        adversarial=moved[succeeded],
        logits=logits[reached],
    )


def targets_of(logits: Tensor, target: int | None) -> Tensor:
    """Return the class (N,) that each image is driven to.

    Args:
        logits: (N, K).
        target: The same class for all, as in the paper; None: each image's runner-up. With two classes it is always the
            other one.

    Raises:
        ValueError: If the target is no class.
    """
    classes = logits.shape[1]
    if target is not None and not 0 <= target < classes:
        msg = f"target must be a class from 0 to {classes - 1}, or null for each image's runner-up; got {target}"
        raise ValueError(msg)
    if target is None or classes == 2:  # noqa: PLR2004 - there is no third class
        return runner_up(logits, logits.argmax(1))
    return torch.full((len(logits),), target)
