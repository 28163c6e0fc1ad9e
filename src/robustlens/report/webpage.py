"""The report as one HTML page that needs no other file and no script."""

import base64
from html import escape
from pathlib import Path

from markupsafe import Markup

from robustlens.report.document import TEMPLATES, Document, environment
from robustlens.report.figure import title_and_caption


def render_html(document: Document) -> str:
    """The page: tables as their .html files, figures as PNG within the page."""
    figures = [_figure(path.with_suffix(".png")) for path in document.figures]
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


def _figure(png: Path) -> dict:
    title, caption = title_and_caption(png)
    picture = base64.b64encode(png.read_bytes()).decode()
    image = Markup(f'<img src="data:image/png;base64,{picture}" alt="{escape(title)}">')
    return {"name": png.stem, "title": title, "caption": caption, "image": image}
