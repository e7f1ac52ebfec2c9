"""Tables, chart and finding of the attacks' strength, from its rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.detection.strength.records import LARGE, NORMS, SUBSETS, StrengthRecords
from experiments.detection.tables import rate_of, table_of
from experiments.results.charts import boxes
from experiments.results.records import Record, Rows
from experiments.results.result import Table
from experiments.results.two_samples import QUANTILES
from experiments.results.verdicts import FEWEST, counted


def tables_of(attacks: Sequence[StrengthRecords], rows: Rows, meta: Mapping[str, Any]) -> list[Table]:
    """Return all tables; the first has success and mean sizes."""
    costs = table_of(
        "Cost per image",
        [vars(records.cost) | {"attack": records.name} for records in attacks],
        {
            "attack": "attack",
            "forward passes": "forward_passes",
            "backward passes": "backward_passes",
            "milliseconds": lambda cost: 1000 * cost["seconds"],
            "settings": lambda cost: meta["attacks"][cost["attack"]],
        },
        f"Mean over {meta['sample_images']} test images attacked as one batch on {meta['device']} with "
        f"{counted(attacks[0].cost.threads, 'threads')}. Times vary between runs; passes do not.",
    )
    return [_overview(rows), *_quantiles(rows), costs]


def _overview(rows: Rows) -> Table:
    by_block: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_block.setdefault((row["attack"], row["subset"]), {})[row["norm"]] = row
    blocks = sorted(by_block.values(), key=lambda block: SUBSETS.index(block["rms"]["subset"]))
    table = table_of(
        "Success and mean size of the changes",
        blocks,
        {
            "attack": lambda block: block["rms"]["attack"],
            "success rate": lambda block: _rate(block["rms"], "success_rate"),
            "images": lambda block: block["rms"]["subset"],
            "n": lambda block: block["rms"]["n"],
            **{title: lambda block, norm=norm: block[norm]["mean"] for norm, title in NORMS.items()},  # type: ignore[misc]
            "success rate after rounding to 8 bits": lambda block: _rate(block["rms"], "success_rate_rounded"),
        },
        f"Success rate: of the {rows[0]['right_before']} images that the classifier gets right, those that it gets "
        "wrong after the attack, predicted anew from the stored images, with its 95 % interval. n: the images that the "
        "sizes are means of. Images in [0, 1]; RMS is L2 over the square root of the number of values, the scale of "
        "the paper's Table 2. Bold: RMS at least .025, L-inf at least .5, as in the paper.",
    )
    bold = [(y, 4 + x) for y, block in enumerate(blocks) for x, norm in enumerate(NORMS) if block[norm]["large"]]
    return replace(table, bold=bold)


def _rate(row: Record, name: str) -> str | None:
    return rate_of(row[name], row["right_before"])


def _quantiles(rows: Rows) -> Iterator[Table]:
    for norm, title in NORMS.items():
        of_norm = sorted((row for row in rows if row["norm"] == norm), key=lambda row: SUBSETS.index(row["subset"]))
        paper = f" Bold: mean at least {LARGE[norm]}, as in the paper." if norm in LARGE else ""
        quantiles = {f"{100 * share:g} %": name for name, share in QUANTILES.items()}
        columns = {"attack": "attack", "images": "subset", "n": "n", "mean": "mean", **quantiles}
        table = table_of(f"{title} of the changes", of_norm, columns, f"Mean and quantiles over the images.{paper}")
        yield replace(table, bold=[(y, 3) for y, row in enumerate(of_norm) if row["large"]])


def chart(rows: Rows, meta: Mapping[str, Any]) -> bytes:
    """Return the L2 and L-inf norms of successful changes as a PNG of boxes."""
    panels = {
        f"{NORMS[norm]} norm of the change, images in [0, 1]": {
            row["attack"]: None if row["n"] == 0 else [*(row[name] for name in QUANTILES), row["mean"]]
            for row in rows
            if (row["norm"], row["subset"]) == (norm, "successful")
        }
        for norm in ("l2", "linf")
    }
    title = f"Successful attacks on {meta['data']}: 5, 25, 50, 75 and 95 % quantiles, mean (diamond)"
    return boxes(title, panels)


def finding(rows: Rows) -> str:
    """Return how many images the attacks turn wrong, and how large their changes are."""
    rates = {row["attack"]: row["success_rate"] for row in rows if row["success_rate"] is not None}
    if not rates:
        return "The classifier gets no test image right, so that no attack can succeed."
    count = rows[0]["right_before"]
    few = f" They decide nothing: it takes {FEWEST}." if count < FEWEST else ""
    return (
        f"The rates are of the {count} images that the classifier gets right.{few} {_ends('success rate', rates)} "
        f"{_sizes(rows)}"
    )


def _ends(what: str, values: Mapping[str, float]) -> str:
    """Return a sentence on the attacks with the lowest and the highest value, or on the only one."""
    if len(values) == 1:
        ((attack, value),) = values.items()
        return f"The {what} of {attack} is {value:.3f}."
    ranked = sorted(values, key=lambda attack: values[attack])
    low, high = (f"{attack} ({values[attack]:.3f})" for attack in (ranked[0], ranked[-1]))
    return f"The lowest {what} is that of {low}, the highest that of {high}."


def _sizes(rows: Rows) -> str:
    successful = [row for row in rows if row["subset"] == "successful" and row["n"]]
    lengths = {row["attack"]: row["median"] for row in successful if row["norm"] == "l2"}
    if not lengths:
        return "No attack fooled an image."
    large = {norm: [row["attack"] for row in successful if row["norm"] == norm and row["large"]] for norm in LARGE}
    beyond = " ".join(
        f"By the paper the changes are large in {NORMS[norm]} for {', '.join(names) or 'none'}."
        for norm, names in large.items()
    )
    return f"{_ends('median L2 of the changes, each of the images that the attack fools,', lengths)} {beyond}"
