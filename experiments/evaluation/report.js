// Sorts the tables of report.html by a column, and narrows those with a column "detector" to one of them.
"use strict";

const rowsOf = (table) => [...table.tBodies[0].rows];
const text = (row, column) => row.cells[column].textContent.trim();

// The first number of "0.93 [0.91, 0.95]", "\u2212.912 \u00b1 .01" or "1e-3 s"; NaN where a text starts with something else.
const number = (value) => parseFloat(value.replace("\u2212", "-"));
const missing = (value) => value === "" || value === "-";

function compare(first, second, numeric) {
  return numeric ? number(first) - number(second) : first.localeCompare(second, "en", { numeric: true });
}

function sort(table, column, descending) {
  const known = rowsOf(table).filter((row) => !missing(text(row, column)));
  const unknown = rowsOf(table).filter((row) => missing(text(row, column)));
  const numeric = known.every((row) => !Number.isNaN(number(text(row, column))));
  known.sort((one, other) => compare(text(one, column), text(other, column), numeric) * (descending ? -1 : 1));
  table.tBodies[0].append(...known, ...unknown);
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(table, column, descending);
    });
  });
}

// "smd, retrained" and "smd (true label)" are rows of smd.
const detectorOf = (row, column) => text(row, column).split(/, | \(/)[0];

function makeNarrowable(tables) {
  const bar = document.getElementById("narrow");
  const [select, output] = [bar.querySelector("select"), bar.querySelector("output")];
  const rows = tables.flatMap((table) => {
    const column = [...table.tHead.rows[0].cells].findIndex((head) => head.textContent.trim() === "detector");
    return column < 0 ? [] : rowsOf(table).map((row) => [row, detectorOf(row, column)]);
  });
  const names = [...new Set(rows.map(([, name]) => name))].filter((name) => !missing(name)).sort();
  select.append(...names.map((name) => new Option(name, name)));
  bar.hidden = names.length < 2;
  select.addEventListener("change", () => {
    rows.forEach(([row, name]) => { row.hidden = select.value !== "" && name !== select.value; });
    const shown = rows.filter(([row]) => !row.hidden).length;
    output.textContent = select.value === "" ? "" : `${shown} of ${rows.length} rows of all tables with detectors`;
  });
}

const tables = [...document.querySelectorAll("table.sortable")];
tables.forEach(makeSortable);
makeNarrowable(tables);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((more) => { more.open = true; }));
