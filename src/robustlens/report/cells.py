"""The parts of a table and how a number is printed."""

import math
from dataclasses import dataclass

from robustlens.report.published import Published

MISSING = "\u2013"  # en dash
MINUS = "\u2212"


@dataclass(frozen=True)
class Cell:
    """One number with its uncertainty (std over seeds, or an interval low..high), or a text.

    digits: decimals in print; the CSV has ten significant digits. n_images: per seed. sources: files.
    A value of None or NaN is missing. verdict: one of the claims' verdicts, which colours the cell in HTML.
    """

    value: float | None = None
    digits: int = 0
    text: str = ""
    std: float | None = None
    low: float | None = None
    high: float | None = None
    n_seeds: int | None = None
    n_images: int | None = None
    unit: str = ""
    published: Published | None = None
    sources: tuple[str, ...] = ()
    verdict: str = ""

    def __str__(self) -> str:
        """As a reader sees it: "83.10 ± 0.42", "1.20 [1.10, 1.30]", the text, or an en dash."""
        if not is_number(self.value):
            return self.text or MISSING
        printed = number(self.value, self.digits)
        if is_number(self.std):
            printed += f" ± {number(self.std, self.digits)}"
        if is_number(self.low) and is_number(self.high):
            printed += f" [{number(self.low, self.digits)}, {number(self.high, self.digits)}]"
        return printed


@dataclass(frozen=True)
class Column:
    """A column; neighbours of the same non-empty `group` share a header. wide: holds sentences that wrap, and gets
    that part of the line beside the other wide ones. below: in print, beside wide columns, its cells stand below the
    row's label."""

    label: str
    group: str = ""
    wide: float = 0.0
    below: bool = False


@dataclass(frozen=True)
class Row:
    """A row; a new non-empty `group` opens with a line that names it (a dataset, a model)."""

    label: str
    cells: tuple[Cell, ...]
    group: str = ""


def is_number(value: float | None) -> bool:
    """Whether there is something to print: neither None nor NaN."""
    return value is not None and not math.isnan(value)


def number(value: float, digits: int) -> str:
    """Fixed decimals with a true minus sign; what rounds to zero has none."""
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)
