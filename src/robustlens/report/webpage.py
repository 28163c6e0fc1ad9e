"""The report as one HTML page that needs no other file, and no script to be read."""

import base64
import csv
import io
import os
import re
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from robustlens.report.chapter import Chapter
from robustlens.report.citations import entries_for
from robustlens.report.document import TEMPLATES, Document, environment, without
from robustlens.report.escape import tied
from robustlens.report.figure import title_and_caption
from robustlens.report.origin import origin_of
from robustlens.report.table import Table

PARTS = ("tables", "figures", "claims", "appendix", "bibtex")  # of a chapter
TABLE = re.compile(r"<figure[^>]*>\s*<figcaption>(.*?)</figcaption>\s*(.*?)\s*</figure>", re.DOTALL)
FIRST_SENTENCE = re.compile(r"(.+?[.!?])(?=\s|$)", re.DOTALL)
UPRIGHT, ACROSS = 100, 160  # characters that fit beside each other on a printed page, and on one that lies on its side
SPACED = 2  # characters between columns
LOOSE = re.compile(
    r"(?<=±) (?=\d)| (?=[^\[<]*\](?:</strong>)?</td>)"
)  # where a number would be parted from its ±, or an interval


def render_html(document: Document, folder: Path) -> str:
    """The page, to be written into `folder`: tables as their .html files, figures as PNG within the page, and links to
    the files beside it that they come from."""
    page = _Page(folder, document.caveat)
    about, provenance = page.anchor("about"), page.anchor("provenance")
    picture = _figure(document.picture, None, "front", page) if document.picture else None
    templates = environment(autoescape=True)
    templates.filters["tied"] = tied
    return templates.get_template("report.html").render(
        document=document,
        style=Markup((TEMPLATES / "report.css").read_text()),
        script=Markup((TEMPLATES / "report.js").read_text()),
        about=about,
        provenance=provenance,
        picture=picture,
        number=page.number,
        chapters=[_chapter(chapter, page, document.references) for chapter in document.chapters],
    )


@dataclass
class _Page:
    """What the parts of the page share: where it will lie, the ids that are taken, and the number of each table and
    figure that has been printed."""

    folder: Path
    caveat: str
    taken: set[str] = field(default_factory=set)
    numbers: dict[str, str] = field(default_factory=dict)

    def anchor(self, wanted: str) -> str:
        """An id of its own: the wanted one, or that with a number."""
        found, number = wanted, 1
        while found in self.taken:
            number += 1
            found = f"{wanted}-{number}"
        self.taken.add(found)
        return found

    def number(self, kind: str, anchor: str) -> str:
        """ "Table 3", or "Figure 2": counted in the order in which the template asks, which is that of the PDF."""
        if anchor not in self.numbers:
            before = sum(number.startswith(f"{kind} ") for number in self.numbers.values())
            self.numbers[anchor] = f"{kind} {before + 1}"
        return self.numbers[anchor]

    def link(self, file: Path) -> str:
        """The address of a file, from the page."""
        return quote(Path(os.path.relpath(file, self.folder)).as_posix())


def _chapter(chapter: Chapter, page: _Page, references: str) -> dict:
    """What the template prints of a study."""
    study = chapter.study
    parts = {"anchor": page.anchor(study)} | {part: page.anchor(f"{study}-{part}") for part in PARTS}
    moving = {path.stem: path for path in chapter.animations}

    def read(path: Path) -> dict:
        return _read(path, f"{study}-{path.stem}", page)

    def show(path: Path) -> dict:
        return _figure(path.with_suffix(".png"), moving.get(path.stem), f"{study}-{path.stem}", page)

    return {
        "study": study,
        "title": chapter.title,
        "heading": chapter.heading,
        "setup": chapter.setup,
        "verdicts": chapter.verdicts,
        "parts": parts,
        "headlines": _headlines(chapter, page),
        "forest": _figure(chapter.forest, None, f"{study}-forest", page) if chapter.forest else None,
        "each_claim": _each_claim(chapter, page),
        "tables": [read(path) for path in chapter.tables],
        "figures": [show(path) for path in chapter.figures],
        "has_appendix": chapter.has_appendix,
        "further_tables": [read(path) for path in chapter.further_tables],
        "further_figures": [show(path) for path in chapter.further_figures],
        "claims": _read(chapter.claims, f"{study}-ledger", page) if chapter.claims else None,
        "bibtex": entries_for(references, study),
    }


