"""The curves, dots and panels of `evaluate.py similarity`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from experiments.explanation.similarity import paper
from experiments.explanation.similarity.measured import METRICS, Measured
from experiments.explanation.similarity.records import Similarities
from experiments.explanation.similarity.versions import ANOTHER, CLEAN, SECOND_SEED, Version
from experiments.results.bootstrap import Interval
from experiments.results.charts import COLOURS, MARKERS, png
from experiments.results.grids import Panel, grid

_MORE: Final = ("#000000", "#8c564b", "#7f7f7f", "#999933", "#332288", "#882255")
"""Colours after those of the first methods."""


def figures(found: Similarities) -> dict[str, bytes]:
    """Return Figure 2, Figure 4, and the groups and controls side by side."""
    drawn = {"": curves(found), "controls": dots(found)}
    return drawn | ({"targets": by_target(found)} if found.targeted_methods else {})


def curves(found: Similarities) -> bytes:
    """Return Figure 2: mean similarity over epsilon, a line for each method, the paper's dashed."""
    epsilons = found.measured.plan.epsilons

    def draw(axis: Axes, metric: str) -> None:
        for method in found.methods:
            _line(
                axis, epsilons, [found.mean(method, metric, each) for each in found.untargeted], _style(found, method)
            )
        for known, method in found.paper.items():
            colour = _style(found, method)["color"]
            axis.plot(paper.EPSILONS, paper.CURVES[known, metric], "--", color=colour, linewidth=1.4)
        axis.set_xlabel("epsilon (images in [0, 1])")

    more = [Line2D([], [], color="0.3", linestyle="--", label="the paper's, same colour")]
    note = f"Maps of clean images and of those under untargeted FGSM; {_counted(found)}"
    return _panels(found, found.methods, "Similarity under untargeted attacks", note, draw, more)


def by_target(found: Similarities) -> bytes:
    """Return Figure 4: mean similarity for each target of the targeted attack."""
    names = [found.measured.explained.classes[version.target or 0] for version in found.targets]

    def draw(axis: Axes, metric: str) -> None:
        for method in found.targeted_methods:
            means = [found.mean(method, metric, version) for version in found.targets]
            _line(axis, range(len(names)), means, _style(found, method))
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right")
        axis.set_xlabel("target")

    epsilon = found.measured.plan.targeted_epsilon
    note = f"Maps of clean images and of those under targeted FGSM of epsilon {epsilon:g}; {_counted(found)}"
    return _panels(found, found.targeted_methods, "Similarity by target", note, draw, [])


def dots(found: Similarities) -> bytes:
    """Return the mean similarities of fooled images, of the others, and of the controls."""
    epsilon = found.contested
    attack, noise = Version("untargeted", epsilon), Version("sign noise", epsilon)
    groups: dict[str, tuple[Version, str]] = {
        "FGSM, fooled": (attack, "fooled"),
        "FGSM, not fooled": (attack, "not fooled"),
        "sign noise": (noise, "all"),
        "fresh noise in the method": (SECOND_SEED, "all"),
        "another image": (ANOTHER, "all"),
    }

    def draw(axis: Axes, metric: str) -> None:
        for place, (version, subset) in enumerate(groups.values()):
            for row, method in enumerate(found.methods):
                mean = found.mean(method, metric, version, subset)
                if mean is not None:
                    at = row + 0.15 * (place - 2)
                    axis.plot([mean.low, mean.high], [at, at], color=COLOURS[place], linewidth=1.2)
                    axis.plot([mean.value], [at], MARKERS[place], color=COLOURS[place], markersize=4.5)
        axis.set_yticks(range(len(found.methods)), found.methods)
        axis.set_ylim(len(found.methods) - 0.5, -0.5)
        axis.grid(axis="x", color="0.9")
        axis.set_axisbelow(True)

    handles = [
        Line2D([], [], color=COLOURS[place], marker=MARKERS[place], linestyle="", label=name)
        for place, name in enumerate(groups)
    ]
    note = f"{_counted(found)}; FGSM and sign noise of epsilon {epsilon:g}, where the share fooled is nearest to a half"
    figure, axes = _figure("Similarity to the clean image's map", 1.6 + 0.42 * len(found.methods), sharey=True)
    for axis, (metric, title) in zip(axes, METRICS.items(), strict=True):
        draw(axis, metric)
        axis.set_xlabel(title)
    _legend(figure, handles, note, columns=5)
    return png(figure)


