"""Measures of each map: the accuracy recovered by its pixels, and its reaction to the attack."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, get_args

import torch
from torch import Tensor

from experiments.explanation.enhance import names
from experiments.explanation.enhance.attacked_images import BASES, AttackedImages, PredictedImages
from experiments.explanation.enhance.records import (
    AblationRecord,
    ClassPairs,
    EnhanceRecords,
    Leads,
    MapRecord,
    RecoveryCurve,
)
from experiments.results.bootstrap import PlainStatistic, Resampling, Statistic, as_plain, mean_of
from saliency.fill import blur
from saliency.maps import enhance
from saliency.maps.enhanced import Normalisation
from saliency.maps.reduction import reduce
from saliency.recovery import descending
from saliency.similarity import spearman

BLUR: Final = 1 / 16
"""Standard deviation of the blur as a share of the shorter side: it removes the attack's detail, not the object."""

_OWN_BASE: Final = "base of the enhanced"
"""Name of the method whose maps the enhanced method under study subtracts."""

_REPEATED: Final = 8
"""The number of images whose maps are made twice more."""


def _attributions(setting: AttackedImages, name: str, classes: Tensor) -> Tensor:
    """Return a method's attributions (n, C or 1, H, W) of the adversarial images for some classes (n,)."""
    methods = {**BASES, **setting.explained.methods, _OWN_BASE: setting.enhanced.base}
    every = replace(setting.explained, methods=methods)
    return every.attributions(name, setting.adversarial.images, classes, "adversarial")


def base_maps(setting: AttackedImages) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the adversarial images' attributions by every base, for the predicted class and for its rival."""
    classes = setting.adversarial.predictions, setting.adversarial.rivals
    return {
        name: (_attributions(setting, name, classes[0]), _attributions(setting, name, classes[1])) for name in BASES
    }


def measure(setting: AttackedImages, pairs: ClassPairs | None) -> EnhanceRecords:
    """Return all statistics."""
    bases = base_maps(setting)
    true_rival = setting.adversarial.rivals == setting.labels
    was_rival = setting.clean.rivals == setting.adversarial.predictions
    maps = {statistics.record.name: statistics for statistics in map_statistics(setting, bases)}
    ablations = list(_ablations(setting, bases))
    enhanced = maps[names.ENHANCED]
    areas = {record.normalisation: area for record, area in ablations if record.base == names.PLAIN}
    by_channel = areas["channel_energy"]
    return EnhanceRecords(
        **vars(setting.facts),
        maps={name: statistics.beside(enhanced) for name, statistics in maps.items()},
        ablations=[record for record, _ in ablations],
        normalisations={name: by_channel.minus(areas[name]).plain for name in ("maximum", "energy")},
        reactions=reactions_of(maps, setting.resampling),
        leak=maps[names.LABEL_LEAK].recovered.area.minus(enhanced.recovered.area).plain,
        pairs=pairs,
        rivals_true=int(true_rival.sum()),
        exchanged=int((true_rival & was_rival).sum()),
        noise_changes=int((setting.noise.predictions != setting.clean.predictions).sum()),
        repeated=min(_REPEATED, setting.facts.images),
        moved=[name for name in setting.explained.methods if _moves(setting, name)],
    )


class CurveStatistics(NamedTuple):
    """A curve as plain numbers, and its area and best accuracy with their resamples."""

    record: RecoveryCurve
    area: Statistic
    best: Statistic


@dataclass(frozen=True)
class MapStatistics:
    """A method's record, without its leads, and what these are computed from.

    Attributes:
        recovered: The curve of the adversarial images.
        refilled: The same with the other fill.
        reactions: (n,) of the differences in the record's `reaction`, NaN where a map is constant; empty for an oracle.
    """

    record: MapRecord
    recovered: CurveStatistics
    refilled: CurveStatistics
    reactions: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)

    def beside(self, enhanced: "MapStatistics") -> MapRecord:
        """Return the record with the enhanced map's leads."""
        if self is enhanced:
            return self.record
        return replace(
            self.record,
            leads=Leads(
                area=enhanced.recovered.area.minus(self.recovered.area).plain,
                best=enhanced.recovered.best.minus(self.recovered.best).plain,
                refilled_area=enhanced.refilled.area.minus(self.refilled.area).plain,
            ),
        )


