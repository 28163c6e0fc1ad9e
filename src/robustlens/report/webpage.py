"""The report as one HTML page that needs no other file and no script."""

import base64
from html import escape
from pathlib import Path

from markupsafe import Markup

from robustlens.report.document import TEMPLATES, Document, environment
from robustlens.report.figure import title_and_caption


def render_html(document: Document) -> str:
    """The page: tables as their .html files, figures as PNG within the page."""
    moving = {path.stem: path for path in document.animations}
    figures = [_figure(path.with_suffix(".png"), moving.get(path.stem)) for path in document.figures]
    tables = [Markup(path.with_suffix(".html").read_text()) for path in document.tables]
    return (
        environment(autoescape=True)
        .get_template("report.html")
        .render(
            document=document,
            style=Markup((TEMPLATES / "report.css").read_text()),
            tables=tables,
            claims=Markup(document.claims.with_suffix(".html").read_text()),
            figures=figures,
        )
    )


def _figure(png: Path, gif: Path | None) -> dict:
    title, caption = title_and_caption(png)
    image = Markup("\n").join(_image(path, title) for path in (png, gif) if path)
    return {"name": png.stem, "title": title, "caption": caption, "image": image}


def _image(path: Path, title: str) -> Markup:
    picture = base64.b64encode(path.read_bytes()).decode()
    return Markup(f'<img src="data:image/{path.suffix[1:]};base64,{picture}" alt="{escape(title)}">')
