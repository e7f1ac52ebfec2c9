"""`benchmark`: the commands of `evaluate.py` for one detector, in one call."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from attacks import BIM, FGSM, MIM, Attack, DeepFool, WarmCarliniWagnerL2
from attacks.checks import one_of
from attacks.errors import InputError, unknown
from data import ImageData
from experiments.benchmark.card import card_of
from experiments.benchmark.given import GivenData, GivenTensors, as_it_was, given_classifier, given_study
from experiments.benchmark.report import Report, figures_of
from experiments.detection.corruptions.protocol import corruptions
from experiments.detection.speed.protocol import speed
from experiments.detection.transfer.protocol import transfer
from experiments.results.result import Result
from experiments.study.study import Study
from experiments.study.user_modules import GivenDetector
from experiments.white_box.plan import PresetName
from experiments.white_box.protocol import white_box

Options = Mapping[str, Mapping[str, Any]]

PROTOCOLS: Final[Mapping[str, Callable[..., Result]]] = {
    "transfer": transfer,
    "corruptions": corruptions,
    "speed": speed,
    "white-box": white_box,
}

PRESETS: Final[Mapping[PresetName, Options]] = {
    "quick": {
        "transfer": {"resamples": 200},
        "corruptions": {"images": 100},
        "speed": {"repeats": 10},
        "white-box": {"images": 50},
    },
    "standard": {},
    "thorough": {"corruptions": {"images": 1000}, "speed": {"repeats": 100}, "white-box": {"images": 500}},
}
"""Options of the protocols; others keep their defaults, and `white-box` gets the preset of that name as well."""


def benchmark(
    detector: GivenDetector,
    classifier: str | nn.Module,
    data: GivenData,
    preset: PresetName = "standard",
    *,
    epsilon: float | None = None,
    attacks: Mapping[str, Attack] | None = None,
    options: Options | None = None,
    device: torch.device | str | None = None,
    verbose: bool = False,
) -> Report:
    """Return a detector's detection rates, its cost, and the success of attacks that know it.

    A detector with a method `fit` is fitted to clean images (split detector_train). Thresholds at 5 % false positives
    come from the calibration split. `transfer` measures attacks that do not know the detector, `corruptions` false
    positives on benign changes, `speed` latency, and `white-box` the worst case of attacks that know it.

    Args:
        detector: A module or function from images (N, C, H, W) in [0, 1] to scores (N,), higher = more adversarial; a
            class; or the path of a checkpoint (.ckpt), class or function. A class, or what a path names, is called with
            what it takes of `classifier`, `saliency` (None) and `second` (None). Fitted in place.
        classifier: The attacked classifier, logits (N, K): a module, or a checkpoint, class or function by its path.
        data: An `ImageData`; or images (M, C, H, W), uint8 or float in [0, 1], and labels (M,), on which the classifier
            was not trained: 40 % fit the detector, 20 % are for calibration and 40 % for tests.
        preset: quick, standard or thorough; see `PRESETS`.
        epsilon: L-inf budget of the attacks, in (0, 1]; None: 8/255 for colour images, 0.1 for grey ones.
        attacks: Those that do not know the detector, by name; None: FGSM, BIM and MIM within epsilon, DeepFool and
            Carlini & Wagner's L2 attack with their default options.
        options: Of `transfer`, `corruptions`, `speed` and `white-box`, by name, as the commands take them.
        device: Where to compute; modules are moved there. None: where the classifier's weights are.
        verbose: Whether to show progress and remarks.

    Raises:
        TypeError: If detector or classifier is of another kind.
        ValueError: If an option is unknown or out of its range, the modules do not take the images, or there are fewer
            than 19 calibration images.
    """
    one_of(tuple(PRESETS), preset=preset)
    chosen = _options(preset, options or {})
    with as_it_was(detector, classifier), TemporaryDirectory() as folder:
        attacked = given_classifier(classifier, None if device is None else torch.device(device), data)
        images = data if isinstance(data, ImageData) else GivenTensors(*data, classes=attacked.classes)
        images.prepare_data()
        images.setup()
        epsilon = (8 / 255 if images.shape[0] == 3 else 0.1) if epsilon is None else epsilon  # noqa: PLR2004 - RGB
        unaware = _unaware(epsilon) if attacks is None else attacks
        with Progress(transient=True, console=Console(quiet=not verbose)) as progress:
            study = given_study(detector, attacked, images, unaware, Path(folder), progress)
            chosen["white-box"] = {"preset": preset, "epsilon": epsilon, **chosen["white-box"]}
            results = {name: _result(study, name, chosen[name]) for name in PROTOCOLS}
        figures = figures_of(results)
        return Report(study.own[0].name, figures, card_of(study, study.own[0], preset, results, figures), results)


def _unaware(epsilon: float) -> dict[str, Attack]:
    """Return the default attacks that do not know the detector."""
    return {
        "fgsm": FGSM(epsilon=epsilon),
        "bim": BIM(epsilon=epsilon, step_size=epsilon / 5, steps=10),
        "mim": MIM(epsilon=epsilon, step_size=epsilon / 5, steps=10, decay=1.0),
        "deepfool": DeepFool(),
        "cw": WarmCarliniWagnerL2(),
    }


def _options(preset: PresetName, changes: Options) -> dict[str, dict[str, Any]]:
    """Return the options of each protocol, those given over those of the preset."""
    for name, of_protocol in changes.items():
        if name not in PROTOCOLS:
            msg = f"options: {unknown('protocol', name, PROTOCOLS)}"
            raise InputError(msg)
        options = list(signature(PROTOCOLS[name]).parameters)[1:]
        for option in of_protocol:
            if option not in options:
                msg = f"options of {name}: {unknown('option', option, options)}"
                raise InputError(msg)
    return {name: {**PRESETS[preset].get(name, {}), **changes.get(name, {})} for name in PROTOCOLS}


def _result(study: Study, name: str, options: Mapping[str, Any]) -> Result:
    """Return a protocol's result; its meta data name no run."""
    result = PROTOCOLS[name](study, **options)
    return replace(result, meta={**result.meta, "run": None})
