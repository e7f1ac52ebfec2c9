"""The page in headless Chromium: errors, sideways scroll, sorting, narrowing; phone and desk, light and dark."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

import evaluate
from experiments.evaluation.protocols import PROTOCOLS
from experiments.evaluation.report import write_report
from experiments.results.result import Result, Table, write_result
from experiments.training.run_folder import Run
from tests.experiments.studies import copy_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)"),
]

VALUES = ["0.93 [0.91, 0.95]", "0.912 ± 0.010", "-", "-2.5 ms", "10 of 12", "0.0912"]
SMALLEST_FIRST = ["-2.5 ms", "0.0912", "0.912 ± 0.010", "0.93 [0.91, 0.95]", "10 of 12", "-"]
DETECTORS = ["spd", "smd", "id", "smd, retrained", "smd (true label)", "jsd"]
WIDE = [f"a column with a long name {number}" for number in range(30)]

TRIAL = """
const table = [...document.querySelectorAll("table")].find((each) => each.textContent.includes("trial"));
const cells = (column) => [...table.tBodies[0].rows].filter((row) => !row.hidden)
  .map((row) => row.cells[column].textContent);
const button = table.tHead.rows[0].cells[1].querySelector("button");
const sorted = () => { button.click(); return [button.parentElement.getAttribute("aria-sort"), cells(1)]; };
const narrow = document.querySelector("#narrow select");
const narrowed = (name) => { narrow.value = name; narrow.dispatchEvent(new Event("change")); return cells(0).sort(); };
button.focus();
const results = {
  width: innerWidth,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  background: getComputedStyle(document.body).backgroundColor,
  scroll: document.documentElement.scrollWidth,
  scrolling_boxes: [...document.querySelectorAll(".wide")].filter((box) => box.scrollWidth > box.clientWidth).length,
  summary_ends: document.querySelector(".summary").getBoundingClientRect().bottom + scrollY,
  focused: document.activeElement === button,
  names: [...narrow.options].map((option) => option.value),
  unsorted: cells(1), first: sorted(), second: sorted(),
  smd: narrowed("smd"), all: narrowed(""),
};
const shown = Object.assign(document.createElement("pre"), { id: "results", textContent: JSON.stringify(results) });
parent.document.body.append(shown);
"""


@pytest.fixture(scope="module")
def page(finished, tmp_path_factory):
    """The page of a whole evaluation, with a table of known values and a wide one."""
    folder = copy_of(finished, tmp_path_factory.mktemp("browser"))
    assert evaluate.main(["all", "--run", str(folder), "--device", "cpu"]) == 0
    tables = [
        Table("Known", ["detector", "trial"], list(map(list, zip(DETECTORS, VALUES, strict=True)))),
        Table("Wide", WIDE, [[0.5] * len(WIDE)]),
    ]
    known = Result("speed-known", "Known values", "?", "!", {"command": "evaluate.py"}, [{"a": 1}], tables)
    write_result(replace(known, finding="averyveryverylongname" * 12), folder / "report")
    return write_report(Run(folder), list(PROTOCOLS))


def opened(page, width, height, *, dark):
    """Return what the trial finds on the page in a frame of that size, after no message on the console.

    A window of headless Chromium is at least 500 pixels wide, a frame need not be.
    """
    contents = html.escape(page.read_text().replace("</body>", f"<script>{TRIAL}</script></body>"))
    frame = f'<iframe width="{width}" height="{height}" style="border: 0" srcdoc="{contents}"></iframe>'
    trial = page.with_name("trial.html")
    trial.write_text(f'<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark">{frame}')
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    options += [f"--user-data-dir={page.parent / 'profile'}", "--window-size=1600,1000", "--dump-dom"]
    options += ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [CHROMIUM, *options, trial.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)  # noqa: S603
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    (found,) = re.findall(r'<pre id="results">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(found))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_the_page_works(page, width, height, dark):
    found = opened(page, width, height, dark=dark)
    assert (found["width"], found["dark"]) == (width, dark)
    assert found["background"] == ("rgb(15, 19, 24)" if dark else "rgb(255, 255, 255)")
    assert found["scroll"] <= width
    assert found["scrolling_boxes"] > 0
    assert found["focused"]
    assert found["unsorted"] == VALUES
    assert found["first"] == ["ascending", SMALLEST_FIRST]
    assert found["second"] == ["descending", [*SMALLEST_FIRST[-2::-1], "-"]]
    assert {"", "id", "jsd", "smd", "spd"} <= set(found["names"])
    assert found["smd"] == ["smd", "smd (true label)", "smd, retrained"]
    assert found["all"] == sorted(DETECTORS)


def test_the_first_screen_of_a_desk_holds_the_summary(page):
    assert opened(page, 1440, 900, dark=False)["summary_ends"] < 900
