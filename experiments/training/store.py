"""`train.py store`: list the sets of a store of adversarial images, and delete some to free space."""

import time
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from attacks.checks import at_least, given
from data.decoding.files import shown
from data.store.store import SetFolder, Store
from experiments.parser import Parser

_DAY = 86400


def run_store(arguments: list[str]) -> None:
    """List a store's sets, or delete some of them, by the arguments of `train.py store`.

    Raises:
        UsageError: If they are not accepted.
        FileNotFoundError: If there is no such store.
        ValueError: If a set to delete is unknown.
    """
    parser = Parser(
        prog="train.py store",
        description="List the adversarial sets of a store, those used last first; with --prune or --unused_days, "
        "delete some. What is deleted is made anew when a fit or an evaluation needs it. "
        "Example: python train.py store runs/digits/adversarial --unused_days 30",
    )
    parser.add_argument("folder", type=str, help="The store, for example runs/digits/adversarial.")
    parser.add_argument("--prune", type=str, nargs="+", default=[], help="Names of sets to delete, or their keys.")
    parser.add_argument("--unused_days", type=float, default=None, help="Delete sets not used for so many days.")
    options = parser.parse_args(arguments)
    at_least(0, whole=False, **given(unused_days=options.unused_days))
    store = Store(options.folder)
    show = partial(Console().print, highlight=False, markup=False, soft_wrap=True)
    gone = list({entry.folder: entry for entry in map(store.find, options.prune)}.values())
    if options.unused_days is not None:
        limit = time.time() - options.unused_days * _DAY
        gone += [entry for entry in store.entries() if entry.used < limit and entry not in gone]
    for entry in gone:
        store.remove(entry)
        show(f"deleted {entry.name}, {_size(entry.size)}")
    entries = store.entries()
    for entry in entries:
        show(_lines(entry))
    show(shown(f"{store.folder}: {len(entries)} sets, {_size(sum(entry.size for entry in entries))}"))


def _lines(entry: SetFolder) -> str:
    """Return two lines: name and size, then a description."""
    about = {key: str(entry.about.get(key) or "?") for key in ("data", "split", "attack", "images")}
    complete = "" if entry.shards == entry.wanted else f" ({entry.shards} of {entry.wanted or '?'} shards are there)"
    used = datetime.fromtimestamp(entry.used, UTC).strftime("%Y-%m-%d %H:%M UTC")
    attack = "clean images" if about["attack"] == "none" else about["attack"].replace("targeted=False, ", "")
    return (
        f"{entry.name:<28}{about['images']:>7} images{complete}  {_size(entry.size):>8}  used {used}\n"
        f"    {about['split']} of {about['data']}, {attack}"
    )


def _size(count: int) -> str:
    power = min(max(len(str(count)) - 1, 0) // 3, 4)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
