"""All figures of a result's file held against the ones that are expected: a figure that nobody expects is wrong."""

import re

import pytest

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d,]*\d|\d)?(?:\.\d+)?(?:e[-+]?\d+)?(?![\w%])")
FRACTION = re.compile(r"(?<![\w.])[-+]?\d*\.\d{3}(?!\d)")


def numbers(text, kind=NUMBER):
    """The numbers in a text, with how far each may be off by rounding."""
    found = [each.group().replace(",", "") for each in kind.finditer(text) if any(map(str.isdigit, each.group()))]
    return [(float(each), 0.51 * 10 ** -len(each.partition(".")[2])) for each in found]


def differences(shown, expected, path="", exempt=()):
    """Yield where something shown is not what is expected; a text counts by the numbers in it.

    Args:
        shown: Plain values, nested.
        expected: The same, with a tuple of numbers in place of a text that has some; texts without any may be missing.
        path: Where it stands.
        exempt: Keys that are left out.
    """
    if isinstance(shown, dict):
        yield from (f"{path}/{key} is missing" for key in (expected or {}).keys() - shown.keys())
        for key in shown.keys() - set(exempt):
            yield from differences(shown[key], (expected or {}).get(key), f"{path}/{key}", exempt)
    elif isinstance(shown, list):
        known = list(expected or ()) or [None] * len(shown)
        if len(known) != len(shown):
            yield f"{path}: {len(shown)} values, expected {len(known)}"
        for place, (value, wanted) in enumerate(zip(shown, known, strict=False)):
            yield from differences(value, wanted, f"{path}/{place}", exempt)
    elif not (_same_text(path, shown, expected) if isinstance(shown, str) else _same(shown, expected)):
        yield f"{path}: {shown!r}, expected {expected}"


def _same_text(path, shown, expected):
    if isinstance(expected, str):
        return shown == expected
    found, wanted = numbers(shown, FRACTION if path.endswith("/note") else NUMBER), expected or ()
    return len(found) == len(wanted) and all(abs(a - b) <= off for (a, off), b in zip(found, wanted, strict=True))


def _same(shown, expected):
    if shown is None or isinstance(shown, bool) or expected is None or isinstance(expected, tuple):
        return shown == expected or isinstance(shown, bool)
    return shown == pytest.approx(expected, rel=1e-5, abs=2e-6)


def all_expected(contents, expected):
    """Fail unless every number in the meta data, the rows and the tables is the expected one; titles have none."""
    tables = contents["report"]["tables"]
    assert [each["title"] for each in tables] == list(expected["tables"])
    shown = {
        "meta": {
            key: value for key, value in contents["meta"].items() if key not in WORDS and not isinstance(value, str)
        },
        "rows": contents["rows"],
        "tables": {each["title"]: {"rows": each["rows"], "note": each["note"]} for each in tables},
    }
    notes = expected["notes"]
    wanted = {title: {"rows": rows, "note": notes.get(title)} for title, rows in expected["tables"].items()}
    known = {"meta": expected["meta"], "rows": expected["rows"], "tables": wanted}
    wrong = list(differences(shown, known))
    assert not wrong, "\n".join(wrong)


WORDS = {"versions", "command", "checkpoints", "run", "attacks", "suite", "fields", "knowledge"}
"""Meta data whose numbers are part of names, versions and settings as they were typed."""
