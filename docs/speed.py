"""Tables of benchmarks.md from what the scripts of `benchmarks/` wrote with `--json`, kept in docs/results/speed."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from experiments.results.text import markdown_table

FOLDER: Final = Path(__file__).parent / "results" / "speed"

SUBJECTS: Final = {
    "digits": "digits",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "assira": "112x112",
    "photographs": "224x224, EfficientNet-Lite0",
}

TITLES: Final = {
    "fgsm": "FGSM",
    "bim": "BIM",
    "mim": "MIM",
    "pgd": "PGD",
    "deepfool": "DeepFool",
    "jsma": "JSMA",
    "cw": "C&W 5 x 200",
    "cw-1000": "C&W 5 x 1000",
    "localized": "localized BIM",
}

_BESIDE: Final = ("attack", "images", "images/s", "fastest peer", "images/s", "**ratio**", "fooled", "mean norm")

EQUAL: Final = 0.05
"""Two libraries are equal if neither share of fooled images nor mean norm differs by more than this (relative)."""

Row = Mapping[str, Any]
Group = Sequence[Row]
"""The rows of one comparison: the same attack, network and number of images."""


class Speed:
    """What the benchmarks printed, as the template asks for it.

    Args:
        folder: Of the JSON files.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._kept = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}

    def kept(self, name: str) -> Mapping[str, Any]:
        """Return the contents of a file: meta, rows and what the script adds."""
        contents: Mapping[str, Any] = self._kept[name]
        return contents

    def fastest(self) -> str:
        """Return the first table: each attack beside the fastest other library that gives equal images."""
        groups = {_key(group[0]): group for group in self._groups() if group[0]["images"] == group[0]["asked"]}
        return markdown_table(_BESIDE, [line for group in groups.values() if (line := _beside(group))])

    def fastest_on_gpu(self) -> str:
        """Return the same of the GPU."""
        rows = [{**row, "subject": "mnist", "batch": row["images"]} for row in self._kept["gpu"]["attacks"]]
        return markdown_table(_BESIDE, [line for group in _grouped(rows) if (line := _beside(group))])

    def white_box_on_gpu(self) -> str:
        """Return the table of each detector's strongest white-box attack on the GPU; empty if none was kept."""
        strongest: dict[str, Row] = {}
        for row in self._kept["gpu"]["white_box"]:
            if row["detector"] not in strongest or row["sr_at_5"] > strongest[row["detector"]]["sr_at_5"]:
                strongest[row["detector"]] = row
        lines = [[name, row["attack"], f"{row['sr_at_5']:.2f}", row["n"]] for name, row in strongest.items()]
        return markdown_table(["detector", "strongest attack", "SR@5", "images"], lines) if lines else ""

    def front(self, subject: str) -> str:
        """Return the table of speed against length of Carlini and Wagner's problem."""
        header = ["", "images/s", "mean L2", "10 / 50 / 90 %", "passes", "ours at equal or smaller L2"]
        lines = [
            [
                row["contender"],
                _speed(row),
                f"{row['l2']:.4f}",
                " / ".join(f"{value:.3f}" for value in row["l2_quantiles"]),
                f"{row['forward'] + row['backward']:.1f}",
                "" if row["contender"].startswith("ours") else _ratio(row),
            ]
            for row in self._kept[f"{subject}_front"]["rows"]
        ]
        return markdown_table(header, lines)

    def rounding(self) -> str:
        """Return the table of images that a file of 8 bits can hold."""
        sets = [self._kept[f"{subject}_rounding"]["rows"] for subject in ("mnist", "cifar10")]
        header = ["", "MNIST: fooled", "mean L2", "passes", "CIFAR-10: fooled", "mean L2", "passes"]
        lines = [
            [rows[0]["contender"], *(cell for row in rows for cell in _effect(row))] for rows in zip(*sets, strict=True)
        ]
        return markdown_table(header, lines)

    def white_box(self, name: str) -> str:
        """Return the table of white-box attacks on detectors at equal passes."""
        rows = self._kept[name]["rows"]
        won: dict[tuple[str, str], list[float]] = {}
        for row in rows:
            won.setdefault((row["detector"], row["attack"]), []).append(row["success"])
        lines = [
            [detector, attack, *(f"{share:.2f}" for share in shares), f"{sum(shares) / len(shares):.3f}"]
            for (detector, attack), shares in won.items()
        ]
        passes = dict.fromkeys(row["passes"] for row in rows)
        return markdown_table(["detector", "attack", *(f"{count} passes" for count in passes), "mean"], lines)

    def epochs(self) -> str:
        """Return the table of what an epoch of a detector costs."""
        header = ["detector", "clean pairs, s", "from the store, s", "ratio", "attacked on the fly, s", "ratio"]
        return markdown_table(header, [_epoch(row) for row in self._kept["epochs"]["rows"]])

    def loading(self) -> str:
        """Return the table of loading images."""
        rows = self._kept["loading"]["rows"]
        lines = [[row["what"], "-" if row["workers"] is None else row["workers"], _speed(row)] for row in rows]
        return markdown_table(["", "workers", "images/s"], lines)

    def workflow(self) -> str:
        """Return the table of what the demo's commands cost, in an earlier checkout and in this one."""
        costs: dict[str, list[Row]] = {}
        for row in self._kept["workflow"]["rows"]:
            costs.setdefault(row["command"], []).append(row)
        lines = [
            [
                name,
                *(f"{cost['cpu']:.0f}" for cost in (before, now)),
                f"**{before['cpu'] / now['cpu']:.1f}x**",
                *(f"{cost['wall']:.0f}" for cost in (before, now)),
                f"{now['peak_mib']:.0f}",
            ]
            for name, (before, now) in costs.items()
        ]
        header = ["command", "CPU seconds, before", "now", "**ratio**", "seconds, before", "now", "peak MiB"]
        return markdown_table(header, lines)

    def memory(self) -> str:
        """Return the table of the most memory that an evaluation holds."""
        rows = self._kept["memory"]["rows"]
        header = ["command", "test images", "peak MiB"]
        return markdown_table(
            header, [[row["protocol"], f"{row['images']:,}", f"{row['peak_mib']:,.0f}"] for row in rows]
        )

    def everything(self) -> str:
        """Return all rows of attacks beside their peers."""
        header = ["attack", "images", "library", "images/s", "ours is", "fooled", "norm", "passes", "MiB"]
        groups = (sorted(group, key=lambda row: not row["contender"].startswith("ours")) for group in self._groups())
        return markdown_table(header, [_full(row, row is group[0]) for group in groups for row in group])

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield date and command of each file that holds attacks beside peers."""
        for contents in self._kept.values():
            if "subject" in contents["meta"]:
                yield contents["meta"]["date"], contents["meta"]["command"]

    def _groups(self) -> list[Group]:
        """Return the comparisons of attacks, by attack and data set; those with the other core idle come last."""
        groups: list[Group] = []
        for contents in self._kept.values():
            meta = contents["meta"]
            about = {key: meta.get(key) for key in ("subject", "batch")}
            about |= {
                "asked": int(meta["images"]) if "subject" in meta else 0,
                "busy": "busy" in meta.get("device", ""),
            }
            groups += _grouped(row | about for row in contents.get("rows", ()) if row.get("comparison") in TITLES)
        return sorted(groups, key=lambda group: (*_place(group[0]), not group[0]["busy"]))


def _place(row: Row) -> tuple[int, int, int]:
    return list(TITLES).index(row["comparison"]), list(SUBJECTS).index(row["subject"]), row["images"]


def _key(row: Row) -> tuple[Any, ...]:
    return row["comparison"], row["subject"], row["images"]


def _grouped(rows: Iterable[Row]) -> list[Group]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(_key(row), []).append(row)
    return list(groups.values())


def _names(rows: Iterable[Row], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


def _beside(group: Group) -> list[str] | None:
    """Return ours beside the fastest equal library; None if no other one was measured."""
    ours = next(row for row in group if row["contender"] == "ours")
    peers = [row for row in group if row["contender"].partition(",")[0] not in {"ours", "bare loop"}]
    equal = [row for row in peers if _is_equal(row, ours)]
    longer = [row for row in peers if row["success"] >= ours["success"] - EQUAL and _norm(row)[1] >= _norm(ours)[1]]
    if not (equal or longer):
        return None
    peer = max(equal or longer, key=lambda row: row["images_per_second"])
    name, norm = _norm(ours)
    both = [f"{ours['success']:.3f} / {peer['success']:.3f}", f"{name} {norm:.4g} / {_norm(peer)[1]:.4g}"]
    start = [TITLES[ours["comparison"]], f"{SUBJECTS[ours['subject']]}, {ours['images']}", _speed(ours)]
    return [*start, peer["contender"], _speed(peer), f"**{_ratio(peer)}**", *both]


def _is_equal(row: Row, ours: Row) -> bool:
    norm, own = _norm(row)[1], _norm(ours)[1]
    return abs(row["success"] - ours["success"]) <= EQUAL and math.isclose(norm, own, rel_tol=EQUAL)


def _norm(row: Row) -> tuple[str, float]:
    """Return the name and the mean of the norm that an attack keeps small."""
    name = "l0" if row["comparison"] == "jsma" and "l0" in row else "l2"
    return name.upper(), row[name]


def _speed(row: Row) -> str:
    value: float = row["images_per_second"]
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def _ratio(row: Row) -> str:
    """Return how many times as fast ours is: the median of the rounds, the lowest and the highest."""
    if not row["ratio"]:
        return "-"
    median, *ends = row["ratio"]
    return f"{median:.2f}x" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else "")


def _effect(row: Row) -> list[str]:
    return [f"{row['success']:.3f}", f"{row['l2']:.4f}", f"{row['forward'] + row['backward']:.1f}"]


def _epoch(row: Row) -> list[str]:
    times = [f"{row['store']:.2f}", f"{row['store'] / row['clean']:.2f}x"]
    return [row["detector"], f"{row['clean']:.2f}", *times, f"{row['fly']:.2f}", f"{row['fly'] / row['clean']:.2f}x"]


def _full(row: Row, first: bool) -> list[str]:  # noqa: FBT001 - of a group
    idle = "" if row["busy"] else ", idle core"
    about = [TITLES[row["comparison"]], f"{SUBJECTS[row['subject']]}, {row['images']}{idle}"] if first else ["", ""]
    passes = f"{row['forward']:.0f}+{row['backward']:.0f}"
    norm = f"{_norm(row)[1]:.4g}"
    measured = [_speed(row), _ratio(row), f"{row['success']:.3f}", norm, passes, f"{row['peak_mib']:.0f}"]
    return [*about, row["contender"], *measured]
