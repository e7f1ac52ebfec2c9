"""The charts of `evaluate.py similarity`: curves over epsilon, by target, and the controls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from experiments.explanation.similarity import paper
from experiments.explanation.similarity.changes import ANOTHER, SECOND_SEED, Change
from experiments.explanation.similarity.records import METRICS, SimilarityRecords
from experiments.results.bootstrap import Interval
from experiments.results.charts import canvas, gridlines, legend_below, lines_of, png, style

_WIDTH = 13.0


def charts(records: SimilarityRecords) -> dict[str, bytes]:
    """Return Figure 2, Figure 4, and the groups and controls side by side."""
    drawn = {"": curves(records), "controls": controls(records)}
    return drawn | ({"targets": by_target(records)} if records.targeted_methods else {})


def curves(records: SimilarityRecords) -> bytes:
    """Return Figure 2: mean similarity over epsilon, a line for each method, the paper's dashed."""

    def draw(axis: Axes, metric: str) -> None:
        for method in records.methods:
            means = [records.mean(method, metric, attack) for attack in records.settings.untargeted]
            _line(axis, records.settings.epsilons, means, _look(records, method))
        for name, method in records.paper.items():
            colour = _look(records, method)["color"]
            axis.plot(paper.EPSILONS, paper.CURVES[name, metric], "--", color=colour, linewidth=1.4)
        axis.set_xlabel("epsilon (images in [0, 1])")

    more = [Line2D([], [], color="0.3", linestyle="--", label="the paper's, same colour")]
    note = f"Maps of clean images and of those under untargeted FGSM; {_counted(records)}"
    return _lines(records, records.methods, "Similarity under untargeted attacks", note, draw, more)


def by_target(records: SimilarityRecords) -> bytes:
    """Return Figure 4: mean similarity for each target of the targeted attack."""
    names = [records.classes[target] for target in records.settings.targets]

    def draw(axis: Axes, metric: str) -> None:
        for method in records.targeted_methods:
            means = [records.mean(method, metric, attack) for attack in records.settings.targeted]
            _line(axis, range(len(names)), means, _look(records, method))
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right")
        axis.set_xlabel("target")

    epsilon = records.settings.targeted_epsilon
    note = f"Maps of clean images and of those under targeted FGSM of epsilon {epsilon:g}; {_counted(records)}"
    return _lines(records, records.targeted_methods, "Similarity by target", note, draw, [])


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
            for row, method in enumerate(records.methods):
                mean = records.mean(method, metric, change, subset)
                if mean is not None:
                    height, look = row + 0.15 * (place - 2), style(place)
                    axis.plot([mean.low, mean.high], [height, height], color=look["color"], linewidth=1.2)
                    axis.plot([mean.value], [height], markersize=4.5, **look)
        lines_of(axis, records.methods)
        gridlines(axis, "x")
        axis.set_xlabel(title)
    handles = [Line2D([], [], linestyle="", label=name, **style(place)) for place, name in enumerate(groups)]
    size_of = f"FGSM and sign noise of epsilon {epsilon:g}, where the share fooled is nearest to a half"
    legend_below(figure, handles, f"{_counted(records)}; {size_of}", columns=5)
    return png(figure)


def _lines(
    records: SimilarityRecords,
    methods: Sequence[str],
    title: str,
    note: str,
    draw: Callable[[Axes, str], None],
    more: Sequence[Line2D],
) -> bytes:
    """Return a chart for each measure, with a line for each method."""
    figure, axes = canvas(title, (_WIDTH, 5.2), 1, len(METRICS))
    for axis, (metric, name) in zip(axes[0], METRICS.items(), strict=True):
        draw(axis, metric)
        axis.set_title(name, fontsize="medium")
        gridlines(axis)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("mean similarity")
    handles = [Line2D([], [], label=method, **_look(records, method)) for method in methods]
    legend_below(figure, [*handles, *more], note, columns=5)
    return png(figure)


def _line(axis: Axes, places: Sequence[float], means: Sequence[Interval | None], look: Mapping[str, Any]) -> None:
    """Draw what there is of a curve, with its intervals as whiskers."""
    known = [(place, mean) for place, mean in zip(places, means, strict=True) if mean is not None]
    at, values = [place for place, _ in known], [mean.value for _, mean in known]
    axis.plot(at, values, **look)
    axis.vlines(at, [m.low for _, m in known], [m.high for _, m in known], color=look["color"], linewidth=0.8)


def _look(records: SimilarityRecords, method: str) -> dict[str, Any]:
    """Return how a method's line looks: thick where it is one of the paper's."""
    ours = method in records.paper.values()
    width = {"markersize": 5, "linewidth": 2} if ours else {"markersize": 3.5, "linewidth": 1}
    return {**style(records.methods.index(method)), **width, "linestyle": "-"}


def _counted(records: SimilarityRecords) -> str:
    return f"{records.count} images, 95 % intervals"
