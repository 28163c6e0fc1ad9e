"""A table once, printed three ways: LaTeX, HTML, and CSV with the files that each cell came from."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from robustlens.atomic import replacing
from robustlens.report.cells import Cell, Column, Row, is_number
from robustlens.report.layout import lay_out
from robustlens.report.reproduction import Reproduction
from robustlens.report.table_html import html_table
from robustlens.report.table_latex import latex_table

CSV_HEADER = (
    *("group", "row", "column", "value", "std", "n_seeds", "n_images", "unit"),
    *("published", "published_std", "published_source", "files", "low", "high", "text"),
    *("minus_published", "minus_published_low", "minus_published_high", "reproduction", "best"),
)


@dataclass(frozen=True)
class Table:
    """name: of its files and labels; corner: header of the row labels; notes: sentences printed below."""

    name: str
    caption: str
    corner: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"{self.name}, row {row.label!r}: {len(row.cells)} cells, {len(self.columns)} columns")

    def to_latex(self) -> str:
        """A float, in several parts below one another where it is too wide to be set in 7 pt or more or, with wide
        columns, a table that may break over pages. Needs booktabs, adjustbox and xltabular.
        """
        return latex_table(self.name, self.caption, self.corner, lay_out(self.columns, self.rows, self.notes))

    def to_html(self) -> str:
        """A <figure class="table"> with caption, table and notes, to be styled by the page."""
        return html_table(self.name, self.caption, self.corner, lay_out(self.columns, self.rows, self.notes))

    def to_csv(self) -> str:
        """One row per cell; what is missing is empty, and files are separated by semicolons. best: yes where the cell
        is bold in print."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(CSV_HEADER)
        for row in self.rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                name = f"{column.group}: {column.label}" if column.group else column.label
                writer.writerow([row.group, row.label, name, *_csv_fields(cell)])
        return out.getvalue()

    def write(self, tex: Path, csv: Path, html: Path) -> None:
        """The three files, each by rename."""
        for path, text in ((tex, self.to_latex()), (csv, self.to_csv()), (html, self.to_html())):
            with replacing(path) as temporary:
                temporary.write_bytes(text.encode())


def _csv_fields(cell: Cell) -> list[str]:
    paper = cell.published
    numbers = [_exact(value) for value in (cell.value, cell.std, cell.n_seeds, cell.n_images)]
    source = f"{paper.source} ({paper.trust})" if paper else ""
    published = [_exact(paper.value), _exact(paper.std), source] if paper else ["", "", ""]
    interval = [_exact(cell.low), _exact(cell.high)]
    return [
        *numbers,
        cell.unit,
        *published,
        ";".join(cell.sources),
        *interval,
        cell.text,
        *_compared(cell.reproduction),
        "yes" if cell.best else "",
    ]


def _compared(found: Reproduction | None) -> list[str]:
    if found is None:
        return [""] * 4
    return [*map(_exact, (found.difference, found.low, found.high)), found.verdict]


def _exact(value: float | None) -> str:
    return f"{value:.10g}" if is_number(value) else ""
