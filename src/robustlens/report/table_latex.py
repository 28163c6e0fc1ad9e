"""A laid-out table as LaTeX (booktabs)."""

import re
from dataclasses import replace
from itertools import accumulate, pairwise

from robustlens.report.cells import MISSING, Column
from robustlens.report.escape import latex
from robustlens.report.layout import Layout, Line, Text

# Letters are at least SMALLEST pt high, whatever the width of the table: a float is set in LETTERS and shrinks, a long
# table is set in one of SIZES, each with how wide its letters are to those of LETTERS. All lengths are in pt.
LETTERS, SMALLEST = 9, 7
SIZES = {r"\small": 1.0, r"\footnotesize": 0.919, r"\scriptsize": 0.862}
LINE_WIDTH = 0.97 * 455  # of A4 with margins of 2.5 cm, and something to spare
ROOM, LONG_ROOM = LINE_WIDTH * LETTERS / SMALLEST, LINE_WIDTH / min(SIZES.values())  # at LETTERS
TALL = 600  # the most that a float may be high, beside its caption
EM, BASELINE, NOTE_LINE = 9.24, 11, 9.5  # of Latin Modern at LETTERS; of a row; of a line of a note
GAP, TIGHT = 12, 6  # between two columns, and where there is little room
NOTE_WIDTH = 110  # characters of a line of a note
WIDTHS = {  # of its characters, in em; all others are as wide as a digit
    **dict.fromkeys("il.,:;'|!\u2019", 0.28),
    **dict.fromkeys("frstIJ()[]- ", 0.37),
    **dict.fromkeys("mwMWΔ", 0.86),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 0.7),
    **dict.fromkeys("%±+<>=\u2212\u00d7∞", 0.8),
}
BOLD = 1.15  # times as wide
HEADING = 14  # characters of a line of a column's label
LINE, SPACE = 72, 3  # characters: of a line beside a table's labels and sentences, and between two columns
WRAPPED = r">{\raggedright\arraybackslash}"
# longtable forgets what floats above it take of the page: a document that has floats defines this to tell LaTeX again.
ROOM_LEFT = r"\par\ifdefined\roomleft\roomleft\fi"