def _panels(
    found: Similarities,
    methods: Sequence[str],
    title: str,
    note: str,
    draw: Callable[[Axes, str], None],
    more: Sequence[Line2D],
) -> bytes:
    """Return a figure of a panel for each measure."""
    figure, axes = _figure(title, 5.2, sharey=False)
    for axis, (metric, name) in zip(axes, METRICS.items(), strict=True):
        draw(axis, metric)
        axis.set_title(name, fontsize="medium")
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("mean similarity")
    handles = [Line2D([], [], label=method, **_style(found, method)) for method in methods]
    _legend(figure, [*handles, *more], note, columns=5)
    return png(figure)


def _figure(title: str, height: float, *, sharey: bool) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(13, height), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, len(METRICS), squeeze=False, sharey=sharey)[0]
    figure.suptitle(title)
    return figure, axes


def _legend(figure: Figure, handles: Sequence[Line2D], note: str, columns: int) -> None:
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=columns,
        fontsize="small",
        title=note,
        title_fontsize="small",
        frameon=False,
    )


def _line(axis: Axes, places: Sequence[float], means: Sequence[Interval | None], style: Mapping[str, Any]) -> None:
    """Draw what there is of a curve, with its intervals as whiskers."""
    known = [(place, mean) for place, mean in zip(places, means, strict=True) if mean is not None]
    at, values = [place for place, _ in known], [mean.value for _, mean in known]
    axis.plot(at, values, **style)
    axis.vlines(at, [m.low for _, m in known], [m.high for _, m in known], color=style["color"], linewidth=0.8)


def _style(found: Similarities, method: str) -> dict[str, Any]:
    """Return how a method's line looks: thick where it is one of the paper's."""
    number, ours = found.methods.index(method), method in found.paper.values()
    colours = (*COLOURS, *_MORE)
    return {
        "color": colours[number % len(colours)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 5 if ours else 3.5,
        "linewidth": 2 if ours else 1,
        "linestyle": "-",
    }


def _counted(found: Similarities) -> str:
    return f"{len(found.measured.explained.images)} images, 95 % intervals"


def panels(measured: Measured) -> dict[str, bytes]:
    """Return a picture of each image shown: its versions over the maps of every method."""
    return {f"maps_{number + 1}": _picture(measured, number) for number in range(len(measured.rows))}


def _picture(measured: Measured, number: int) -> bytes:
    explained, row = measured.explained, int(measured.rows[number])
    label = int(explained.labels[row])
    versions = [CLEAN, *(Version("untargeted", epsilon) for epsilon in measured.plan.epsilons)]
    rows = [("image", [_image(measured, version, number) for version in versions])]
    rows += [
        (_wrapped(name), [_map(measured.shown[name, version][number]) for version in versions])
        for name in explained.methods
    ]
    note = (
        "Under an image the class predicted, red where it is not the clean image's; each map is of that class, and "
        "scaled by its own largest absolute value, which stands under it: with sign, blue is below 0 and red above; "
        "without, dark is 0."
    )
    title = f"Image {int(explained.rows[row])}, {explained.classes[label]}, under untargeted FGSM"
    columns = ["clean", *(f"epsilon {epsilon:g}" for epsilon in measured.plan.epsilons)]
    return grid(title, columns, rows, note, size=1.05)


def _image(measured: Measured, version: Version, number: int) -> Panel:
    row = measured.rows[number]
    predicted = int(measured.predictions[version][row])
    caption = measured.explained.classes[predicted]
    image = measured.pictures[version][number]
    return Panel(image, caption, warns=predicted != int(measured.explained.predictions[row]))


def _map(values: Tensor) -> Panel:
    """Return a map scaled by its own maximum, on a scale that is symmetric where it has a sign."""
    most = values.abs().max().item()
    scaled = values / (most or 1.0)
    if scaled.min() < 0:
        return Panel(scaled, f"{most:.2g}", low=-1.0, high=1.0, colours="RdBu_r")
    return Panel(scaled, f"{most:.2g}", colours="viridis")


def _wrapped(name: str) -> str:
    """Return a method's name in lines as short as a panel is high."""
    return name.replace("_", "\n", 1).replace("_", " ")
