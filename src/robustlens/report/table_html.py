"""A laid-out table as HTML."""

from html import escape

from robustlens.report.cells import Column
from robustlens.report.escape import tied
from robustlens.report.layout import Layout, Line, Text


def html_table(name: str, caption: str, corner: str, layout: Layout) -> str:
    """See Table.to_html. A table with wide columns has the class `prose`: a page may stack its cells on a phone.
    data-value: of a cell with a number, all of it, by which a page may sort."""
    body = []
    for line in layout.lines:
        if line.opens:
            width = len(layout.columns) + 1
            body.append(f'<tr class="group"><th colspan="{width}" scope="rowgroup">{escape(line.opens)}</th></tr>')
        body.append(_row(line, layout.columns))
    notes = [f"<li>{escape(tied(note))}</li>" for note in layout.notes]
    prose = ' class="prose"' if any(column.wide for column in layout.columns) else ""
    lines = [
        *(f'<figure class="table" id="{name}">', f"<figcaption>{escape(tied(caption))}</figcaption>"),
        *(f'<div class="scroll"><table{prose}>', "<thead>", *_header(corner, layout), "</thead>"),
        *("<tbody>", *body, "</tbody>", "</table></div>"),
        *(["<ul>", *notes, "</ul>"] if notes else []),
        "</figure>",
    ]
    return "\n".join(lines) + "\n"


def _header(corner: str, layout: Layout) -> list[str]:
    lines = []
    if layout.spans:
        groups = "".join(f'<th colspan="{n}" scope="colgroup">{escape(group)}</th>' for group, n in layout.spans)
        lines.append(f'<tr class="groups"><td></td>{groups}</tr>')
    labels = "".join(f'<th scope="col">{escape(label)}</th>' for label in [corner, *(c.label for c in layout.columns)])
    return [*lines, f"<tr>{labels}</tr>"]


def _row(line: Line, columns: list[Column]) -> str:
    cells = "".join(_cell(text, column) for text, column in zip(line.texts, columns, strict=True))
    apart = ' class="apart"' if line.apart else ""
    return f'<tr{apart}><th scope="row">{escape(line.label)}</th>{cells}</tr>'


def _cell(text: Text, column: Column) -> str:
    classes = " ".join(filter(None, ["wide" if column.wide else "", text.verdict]))
    attributes = f' class="{classes}"' if classes else ""
    if text.value is not None:
        attributes += f' data-value="{text.value:.10g}"'
    printed = escape(tied(text.text) if column.wide else text.text)  # a page ties numbers where they fit
    content = f"<strong>{printed}</strong>" if text.best else printed
    return f'<td{attributes} data-label="{escape(column.label)}">{content}</td>'
