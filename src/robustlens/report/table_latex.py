"""A laid-out table as LaTeX (booktabs)."""

import re
from dataclasses import replace
from itertools import accumulate, groupby, pairwise

from robustlens.report.cells import Column
from robustlens.report.escape import latex
from robustlens.report.layout import Layout, Line, Text

MOST = 6  # columns beside one another; groups of more than that are set below each other, or print would be tiny
HEADING = 14  # characters of a line of a column's label
LINE, GAP = 72, 3  # characters: of a line beside a table's labels and sentences, and between two columns
WRAPPED = r">{\raggedright\arraybackslash}"


def latex_table(name: str, caption: str, corner: str, layout: Layout) -> str:
    """See Table.to_latex."""
    title = rf"\caption{{{latex(caption)}}}\label{{tab:{name}}}"
    notes = [rf"\par {latex(note)}" for note in layout.notes]
    if any(column.wide for column in layout.columns):
        return "\n".join(_breakable(title, corner, layout, notes)) + "\n"
    panels = [_panel(corner, panel) for panel in _panels(layout)]
    lines = [
        *(r"\begin{table}[htbp]", r"\centering\small", title),
        *(line for number, panel in enumerate(panels) for line in ([r"\par\medskip"] if number else []) + panel),
        *([r"\begin{flushleft}\footnotesize", *notes, r"\end{flushleft}"] if notes else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _panel(corner: str, layout: Layout) -> list[str]:
    spec = "l" + "r" * len(layout.columns)
    return [
        *(r"\begin{adjustbox}{max width=\linewidth}", rf"\begin{{tabular}}{{{spec}}}"),
        *(*_head(corner, layout), *_body(layout), r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"),
    ]


def _panels(layout: Layout) -> list[Layout]:
    """The table in parts of at most MOST columns, cut between groups of columns."""
    sizes = [len(list(columns)) for _, columns in groupby(layout.columns, key=lambda column: column.group)]
    if len(layout.columns) <= MOST or len(sizes) == 1:
        return [layout]
    ends = [0]
    for end in accumulate(sizes):
        if len(ends) > 1 and end - ends[-2] <= MOST:
            ends[-1] = end
        else:
            ends.append(end)
    return [_part(layout, slice(start, end)) for start, end in pairwise(ends)]


def _part(layout: Layout, columns: slice) -> Layout:
    lines = [Line(line.opens, line.label, line.texts[columns]) for line in layout.lines]
    return Layout(layout.columns[columns], lines, layout.notes)


def _breakable(title: str, corner: str, layout: Layout, notes: list[str]) -> list[str]:
    """No float: those that wait for their place come first, so that numbers and places keep one order (by placeins,
    where the document uses it)."""
    beside = [column for column in layout.columns if not column.below]
    below = [column.label for column in layout.columns if column.below]
    columns = "".join(_wrapped(column.wide) if column.wide else "l" for column in beside)
    spec = rf"{WRAPPED}p{{{0.24 if below else 0.13}\linewidth}}{columns}"
    lines = [_stacked(line, layout.columns) for line in layout.lines]
    dense = _width(beside, lines) > LINE
    if dense:
        lines = [replace(line, texts=[_folded(text) for text in line.texts]) for line in lines]
    head = _head(", ".join([corner, *below]), Layout(beside, lines, layout.notes))
    body = [f"{line} \\addlinespace" for line in _body(Layout(beside, lines, layout.notes))]
    return [
        *(r"\ifdefined\FloatBarrier\FloatBarrier\fi", r"\begingroup", r"\footnotesize"),
        *([r"\setlength{\tabcolsep}{3pt}"] if dense else []),
        *(rf"\begin{{xltabular}}{{\linewidth}}{{{spec}}}", title + r" \\"),
        *(*head, r"\endfirsthead", *head, r"\endhead", *body, r"\bottomrule"),
        *(r"\end{xltabular}", *notes, r"\par\endgroup"),
    ]


def _stacked(line: Line, columns: list[Column]) -> Line:
    """With the cells of the columns that stand below the label."""
    pairs = list(zip(columns, line.texts, strict=True))
    below = tuple(text for column, text in pairs if column.below)
    return Line(line.opens, line.label, [text for column, text in pairs if not column.below], below)


def _width(columns: list[Column], lines: list[Line]) -> int:
    """About how many characters the columns of numbers take beside each other, with the space between them."""
    texts = [[column.label, *(line.texts[i].text for line in lines)] for i, column in enumerate(columns)]
    return sum(max(map(len, t)) + GAP for t, column in zip(texts, columns, strict=True) if not column.wide)


def _folded(text: Text) -> Text:
    """With the uncertainty of a number below it."""
    return replace(text, text=text.text.replace(" ± ", "\n± ").replace(" [", "\n["))


def _head(corner: str, layout: Layout) -> list[str]:
    return [r"\toprule", *_header(corner, layout), r"\midrule"]


def _body(layout: Layout) -> list[str]:
    return [line for i in range(len(layout.lines)) for line in _row(layout, i)]


def _wrapped(part: float) -> str:
    """A column of tabularx; the parts of all of them must add up to their number."""
    return rf">{{\hsize={part:g}\hsize\raggedright\arraybackslash}}X"


def _header(corner: str, layout: Layout) -> list[str]:
    lines = []
    if layout.spans:
        cells = [rf"\multicolumn{{{n}}}{{c}}{{{latex(group)}}}" for group, n in layout.spans]
        lines.append(" & ".join(["", *cells]) + r" \\")
        last = list(accumulate((n for _, n in layout.spans), initial=1))[1:]
        rules = [
            rf"\cmidrule(lr){{{end - n + 1}-{end}}}"
            for (group, n), end in zip(layout.spans, last, strict=True)
            if group
        ]
        lines.append(" ".join(rules))
    return [*lines, " & ".join([latex(corner), *map(_heading, layout.columns)]) + r" \\"]


def _heading(column: Column) -> str:
    """A column's label; a long one in several lines, so that it doesn't make the column wider than its numbers."""
    if column.wide:
        return latex(column.label)
    words = re.split(r" (?![^(]*\))", column.label)  # not within E(x, y)
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= HEADING:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return _lines(lines, "[b]{@{}r@{}}")


def _lines(lines: list[str], form: str) -> str:
    """One below the other in a cell. form: position and column of the tabular that they make."""
    if len(lines) == 1:
        return latex(lines[0])
    return rf"\begin{{tabular}}{form}" + r" \\ ".join(map(latex, lines)) + r"\end{tabular}"


def _row(layout: Layout, i: int) -> list[str]:
    line, lines = layout.lines[i], []
    if line.opens:
        lines += [r"\addlinespace"] if i else []
        lines.append(rf"\multicolumn{{{len(layout.columns) + 1}}}{{l}}{{\itshape {latex(line.opens)}}} \\*")
    label = r" \newline ".join([latex(line.label), *map(_printed, line.below)])
    return [*lines, " & ".join([label, *map(_printed, line.texts)]) + r" \\"]


def _printed(text: Text) -> str:
    if text.verdict:
        return rf"\textbf{{{latex(text.text)}}}"
    return _lines(text.text.split("\n"), "[t]{@{}l@{}}")
