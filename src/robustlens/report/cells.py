"""The parts of a table and how a number is printed."""

import math
from dataclasses import dataclass

from robustlens.report.published import Published
from robustlens.report.reproduction import Reproduction

MISSING = "\u2013"  # en dash
MINUS = "\u2212"


@dataclass(frozen=True)
class Cell:
    """One number with its uncertainty (std over seeds, or an interval low..high), or a text.

    digits: the most decimals in print, of which a wide spread leaves fewer; the CSV has ten significant digits.
    n_images: per seed. sources: files. A value of None or NaN is missing. verdict: one of the claims' verdicts, which
    colours the cell in HTML. reproduction: what the number says of the published one. best: whether it is the best of
    its column, or can't be told apart from that, which is printed in bold.
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
    reproduction: Reproduction | None = None
    best: bool = False

    @property
    def has_spread(self) -> bool:
        """Whether there is a number with an uncertainty."""
        return is_number(self.value) and (is_number(self.std) or (is_number(self.low) and is_number(self.high)))

    @property
    def decimals(self) -> int:
        """In print: as many as the spread allows, at most `digits`."""
        if not self.has_spread:
            return self.digits
        if is_number(self.std):
            return decimals_of_deviation(self.std, self.digits)
        return decimals_of_interval(self.low, self.high, self.digits)

    def __str__(self) -> str:
        """As a reader sees it: "83.1 ± 0.4", "1.20 [1.10, 1.30]", the text, or an en dash."""
        return self.printed(self.decimals)

    def printed(self, decimals: int) -> str:
        """The same with so many decimals."""
        if not is_number(self.value):
            return self.text or MISSING
        printed = number(self.value, decimals)
        if is_number(self.std):
            printed += f" ± {number(self.std, decimals)}"
        if is_number(self.low) and is_number(self.high):
            printed += f" [{number(self.low, decimals)}, {number(self.high, decimals)}]"
        return printed


@dataclass(frozen=True)
class Column:
    """A column; neighbours of the same non-empty `group` share a header. wide: holds sentences that wrap, and gets
    that part of the line beside the other wide ones."""

    label: str
    group: str = ""
    wide: float = 0.0


@dataclass(frozen=True)
class Row:
    """A row; a new non-empty `group` opens with a line that names it (a dataset, a model). printed: False for one that
    only the CSV has. of_seeds: False for one that no training is behind, such as real images: it has no mark for its
    one number."""

    label: str
    cells: tuple[Cell, ...]
    group: str = ""
    printed: bool = True
    of_seeds: bool = True


def is_number(value: float | None) -> bool:
    """Whether there is something to print: neither None nor NaN."""
    return value is not None and not math.isnan(value)


def decimals_of_deviation(std: float, most: int) -> int:
    """Of a number that is printed with its standard deviation: those that show one digit of it, or two where it begins
    with 1 or 2 (0.8 -> 1, 4.2 -> 0, 1.36 -> 1); at most `most`, and all of them for a deviation of 0."""
    if not math.isfinite(std) or std <= 0:
        return most
    leading = math.floor(math.log10(std))
    two = std < 2.95 * 10**leading
    return min(max(two - leading, 0), most)


def decimals_of_interval(low: float, high: float, most: int) -> int:
    """Those that show two digits of an interval's half width, so that an end near 0 is seen to be above or below it; at
    most `most`."""
    half = (high - low) / 2
    if not math.isfinite(half) or half <= 0:
        return most
    return min(max(1 - math.floor(math.log10(half)), 0), most)


def number(value: float, digits: int) -> str:
    """Fixed decimals with a true minus sign; what rounds to zero has none."""
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)
