"""A laid-out table as HTML."""

from html import escape

from robustlens.report.layout import Layout, Line, Text


def html_table(name: str, caption: str, corner: str, layout: Layout) -> str:
    """See Table.to_html."""
    body = []
    for line in layout.lines:
        if line.opens:
            width = len(layout.columns) + 1
            body.append(f'<tr class="group"><th colspan="{width}" scope="rowgroup">{escape(line.opens)}</th></tr>')
        body.append(_row(line))
    notes = [f"<li>{escape(note)}</li>" for note in layout.notes]
    lines = [
        *(f'<figure class="table" id="{name}">', f"<figcaption>{escape(caption)}</figcaption>"),
        *('<div class="scroll"><table>', "<thead>", *_header(corner, layout), "</thead>"),
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


def _row(line: Line) -> str:
    return f'<tr><th scope="row">{escape(line.label)}</th>{"".join(_cell(text) for text in line.texts)}</tr>'


def _cell(text: Text) -> str:
    classes = " ".join(filter(None, ["wide" if text.wide else "", text.verdict]))
    return f'<td class="{classes}">{escape(text.text)}</td>' if classes else f"<td>{escape(text.text)}</td>"
