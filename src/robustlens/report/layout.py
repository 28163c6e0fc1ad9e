"""What a reader of a table sees, before it is LaTeX or HTML: all of it plain text."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from robustlens.report.cells import MISSING, Cell, Column, Row, is_number, number
from robustlens.report.published import Published


@dataclass(frozen=True)
class Text:
    """A printed cell. verdict: see Cell. value: the whole number that it prints, by which a page sorts; None for words."""

    text: str
    verdict: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Line:
    """A printed row. opens: the name of the group that begins with it, or "". below: cells that stand below the label
    instead of beside it."""

    opens: str
    label: str
    texts: list[Text]
    below: tuple[Text, ...] = ()


@dataclass(frozen=True)
class Layout:
    columns: list[Column]
    lines: list[Line]
    notes: list[str]

    @property
    def spans(self) -> list[tuple[str, int]]:
        """The header above the header: (group, number of columns); empty when no column has a group."""
        runs = [(group, len(list(columns))) for group, columns in groupby(self.columns, key=lambda c: c.group)]
        return runs if any(group for group, _ in runs) else []


def lay_out(columns: Sequence[Column], rows: Sequence[Row], notes: Sequence[str]) -> Layout:
    """A column with a published number gets one beside it that shows it, with a letter that a note explains."""
    origins = dict.fromkeys(_origin(cell.published) for row in rows for cell in row.cells if cell.published)
    letters = {origin: chr(ord("a") + i) for i, origin in enumerate(origins)}
    shown: list[Column] = []
    texts: list[list[Text]] = [[] for _ in rows]
    for i, column in enumerate(columns):
        cells = [row.cells[i] for row in rows]
        shown.append(column)
        for line, cell in zip(texts, cells, strict=True):
            line.append(Text(str(cell), cell.verdict, cell.value if is_number(cell.value) else None))
        if any(cell.published for cell in cells):
            shown.append(Column("published", column.group))
            for line, cell in zip(texts, cells, strict=True):
                line.append(Text(_published(cell, letters), value=cell.published.value if cell.published else None))
    lines = [
        Line(row.group if i == 0 or row.group != rows[i - 1].group else "", row.label, line)
        for i, (row, line) in enumerate(zip(rows, texts, strict=True))
    ]
    return Layout(shown, lines, [*notes, *(f"({letter}) {origin}" for origin, letter in letters.items())])


def _published(cell: Cell, letters: dict[str, str]) -> str:
    if cell.published is None:
        return MISSING
    printed = number(cell.published.value, cell.digits)
    if cell.published.std is not None:
        printed += f" ± {number(cell.published.std, cell.digits)}"
    return f"{printed} ({letters[_origin(cell.published)]})"


def _origin(published: Published) -> str:
    note = f"; {published.note}" if published.note else ""
    return f"Published: {published.source}. Known from: {published.trust}{note}."