def _headlines(chapter: Chapter, page: _Page) -> dict | None:
    table = chapter.headlines
    if table is None:
        return None
    return _made("Results in brief", table, chapter.accuracies, page)


def _each_claim(chapter: Chapter, page: _Page) -> dict | None:
    table = chapter.each_claim
    return _made("Claims", table, chapter.claims, page) if table else None


def _made(name: str, table: Table, file: Path, page: _Page) -> dict:
    """A table that is no file, taken from one."""
    return _table(name, table.to_html(), table.to_latex(), table.to_csv(), table.name, file, page)


def _read(path: Path, anchor: str, page: _Page) -> dict:
    name = path.stem.replace("-", " ").capitalize()
    html, tex, numbers = (path.with_suffix(suffix).read_text() for suffix in (".html", ".tex", ".csv"))
    return _table(name, html, tex, numbers, anchor, path, page)


def _table(name: str, html: str, tex: str, numbers: str, anchor: str, file: Path, page: _Page) -> dict:
    """A table: its caption and what is below it. What it says in one sentence is told where its name is pointed at.

    html, tex, numbers: the three ways in which it is printed. file: any of its files, or of those of the table that it
    is taken from.
    """
    caption, body = TABLE.search(without(html, escape(tied(page.caveat)))).groups()
    body, across = _fitted(body)
    scroll = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">'
    return {
        "anchor": page.anchor(anchor),
        "name": name,
        "said": _first_sentence(unescape(caption)),
        "caption": Markup(caption),
        "body": Markup(body.replace('<div class="scroll">', scroll, 1)),
        "across": across,
        "copies": {"LaTeX": tex, "CSV": _without_files(numbers)},
        "behind": _behind(file, (".csv", ".tex"), page),
    }


def _fitted(body: str) -> tuple[str, bool]:
    """A table for a printed page that scrolls nowhere: with numbers that no line break parts, as long as they fit; and
    whether that page lies on its side. Tables of sentences always fit."""
    if 'class="prose"' in body:
        return body, False
    tied = LOOSE.sub("\u00a0", body)
    width = _least_width(tied)
    return (tied if width <= ACROSS else body), width > UPRIGHT


def _least_width(html: str) -> int:
    """Of a table whose cells are broken at every space, in characters."""
    widths: dict[int, int] = {}
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL):
        if "colspan" not in row:
            for i, cell in enumerate(re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)):
                words = re.sub("<[^>]+>", "", unescape(cell)).split(" ")
                widths[i] = max(widths.get(i, 0), *(len(word) + SPACED for word in words))
    return sum(widths.values())


def _without_files(numbers: str) -> str:
    """A table as CSV without the column that names the files behind each cell, which is most of it."""
    rows = list(csv.DictReader(io.StringIO(numbers)))
    names = [name for name in next(csv.reader([numbers.split("\n", 1)[0]])) if name != "files"]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _figure(png: Path, gif: Path | None, anchor: str, page: _Page) -> dict:
    title, caption = title_and_caption(png)
    caption = without(caption, page.caveat)
    said = _first_sentence(caption)
    caption = tied(caption)
    return {
        "anchor": page.anchor(anchor),
        "title": title,
        "caption": caption,
        "image": _image(png, said),
        "animation": _image(gif, f"Animation: {said}") if gif else None,
        "behind": _behind(png, (".pdf", ".png"), page),
    }


def _image(path: Path, said: str) -> Markup:
    picture = base64.b64encode(path.read_bytes()).decode()
    return Markup(f'<img src="data:image/{path.suffix[1:]};base64,{picture}" alt="{escape(said)}">')


def _behind(file: Path, suffixes: tuple[str, ...], page: _Page) -> dict:
    """Where a table or a figure comes from: see Origin. files: kind and address of the files that it is in. script: its
    address, where the page is in the folder results/<scale>/ of a checkout."""
    origin = origin_of(file)
    script = page.folder / "../.." / origin.script if origin else None
    return {
        "origin": origin,
        "script": page.link(script) if script and script.is_file() else None,
        "certificate": page.link(origin.certificate) if origin else None,
        "files": [(suffix[1:].upper(), page.link(file.with_suffix(suffix))) for suffix in suffixes],
    }


def _first_sentence(text: str) -> str:
    found = FIRST_SENTENCE.match(text)
    return found[1] if found else text
