"""What a reader of a table sees, before it is LaTeX or HTML: all of it plain text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median_low

from robustlens.report.cells import MISSING, Cell, Column, Row, is_number, number
from robustlens.report.published import Published

DAGGER = "†"
ONE_SEED = (
    f"{DAGGER} One seed, where other rows have several: no spread over seeds can be given, and a single run is more "
    "often far from its mean. Do not compare it with the rows above: the table of differences, where a study has one, "
    "compares recipes on the seeds that both have."
)


@dataclass(frozen=True)
class Text:
    """A printed cell. verdict: see Cell. value: all of the number that it prints, by which a page sorts; None for
    words. best: see Cell."""

    text: str
    verdict: str = ""
    value: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A printed row. opens: the name of the group that begins with it, or "". apart: whether it is the first one of
    those of one seed, of a group that has others."""

    opens: str
    label: str
    texts: list[Text]
    apart: bool = False


@dataclass(frozen=True)
class Layout:
    """joined: of each column, whether it belongs to the one on its left, and is never set without it."""

    columns: list[Column]
    lines: list[Line]
    notes: list[str]
    joined: list[bool]

    @property
    def spans(self) -> list[tuple[str, int]]:
        """The header above the header: (group, number of columns); empty when no column has a group."""
        runs = [(group, len(list(columns))) for group, columns in groupby(self.columns, key=lambda c: c.group)]
        return runs if any(group for group, _ in runs) else []


def lay_out(columns: Sequence[Column], rows: Sequence[Row], notes: Sequence[str]) -> Layout:
    """Units stand in the header. Rows of one seed, where others have more, stand last in their group and have a mark. A
    column with a published number gets some beside it: the number, with a letter that a note explains, the difference
    from it and what that says.
    """
    single = _of_one_seed(rows)
    rows = [row for row in _ordered(rows, single) if row.printed]
    origins = dict.fromkeys(_origin(cell.published) for row in rows for cell in row.cells if cell.published)
    letters = {origin: chr(ord("a") + i) for i, origin in enumerate(origins)}
    shown: list[Column] = []
    joined: list[bool] = []
    texts: list[list[Text]] = [[] for _ in rows]
    for i, column in enumerate(with_units(columns, rows)):
        cells = [row.cells[i] for row in rows]
        parts = [(column, _own(rows, cells)), *_beside(column, cells, letters)]
        for number_of_part, (heading, of_rows) in enumerate(parts):
            shown.append(heading)
            joined.append(number_of_part > 0)
            for line, text in zip(texts, of_rows, strict=True):
                line.append(text)
    lines, before = [], None
    for row, line in zip(rows, texts, strict=True):
        opens = before is None or row.group != before.group
        alone = row.label in single.get(row.group, ())
        apart = alone and not opens and before.label not in single[row.group]
        label = f"{row.label} {DAGGER}" if alone else row.label
        lines.append(Line(row.group if opens else "", label, line, apart=apart))
        before = row
    explained = [ONE_SEED] if any(row.label in single.get(row.group, ()) for row in rows) else []
    lettered = [f"({letter}) {origin}" for origin, letter in letters.items()]
    return Layout(shown, lines, [*notes, *explained, *lettered], joined)


def _of_one_seed(rows: Sequence[Row]) -> dict[str, set[str]]:
    """By group the labels of the rows whose numbers are all of one seed; empty where no row has more than one."""
    counts = [(row, max((cell.n_seeds or 0 for cell in row.cells), default=0)) for row in rows if row.of_seeds]
    if not any(count > 1 for _, count in counts):
        return {}
    single: dict[str, set[str]] = {}
    for row, count in counts:
        if count == 1:
            single.setdefault(row.group, set()).add(row.label)
    return single


def _ordered(rows: Sequence[Row], single: dict[str, set[str]]) -> list[Row]:
    """With those of one seed at the end of their group, and otherwise as they were."""
    groups = [list(of_group) for _, of_group in groupby(rows, key=lambda row: row.group)]
    return [row for group in groups for row in sorted(group, key=lambda row: row.label in single.get(row.group, ()))]


def _own(rows: Sequence[Row], cells: Sequence[Cell]) -> Iterator[Text]:
    """The column itself. What has no spread of its own is printed as finely as the others of its group mostly are."""
    for _, part in groupby(zip(rows, cells, strict=True), key=lambda pair: pair[0].group):
        of_group = [cell for _, cell in part]
        known = [cell.decimals for cell in of_group if cell.has_spread]
        usual = median_low(known) if known else None
        for cell in of_group:
            coarse = usual is not None and not cell.has_spread
            text = cell.printed(min(usual, cell.digits)) if coarse else str(cell)
            yield Text(text, cell.verdict, cell.value if is_number(cell.value) else None, cell.best)


def _beside(column: Column, cells: Sequence[Cell], letters: dict[str, str]) -> Iterator[tuple[Column, list[Text]]]:
    """What stands beside a column that has published numbers."""
    if not any(cell.published for cell in cells):
        return
    values = [cell.published.value if cell.published else None for cell in cells]
    printed = [_published(cell, letters) for cell in cells]
    yield (
        replace(column, label="published"),
        [Text(text, value=value) for text, value in zip(printed, values, strict=True)],
    )
    found = [cell.reproduction for cell in cells]
    if any(found):
        yield (
            replace(column, label="ours \u2212 published"),
            [_difference(cell) for cell in cells],
        )
        yield replace(column, label="verdict"), [Text(one.verdict if one else MISSING) for one in found]


def _difference(cell: Cell) -> Text:
    found = cell.reproduction
    if found is None:
        return Text(MISSING)
    printed = Cell(found.difference, cell.digits, low=found.low, high=found.high)
    return Text(str(printed), value=found.difference)


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


def with_units(columns: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """The columns with the unit of their numbers in the header, unless it says it already: in that of their group where
    all have the same one, as a header of its own where all columns of a table without groups do."""
    units = [_unit(row.cells[i] for row in rows) for i in range(len(columns))]
    groups = dict.fromkeys(column.group for column in columns)
    shared = {}
    for group in groups:
        of_group = [(column, unit) for column, unit in zip(columns, units, strict=True) if column.group == group]
        unit, told = of_group[0][1], any(_told(*pair) for pair in of_group)
        if all(other == unit for _, other in of_group) and not told and (group or len(groups) == 1 < len(columns)):
            shared[group] = unit
    return [_with_unit(column, unit, column.group in shared) for column, unit in zip(columns, units, strict=True)]


def _with_unit(column: Column, unit: str, shared: bool) -> Column:
    if _told(column, unit):
        return column
    if shared:
        return replace(column, group=f"{column.group}, {unit}" if column.group else unit)
    return replace(column, label=f"{column.label}, {unit}")


def _told(column: Column, unit: str) -> bool:
    """Whether there is no unit to be said, or the header says it."""
    return not unit or _says(f"{column.group} {column.label}", unit)


def _unit(cells: Iterator[Cell]) -> str:
    """What all numbers of a column are in; "" if they aren't in the same unit."""
    units = {cell.unit for cell in cells if is_number(cell.value)}
    return units.pop() if len(units) == 1 else ""


def _says(header: str, unit: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(unit)}(?!\w)", header) is not None
