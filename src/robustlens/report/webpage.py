"""The report as one HTML page that needs no other file and no script."""

import base64
import re
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path

from markupsafe import Markup

from robustlens.report.chapter import Chapter
from robustlens.report.document import TEMPLATES, Document, environment, without
from robustlens.report.figure import title_and_caption

PARTS = ("tables", "figures", "claims", "appendix")  # of a chapter; the last one is at the end of the page
FIRST_SENTENCE = re.compile(r"<figcaption>(.+?)(?:\.\s.*)?\.?</figcaption>", re.DOTALL)


def render_html(document: Document) -> str:
    """The page: tables as their .html files, figures as PNG within the page."""
    anchor = _anchors()
    about, provenance = anchor("about"), anchor("provenance")
    picture = _figure(document.picture, None, anchor("front"), document.caveat) if document.picture else None
    return (
        environment(autoescape=True)
        .get_template("report.html")
        .render(
            document=document,
            style=Markup((TEMPLATES / "report.css").read_text()),
            about=about,
            provenance=provenance,
            picture=picture,
            chapters=[_chapter(chapter, anchor, document.caveat) for chapter in document.chapters],
        )
    )


def _anchors() -> Callable[[str], str]:
    """A function that gives every part of the page an id of its own: the wanted one, or that with a number."""
    taken: set[str] = set()

    def anchor(wanted: str) -> str:
        found, number = wanted, 1
        while found in taken:
            number += 1
            found = f"{wanted}-{number}"
        taken.add(found)
        return found

    return anchor


def _chapter(chapter: Chapter, anchor: Callable[[str], str], caveat: str) -> dict:
    """What the template prints of a study."""
    study = chapter.study
    parts = {"anchor": anchor(study)} | {part: anchor(f"{study}-{part}") for part in PARTS}
    headlines = chapter.headlines
    moving = {path.stem: path for path in chapter.animations}
    each = chapter.each_claim

    def read(path: Path) -> dict:
        return _read(path, anchor(f"{study}-{path.stem}"), caveat)

    def show(path: Path) -> dict:
        return _figure(path.with_suffix(".png"), moving.get(path.stem), anchor(f"{study}-{path.stem}"), caveat)

    return {
        "study": study,
        "title": chapter.title,
        "heading": chapter.heading,
        "setup": chapter.setup,
        "verdicts": chapter.verdicts,
        "parts": parts,
        "headlines": _table(headlines.name, headlines.to_html(), anchor(headlines.name), caveat) if headlines else None,
        "tables": [read(path) for path in chapter.tables],
        "figures": [show(path) for path in chapter.figures],
        "forest": _figure(chapter.forest, None, anchor(f"{study}-forest"), caveat) if chapter.forest else None,
        "each_claim": _table("claims", each.to_html(), anchor(each.name), caveat) if each else None,
        "has_appendix": chapter.has_appendix,
        "further_tables": [read(path) for path in chapter.further_tables],
        "further_figures": [show(path) for path in chapter.further_figures],
        "claims": _read(chapter.claims, anchor(f"{study}-ledger"), caveat) if chapter.claims else None,
    }


def _read(path: Path, anchor: str, caveat: str) -> dict:
    return _table(path.stem, path.with_suffix(".html").read_text(), anchor, caveat)


def _table(name: str, html: str, anchor: str, caveat: str) -> dict:
    """A table under the id that it has on this page. Its whole caption is too long for the contents: they show its
    name, with the first sentence when pointed at."""
    html = without(html, escape(caveat))
    said = FIRST_SENTENCE.search(html)
    return {
        "anchor": anchor,
        "name": name.replace("-", " ").capitalize(),
        "said": unescape(said[1]) if said else "",
        "html": Markup(re.sub(r' id="[^"]*"', f' id="{anchor}"', html, count=1)),
    }


def _figure(png: Path, gif: Path | None, anchor: str, caveat: str) -> dict:
    title, caption = title_and_caption(png)
    image = Markup("\n").join(_image(path, title) for path in (png, gif) if path)
    return {"anchor": anchor, "title": title, "caption": without(caption, caveat), "image": image}


def _image(path: Path, title: str) -> Markup:
    picture = base64.b64encode(path.read_bytes()).decode()
    return Markup(f'<img src="data:image/{path.suffix[1:]};base64,{picture}" alt="{escape(title)}">')
