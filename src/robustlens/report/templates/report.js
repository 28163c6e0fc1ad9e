// What the page can do beyond being read: sort, filter and copy its tables, and enlarge its figures. Every control is made
// here, so that none is dead where scripts don't run.
"use strict";

const FEWEST_TO_SORT = 3;
const FEWEST_TO_FILTER = 8;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// A table's rows by the line that opens their group (null above the first of them).
function groupsOf(body) {
  const groups = [{ opens: null, rows: [] }];
  for (const row of body.rows) {
    if (row.classList.contains("group")) groups.push({ opens: row, rows: [] });
    else groups.at(-1).rows.push(row);
  }
  return groups;
}

// Sorting ---------------------------------------------------------------------------------------------------------------

// The number that a cell begins with, NaN where there is none.
function numberIn(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value.replace("inf", "Infinity"));
  const text = cell.textContent.trim().replace(/^\u2212/, "-").replace("\u221e", "Infinity");
  return Number.parseFloat(text.replace(/,(?=\d{3})/g, ""));
}

// Compares rows by a column: as numbers if most of its cells that are not missing are, else as words. Missing ones are last.
function comparison(rows, column, direction) {
  const missing = (row) => ["", "\u2013"].includes(row.cells[column].textContent.trim());
  const present = rows.filter((row) => !missing(row));
  const numeric = column > 0 && present.filter((row) => !Number.isNaN(numberIn(row.cells[column]))).length * 2 > present.length;
  const absent = (row) => missing(row) || (numeric && Number.isNaN(numberIn(row.cells[column])));
  return (a, b) => {
    if (absent(a) || absent(b)) return absent(a) - absent(b);
    if (numeric) {
      const [x, y] = [a, b].map((row) => numberIn(row.cells[column]));
      return x === y ? 0 : direction * (x < y ? -1 : 1);
    }
    const [x, y] = [a, b].map((row) => row.cells[column].textContent.trim());
    return direction * x.localeCompare(y, "en", { numeric: true });
  };
}

// A click sorts downwards, the next one upwards, the third restores the order of the report; groups stay together.
function makeSortable(table) {
  const body = table.tBodies[0];
  const groups = groupsOf(body);
  const headers = [...table.tHead.rows].at(-1).cells;
  const next = { none: "descending", descending: "ascending", ascending: "none" };
  [...headers].forEach((header, column) => {
    const button = element("button", { type: "button", className: "sort", title: "Sort" }, ...header.childNodes);
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const order = next[header.getAttribute("aria-sort")];
      for (const each of headers) each.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", order);
      for (const { opens, rows } of groups) {
        const sorted = [...rows];
        if (order !== "none") sorted.sort(comparison(rows, column, order === "ascending" ? 1 : -1));
        body.append(...(opens ? [opens] : []), ...sorted);
      }
    });
  });
}

// Filtering -------------------------------------------------------------------------------------------------------------

// A field that leaves the rows which have, or whose group has, every word in it.
function filterOf(table, name) {
  const groups = groupsOf(table.tBodies[0]);
  const count = groups.flatMap((group) => group.rows).length;
  const field = element("input", { type: "search", placeholder: "Filter rows", ariaLabel: `Filter the rows of ${name}` });
  const told = element("output", { className: "told" });
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const { opens, rows } of groups) {
      for (const row of rows) {
        const text = `${opens?.textContent ?? ""} ${[...row.cells].map((cell) => cell.textContent).join(" ")}`.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        left += !row.hidden;
      }
      if (opens) opens.hidden = rows.every((row) => row.hidden);
    }
    told.textContent = words.length ? `${left} of ${count} rows` : "";
  });
  return [field, told];
}

// Copying ---------------------------------------------------------------------------------------------------------------

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {  // not allowed, or not there: the way of older browsers
    const field = element("textarea", { value: text, className: "aside" });
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}

function copyButton(kind, source, name, told) {
  const button = element("button", { type: "button", ariaLabel: `Copy ${name} as ${kind}` }, kind);
  button.addEventListener("click", async () => {
    const copied = await copy(source.textContent);
    button.focus();
    told.textContent = copied ? `${kind} copied` : `Not copied: open "Behind this table" and copy it there`;
  });
  return button;
}

function copyButtons(figure, name) {
  const told = element("output", { className: "told" });
  const sources = [...figure.querySelectorAll("[data-copy]")].map((part) => [part.dataset.copy, part.querySelector("pre")]);
  const cited = document.getElementById(figure.dataset.bibtex);
  if (cited) sources.push(["BibTeX", cited.querySelector("pre")]);
  return [element("span", {}, "Copy"), ...sources.map(([kind, source]) => copyButton(kind, source, name, told)), told];
}

for (const figure of document.querySelectorAll("figure.table")) {
  const table = figure.querySelector("table");
  const number = figure.querySelector(".number"); // the lists of claims have none
  const name = (number ?? figure.querySelector("figcaption")).textContent;
  const rows = table.tBodies[0].querySelectorAll("tr:not(.group)").length;
  const tools = element("div", { className: "tools" });
  if (rows >= FEWEST_TO_SORT) makeSortable(table);
  if (rows >= FEWEST_TO_FILTER) tools.append(...filterOf(table, name));
  tools.append(...copyButtons(figure, name));
  figure.querySelector("figcaption").after(tools);
}

// Enlarging -------------------------------------------------------------------------------------------------------------

const large = element("img");
const close = element("button", { type: "button", autofocus: true }, "Close");
const dialog = element("dialog", { className: "large" }, close, large);
document.body.append(dialog);
close.addEventListener("click", () => dialog.close());
large.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => large.removeAttribute("src"));

for (const image of document.querySelectorAll(".picture img")) {
  const name = image.closest("figure").querySelector(".number").textContent;
  const button = element("button", { type: "button", className: "enlarge", title: "Enlarge", ariaLabel: `Enlarge ${name}. ${image.alt}` });
  image.replaceWith(button);
  button.append(image);
  button.addEventListener("click", () => {
    large.src = image.src;
    large.alt = image.alt;
    dialog.ariaLabel = name;
    dialog.showModal();
  });
}

// A link into closed details opens them.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.matches("details")) target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