def map_statistics(setting: AttackedImages, bases: Mapping[str, tuple[Tensor, Tensor]]) -> Iterator[MapStatistics]:
    """Yield the statistics of each method, then those of the oracles."""
    predicted = setting.adversarial.predictions
    for name in setting.explained.study.progress.track(setting.explained.methods, description="methods"):
        yield _method(setting, bases[name][0] if name in bases else _attributions(setting, name, predicted), name)
    yield _leaking(setting)
    change = reduce(setting.adversarial.images - setting.clean.images, "l1")
    yield _statistics(setting, change, change, names.PERTURBATION, oracle=True)


def _method(setting: AttackedImages, attributions: Tensor, name: str) -> MapStatistics:
    """Return the statistics of a method, from its attributions of the adversarial images."""
    adversarial = reduce(attributions, setting.explained.methods[name].reduction)
    clean, noise, swapped = (
        setting.explained.maps(name, images.images, classes.predictions, about)
        for about, images, classes in (
            ("clean", setting.clean, setting.clean),
            ("noise", setting.noise, setting.noise),
            ("clean, adversarial class", setting.clean, setting.adversarial),
        )
    )
    attacked, noisy, alone = (spearman(clean, other) for other in (adversarial, noise, swapped))
    correlations = {
        "attacked": attacked,
        "noisy": noisy,
        "swapped": alone,
        "reaction": noisy - attacked,
        "beyond_class": alone - attacked,
    }
    means: dict[str, Any] = {
        field: as_plain(mean_of(values, setting.resampling)) for field, values in correlations.items()
    }
    statistics = _statistics(setting, adversarial, clean, name)
    return replace(statistics, record=replace(statistics.record, **means), reactions=noisy - attacked)


def _leaking(setting: AttackedImages) -> MapStatistics:
    """Return the statistics of the enhanced map with the true class as rival; of a clean image, the plain map."""
    method = setting.enhanced
    predicted = _attributions(setting, _OWN_BASE, setting.adversarial.predictions)
    true = _attributions(setting, _OWN_BASE, setting.labels)
    adversarial = reduce(enhance(predicted, true, method.normalisation), method.reduction)
    clean = setting.explained.maps(names.ENHANCED, setting.clean.images, setting.clean.predictions, "clean")
    return _statistics(setting, adversarial, clean, names.LABEL_LEAK, oracle=True)


def _statistics(
    setting: AttackedImages, adversarial: Tensor, clean: Tensor, name: str, *, oracle: bool = False
) -> MapStatistics:
    """Return the curves of maps (n, 1, H, W) of the adversarial and of the clean images."""
    fill, other = setting.facts.fill, names.OTHER_FILL[setting.facts.fill]
    recovered = _curve(setting, setting.adversarial, adversarial, fill, name)
    refilled = _curve(setting, setting.adversarial, adversarial, other, f"{name}, {other}")
    record = MapRecord(
        name=name,
        oracle=oracle,
        recovered=recovered.record,
        refilled=refilled.record,
        clean=_curve(setting, setting.clean, clean, fill, f"{name}, clean").record,
        positive=as_plain(mean_of((adversarial > 0).double().mean((1, 2, 3)), setting.resampling)),
    )
    return MapStatistics(record, recovered, refilled)


def ranks(maps: Tensor) -> Tensor:
    """Return the rank (N, H, W) of each pixel, 0 for the largest value; ties are broken by chance, seeded by the row.

    Args:
        maps: (N, 1, H, W).
    """
    generators = [torch.Generator().manual_seed(row) for row in range(len(maps))]
    return descending(maps.flatten(1), generators).argsort(1).view(len(maps), *maps.shape[2:])


def filling(images: Tensor, fill: names.Fill) -> Tensor:
    """Return the replacements for removed pixels, (N, C, H, W) in [0, 1].

    Args:
        images: (N, C, H, W) in [0, 1].
        fill: mean: the image's mean colour; noise: uniform, seeded by the row; blur: a Gaussian blur of the image.
    """
    if fill == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    if fill == "noise":
        drawn = [
            torch.rand(image.shape, generator=torch.Generator().manual_seed(row)) for row, image in enumerate(images)
        ]
        return torch.stack(drawn) if drawn else images.clone()
    return blur(images, BLUR)


