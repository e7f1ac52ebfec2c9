"""Attacks on the largest regions of images, one region each."""

import torch
from torch import Tensor

from attacks import LocalizedBIM
from attacks.errors import InputError
from experiments.explanation.recover.overlaps import Attempts
from experiments.explanation.subject import Explained
from saliency.maps import runner_up
from saliency.regions import largest, segments


def attempted(subject: Explained, attack: LocalizedBIM, regions: int, target: int | None) -> Attempts:
    """Attack the largest regions of all images, each on its own.

    Args:
        subject: The classifier and its images.
        attack: A targeted attack.
        regions: Largest number of attacks on an image.
        target: The class to reach; None: each image's runner-up.
    """
    wanted = targets_of(subject.logits, target)
    left_out = wanted == subject.predictions
    images, masks, segmented = [], [], []
    for number in subject.study.progress.track(range(len(subject.images)), description="regions"):
        segmented.append(segments(subject.images[number : number + 1])[0])
        if not left_out[number]:
            masks.append(largest(segmented[-1], regions))
            images.append(torch.full((len(masks[-1]),), number))
    image, region = (torch.cat(parts) if parts else torch.empty(0) for parts in (images, masks))
    if len(image) == 0:
        msg = (
            f"there is nothing to attack: {int(left_out.sum())} of {len(subject.images)} images are predicted as the "
            "target already, and the others have no region of 1 to 50 % of their pixels: give other images, or another "
            "target"
        )
        raise InputError(msg)
    clean = subject.images[image]
    adversarial = subject.attacked(attack, clean, wanted[image], region[:, None].to(clean.dtype))
    changed = (adversarial != clean).any(1)
    succeeded = changed.flatten(1).any(1)  # failed attacks return their images unchanged
    logits = subject.logits[:0]
    if succeeded.any():
        logits = subject.predict(adversarial[succeeded], "predictions under attack")
    reached = logits.argmax(1) == wanted[image][succeeded]  # a low probability is not yet the most likely class
    succeeded[succeeded.clone()] = reached
    if not succeeded.any():
        advice = "lower probability"
        if attack.probability < 0.5:  # noqa: PLR2004 - there the attack may stop while another class is ahead
            advice = "raise probability: below .5 another class may be ahead where the attack stops"
        msg = f"none of {len(image)} attacks succeeds with {attack}: raise steps or step_size, or {advice}"
        raise InputError(msg)
    return Attempts(
        images=subject.images,
        labels=subject.labels,
        clean_logits=subject.logits,
        rows=subject.rows,
        classes=subject.classes,
        segments=torch.stack(segmented),
        left_out=left_out,
        image=image,
        region=region,
        target=wanted[image],
        succeeded=succeeded,
        escaped=int((changed & ~region).flatten(1).any(1).sum()),
        adversarial=adversarial[succeeded],
        logits=logits[reached],
    )


def targets_of(logits: Tensor, target: int | None) -> Tensor:
    """Return the target class (N,) of each image.

    Args:
        logits: (N, K).
        target: The same class for all, as in the paper; None: each image's runner-up. With two classes it is always the
            other one.
    """
    classes = logits.shape[1]
    if target is not None and not 0 <= target < classes:
        msg = f"target must be a class from 0 to {classes - 1}, or null for each image's runner-up; got {target}"
        raise InputError(msg)
    if target is None or classes == 2:  # noqa: PLR2004 - there is no third class
        return runner_up(logits, logits.argmax(1))
    return torch.full((len(logits),), target)
