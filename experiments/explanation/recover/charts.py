"""The chart of the paper's Figure 4: recovery over the size of the explanation."""

from typing import Any, Final

from experiments.explanation.recover.records import LEARNT, PERTURBATION, RANDOM, THREE, UNIONS, RecoverRecords
from experiments.results.charts import COLOURS, CONTROLS, band, canvas, gridlines, legend_right, png, style

_CONTROLS: Final = dict(zip((PERTURBATION, RANDOM), CONTROLS, strict=True))
_BOLD: Final = (*THREE, LEARNT)


def curves(records: RecoverRecords) -> bytes:
    """Return Jaccard index and likeness over the unions, of one example and as means with their intervals."""
    places = list(range(1, UNIONS + 1))
    title = "Recovery of attacked regions over the size of the explanation"
    figure, axes = canvas(title, (12.5, 8), 2, 2, sharex=True, sharey="row")
    for (one, mean), (measure, label) in zip(
        axes, {"jaccard": "Jaccard index", "likeness": "likeness"}.items(), strict=True
    ):
        for name in records.methods:
            means, look = records.of_union(name, measure), _look(name, list(records.methods))
            one.plot(places, records.example[name][measure], label=name, **look)
            mean.plot(places, [ends.value for ends in means], label=name, **look)
            if name in {*_CONTROLS, *_BOLD}:
                band(mean, places, means, look["color"])
        one.set_ylabel(label)
    axes[0, 0].set_title("one adversarial image", fontsize="medium")
    axes[0, 1].set_title(f"mean of {records.explanations}, with 95 % intervals", fontsize="medium")
    for axis in axes.flat:
        gridlines(axis)
        axis.set_xticks([1, 5, 10, 15, UNIONS])
    figure.supxlabel("number n of LIME's superpixels; all explanations are as large as their union", fontsize="medium")
    legend_right(figure, axes[0, 0])
    return png(figure)


def _look(name: str, names: list[str]) -> dict[str, Any]:
    """Return how a method is drawn: the paper's and the learnt model thick, controls grey and dashed."""
    if name in _CONTROLS:
        return {"color": _CONTROLS[name], "linestyle": "--", "linewidth": 1.8}
    if name in _BOLD:
        return {"color": COLOURS[_BOLD.index(name)], "linewidth": 2.4}
    number = [other for other in names if other not in {*_BOLD, *_CONTROLS}].index(name)
    dashes = (":", "-.")[number // len(COLOURS) % 2]
    return {**style(number), "linewidth": 1.0, "linestyle": dashes, "markersize": 3}