def latex_table(name: str, caption: str, corner: str, layout: Layout) -> str:
    """See Table.to_latex."""
    title = rf"\caption{{{latex(caption)}}}\label{{tab:{name}}}"
    notes = [rf"\par {latex(note)}" for note in layout.notes]
    if any(column.wide for column in layout.columns):
        return "\n".join(_breakable(title, corner, layout, notes)) + "\n"
    panels = _panels(layout, corner, ROOM)
    if _height(panels, corner, layout.notes) > TALL:
        return "\n".join(_long(title, corner, _panels(layout, corner, LONG_ROOM), notes)) + "\n"
    lines = [
        *(r"\begin{table}[htbp]", r"\centering\small", title),
        *(
            line
            for number, panel in enumerate(panels)
            for line in ([r"\par\medskip"] if number else []) + _panel(corner, panel)
        ),
        *([r"\begin{flushleft}\footnotesize", *notes, r"\end{flushleft}"] if notes else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _panel(corner: str, layout: Layout) -> list[str]:
    spec = "l" + "r" * len(layout.columns)
    return [
        r"\begin{adjustbox}{max width=\linewidth}",
        *([_separated(gap)] if (gap := _gap(layout, corner)) < GAP else []),
        rf"\begin{{tabular}}{{{spec}}}",
        *(*_head(corner, layout), *_body(layout), r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"),
    ]


def _long(title: str, corner: str, panels: list[Layout], notes: list[str]) -> list[str]:
    """Not a float, which can't be longer than a page: its parts may break over pages."""
    lines = [r"\ifdefined\FloatBarrier\FloatBarrier\fi", r"\begingroup"]
    for number, panel in enumerate(panels):
        gap = GAP if _room_taken(panel, corner, GAP) <= LONG_ROOM else TIGHT
        taken = _room_taken(panel, corner, gap)
        size = next((size for size, width in SIZES.items() if taken * width <= LINE_WIDTH), min(SIZES, key=SIZES.get))
        head = _head(corner, panel)
        lines += [
            *(rf"\begingroup{size}", _separated(gap * SIZES[size])),
            rf"\begin{{longtable}}{{l{'r' * len(panel.columns)}}}",
            *([title + r" \\"] if number == 0 else []),
            *(*head, r"\endfirsthead", *head, r"\endhead", *_body(panel), r"\bottomrule"),
            *(r"\end{longtable}", r"\endgroup", ROOM_LEFT),
        ]
    return [*lines, r"\footnotesize\setlength{\parskip}{0pt}", *notes, r"\par\endgroup"]


def _separated(gap: float) -> str:
    return rf"\setlength{{\tabcolsep}}{{{gap / 2:.2g}pt}}"


def _gap(layout: Layout, corner: str) -> int:
    """Between the columns of a part, in pt: less where it does not fit otherwise."""
    return TIGHT if _room_taken(layout, corner, GAP) > ROOM else GAP


def _panels(layout: Layout, corner: str, room: float) -> list[Layout]:
    """The table in parts, none of them too wide: as few as can be, then with as few groups cut as can be, and then
    about equally wide. A part has the rows that have something in it."""
    if not layout.columns:
        return [layout]
    choices = [_cut(layout, corner, room * share / 100) for share in range(100, 45, -5)]

    def badness(panels: list[Layout]) -> tuple[float, ...]:
        groups = sum(len(panel.spans) for panel in panels)
        return len(panels), groups, max(_room_taken(panel, corner, TIGHT) for panel in panels)

    best = min(choices, key=badness)
    return best if len(best) == 1 else [_without_empty_rows(panel) for panel in best]


def _without_empty_rows(layout: Layout) -> Layout:
    kept, opens, apart = [], "", False
    for line in layout.lines:
        opens, apart = line.opens or opens, line.apart or (apart and not line.opens)
        if any(text.text != MISSING for text in line.texts):
            kept.append(replace(line, opens=opens, apart=apart and not opens))
            opens, apart = "", False
    return replace(layout, lines=kept or layout.lines)


def _cut(layout: Layout, corner: str, room: float) -> list[Layout]:
    """In parts that take at most `room`, cut between groups of columns or, where a group alone is too wide, within it,
    but never between columns that belong together."""
    columns, cuts = layout.columns, [0]
    starts = [i for i, joined in enumerate(layout.joined) if not joined]
    groups = [i for i in starts if i == 0 or columns[i].group != columns[i - 1].group]

    def fits(start: int, end: int) -> bool:
        return _room_taken(_part(layout, slice(start, end)), corner, TIGHT) <= room

    for start, end in pairwise([*starts, len(columns)]):
        group_end = next((i for i in groups if i > start), len(columns))
        apart = start in groups and not fits(cuts[-1], group_end) and fits(start, group_end)
        if start > cuts[-1] and (apart or not fits(cuts[-1], end)):
            cuts.append(start)
    return [_part(layout, slice(start, end)) for start, end in pairwise([*cuts, len(columns)])]


def _room_taken(layout: Layout, corner: str, gap: float) -> float:
    """About how wide a part is at LETTERS, in pt."""
    labels = max([_width_of(corner), *(_width_of(line.label) for line in layout.lines)])
    widths = [
        max([*map(_width_of, _heading_lines(column)), *(_width_of(line.texts[i]) for line in layout.lines)])
        for i, column in enumerate(layout.columns)
    ]
    start = 0
    for group, count in layout.spans:
        missing = _width_of(group) - sum(widths[start : start + count]) - gap * (count - 1)
        widths[start + count - 1] += max(missing, 0)  # as LaTeX does
        start += count
    return labels + sum(widths) + gap * (len(widths) + 1)


def _width_of(text: Text | str) -> float:
    """In pt at LETTERS."""
    printed, bold = (text, 1.0) if isinstance(text, str) else (text.text, BOLD if text.best or text.verdict else 1.0)
    return bold * EM * sum(WIDTHS.get(character, 0.5) for character in printed)


def _height(panels: list[Layout], corner: str, notes: list[str]) -> float:
    """About how high a float is, without its caption, in pt."""
    height = sum(1 + len(note) // NOTE_WIDTH for note in notes) * NOTE_LINE
    for panel in panels:
        shrunk = min(1, LINE_WIDTH / _room_taken(panel, corner, _gap(panel, corner)))
        rows = 4 + len(panel.lines) + sum(1.5 for line in panel.lines if line.opens)
        height += rows * BASELINE * shrunk
    return height


def _part(layout: Layout, columns: slice) -> Layout:
    lines = [replace(line, texts=line.texts[columns]) for line in layout.lines]
    return Layout(layout.columns[columns], lines, layout.notes, layout.joined[columns])


def _breakable(title: str, corner: str, layout: Layout, notes: list[str]) -> list[str]:
    """No float: those that wait for their place come first, so that numbers and places keep one order (by placeins,
    where the document uses it)."""
    columns = "".join(_wrapped(column.wide) if column.wide else "l" for column in layout.columns)
    spec = rf"{WRAPPED}p{{0.13\linewidth}}{columns}"
    dense = _width(layout.columns, layout.lines) > LINE
    if dense:
        lines = [replace(line, texts=[_folded(text) for text in line.texts]) for line in layout.lines]
        layout = replace(layout, lines=lines)
    head = _head(corner, layout)
    body = [f"{line} \\addlinespace" for line in _body(layout)]
    return [
        *(r"\ifdefined\FloatBarrier\FloatBarrier\fi", r"\begingroup", r"\footnotesize"),
        *([r"\setlength{\tabcolsep}{3pt}"] if dense else []),
        *(rf"\begin{{xltabular}}{{\linewidth}}{{{spec}}}", title + r" \\"),
        *(*head, r"\endfirsthead", *head, r"\endhead", *body, r"\bottomrule"),
        *(r"\end{xltabular}", r"\setlength{\parskip}{0pt}", *notes, r"\par\endgroup", ROOM_LEFT),
    ]


def _width(columns: list[Column], lines: list[Line]) -> int:
    """About how many characters the columns of numbers take beside each other, with the space between them."""
    texts = [[column.label, *(line.texts[i].text for line in lines)] for i, column in enumerate(columns)]
    return sum(max(map(len, t)) + SPACE for t, column in zip(texts, columns, strict=True) if not column.wide)


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
    return _lines(_heading_lines(column), "[b]{@{}r@{}}")


def _heading_lines(column: Column) -> list[str]:
    words = re.split(r" (?![^(]*\))", column.label)  # not within E(x, y)
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= HEADING:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


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
    elif line.apart:
        lines.append(r"\addlinespace")
    return [*lines, " & ".join([latex(line.label), *map(_printed, line.texts)]) + r" \\"]


def _printed(text: Text) -> str:
    if text.verdict:
        return rf"\textbf{{{latex(text.text)}}}"
    printed = _lines(text.text.split("\n"), "[t]{@{}l@{}}")
    return rf"{{\boldmath\textbf{{{printed}}}}}" if text.best else printed
