"""The charts of `evaluate.py similarity`: curves over epsilon, by target, and the controls."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.explanation.similarity import paper
from experiments.explanation.similarity.changes import ANOTHER, SECOND_SEED, Change
from experiments.explanation.similarity.records import METRICS, SimilarityRecords
from experiments.results.charts import GUIDE, canvas, gridlines, legend_below, lines_of, marks, png, style

_WIDTH = 13.0


def charts(records: SimilarityRecords) -> dict[str, bytes]:
    """Return Figure 2, Figure 4, and the groups and controls side by side."""
    drawn = {"": curves(records), "controls": controls(records)}
    return drawn | ({"targets": by_target(records)} if records.targeted_methods else {})


def curves(records: SimilarityRecords) -> bytes:
    """Return Figure 2: mean similarity over epsilon, a line for each method, the paper's dashed."""
    figure, axes = _lines(records, records.methods, records.settings.untargeted, records.settings.epsilons)
    for metric, axis in axes.items():
        for name, method in records.paper.items():
            colour = _look(records, method)["color"]
            axis.plot(paper.EPSILONS, paper.CURVES[name, metric], "--", color=colour, linewidth=1.4)
        axis.set_xlabel("epsilon (images in [0, 1])")
    handles = [
        *_handles(records, records.methods),
        Line2D([], [], color=GUIDE, ls="--", label="the paper's, same colour"),
    ]
    note = f"Maps of clean images and of those under untargeted FGSM; {_counted(records)}"
    legend_below(figure, handles, note, columns=5)
    return png(figure)


def by_target(records: SimilarityRecords) -> bytes:
    """Return Figure 4: mean similarity for each target of the targeted attack."""
    methods, places = records.targeted_methods, range(len(records.settings.targets))
    figure, axes = _lines(records, methods, records.settings.targeted, places)
    for axis in axes.values():
        axis.set_xticks(
            places, [records.classes[target] for target in records.settings.targets], rotation=40, ha="right"
        )
        axis.set_xlabel("target")
    epsilon = records.settings.targeted_epsilon
    note = f"Maps of clean images and of those under targeted FGSM of epsilon {epsilon:g}; {_counted(records)}"
    legend_below(figure, _handles(records, methods), note, columns=5)
    return png(figure)


def controls(records: SimilarityRecords) -> bytes:
    """Return the mean similarities of fooled images, of the others, and of the controls."""
    epsilon = records.contested
    attack, noise = Change("untargeted", epsilon), Change("sign noise", epsilon)
    groups: dict[str, tuple[Change, str]] = {
        "FGSM, fooled": (attack, "fooled"),
        "FGSM, not fooled": (attack, "not fooled"),
        "sign noise": (noise, "all"),
        "fresh noise in the method": (SECOND_SEED, "all"),
        "another image": (ANOTHER, "all"),
    }
    size = (_WIDTH, 1.6 + 0.42 * len(records.methods))
    figure, axes = canvas("Similarity to the clean image's map", size, 1, len(METRICS), sharey=True)
    for axis, (metric, title) in zip(axes[0], METRICS.items(), strict=True):
        for place, (change, subset) in enumerate(groups.values()):
            means = {
                row + 0.15 * (place - 2): mean
                for row, method in enumerate(records.methods)
                if (mean := records.mean(method, metric, change, subset)) is not None
            }
            marks(axis, means, **style(place), markersize=4.5)
        lines_of(axis, records.methods)
        gridlines(axis, "x")
        axis.set_xlabel(title)
    handles = [Line2D([], [], linestyle="", label=name, **style(place)) for place, name in enumerate(groups)]
    size_of = f"FGSM and sign noise of epsilon {epsilon:g}, where the share fooled is nearest to a half"
    legend_below(figure, handles, f"{_counted(records)}; {size_of}", columns=5)
    return png(figure)


def _lines(
    records: SimilarityRecords, methods: Sequence[str], attacks: Sequence[Change], places: Sequence[float]
) -> tuple[Figure, dict[str, Axes]]:
    """Return a chart for each measure, with a line for each method: its means and, as whiskers, their intervals."""
    figure, axes = canvas(f"Similarity under {attacks[0].kind} attacks", (_WIDTH, 5.2), 1, len(METRICS))
    charts_of = dict(zip(METRICS, axes[0], strict=True))
    for metric, axis in charts_of.items():
        for method in methods:
            means = [records.mean(method, metric, attack) for attack in attacks]
            points = [(place, mean) for place, mean in zip(places, means, strict=True) if mean is not None]
            at, look = [place for place, _ in points], _look(records, method)
            axis.plot(at, [mean.value for _, mean in points], **look)
            axis.vlines(at, [m.low for _, m in points], [m.high for _, m in points], color=look["color"], linewidth=0.8)
        axis.set_title(METRICS[metric], fontsize="medium")
        gridlines(axis)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("mean similarity")
    return figure, charts_of


def _handles(records: SimilarityRecords, methods: Sequence[str]) -> list[Line2D]:
    return [Line2D([], [], label=method, **_look(records, method)) for method in methods]


def _look(records: SimilarityRecords, method: str) -> dict[str, Any]:
    """Return how a method's line looks: thick where it is one of the paper's."""
    ours = method in records.paper.values()
    width = {"markersize": 5, "linewidth": 2} if ours else {"markersize": 3.5, "linewidth": 1}
    return {**style(records.methods.index(method)), **width, "linestyle": "-"}


def _counted(records: SimilarityRecords) -> str:
    return f"{records.count} images, 95 % intervals"