def perturbed(images: Tensor, places: Tensor, share: float, fillings: Tensor) -> Tensor:
    """Return images (N, C, H, W) whose first pixels are replaced, all channels of a pixel together.

    Args:
        images: (N, C, H, W).
        places: (N, H, W), ranks of the pixels.
        share: Share of the pixels to replace, in [0, 1]; their number is rounded.
        fillings: (N, C, H, W), the values that replace them.
    """
    count = round(share * places[0].numel()) if len(places) else 0
    return torch.where((places < count)[:, None], fillings, images)


def _curve(
    setting: AttackedImages, images: PredictedImages, maps: Tensor, fill: names.Fill, about: str
) -> CurveStatistics:
    """Return the accuracy on images whose pixels are perturbed in the order of maps (n, 1, H, W)."""
    places, fillings = ranks(maps), filling(images.images, fill)
    right = []
    for share in setting.facts.shares:
        changed = perturbed(images.images, places, share, fillings)
        logits = setting.explained.predict(changed, f"{about}, {share:.0%}") if share > 0 else images.logits
        right.append(logits.argmax(1) == setting.labels)
    return curve_of(torch.stack(right, 1), setting.facts.shares, setting.resampling)


def curve_of(right: Tensor, shares: Sequence[float], resampling: Resampling) -> CurveStatistics:
    """Return the statistics of a curve.

    Args:
        right: (n, S) bool, whether each image is classified right at each share.
        shares: S, ascending.
        resampling: Draws of the n images.
    """
    values, count = right.double().mean(0), len(right)
    replicates = torch.stack([resampling.mean(column) for column in right.T], 1)
    places = torch.tensor(shares, dtype=torch.float64)
    areas = torch.trapezoid(torch.cat([values[None], replicates]), places) / (shares[-1] - shares[0])
    best = int(values.argmax())
    area, highest = (
        Statistic(value.item(), of_resamples, count)
        for value, of_resamples in ((areas[0], areas[1:]), (values[best], replicates.amax(1)))
    )
    record = RecoveryCurve(
        shares=shares,
        accuracy=[Statistic(values[at].item(), replicates[:, at], count).plain for at in range(len(shares))],
        best=highest.plain,
        best_share=shares[best] if values[best] > 0 else None,
        area=area.plain,
    )
    return CurveStatistics(record, area, highest)


def _ablations(
    setting: AttackedImages, bases: Mapping[str, tuple[Tensor, Tensor]]
) -> Iterator[tuple[AblationRecord, Statistic]]:
    """Yield every base without and with each normalisation, and the area of its curve."""

    def recovered(attributions: Tensor, about: str) -> CurveStatistics:
        return _curve(setting, setting.adversarial, reduce(attributions, "l1"), setting.facts.fill, about)

    for base, (predicted, rival) in bases.items():
        plain = recovered(predicted, base)
        yield AblationRecord(base, None, plain.record, None, 0), plain.area
        for normalisation in get_args(Normalisation):
            enhanced, reverse = enhance(predicted, rival, normalisation), enhance(rival, predicted, normalisation)
            shared = int(((enhanced > 0) & (reverse > 0)).sum())
            curve = recovered(enhanced, f"{base}, {normalisation}")
            gain = curve.area.minus(plain.area).plain
            yield AblationRecord(base, normalisation, curve.record, gain, shared), curve.area


def reactions_of(maps: Mapping[str, MapStatistics], resampling: Resampling) -> dict[str, PlainStatistic]:
    """Return by how much more the enhanced map reacts than each other but random, where neither map is constant."""
    enhanced, left_out = maps[names.ENHANCED], {names.ENHANCED, names.RANDOM}
    ranked = sorted(maps, key=lambda name: -maps[name].recovered.area.value)
    others = [name for name in ranked if not maps[name].record.oracle and name not in left_out]
    apart = {name: mean_of(enhanced.reactions - maps[name].reactions, resampling) for name in others}
    return {name: mean.plain for name, mean in apart.items() if mean is not None}


def _moves(setting: AttackedImages, name: str) -> bool:
    """Whether a method's maps of the first images differ when they are made twice."""
    images, classes = setting.clean.images[:_REPEATED], setting.clean.predictions[:_REPEATED]
    first, second = (setting.explained.attributions(name, images, classes, "again", anew=True) for _ in range(2))
    return not torch.equal(first, second)
