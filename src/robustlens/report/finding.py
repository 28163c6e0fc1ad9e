"""What a figure shows in a sentence: numbers with their intervals, in as many digits as these allow."""

import math
from collections.abc import Mapping, Sequence

from robustlens.analysis.statistics import Interval
from robustlens.report.cells import number


def excludes_zero(interval: Interval) -> bool:
    """Whether the data show a sign at all."""
    return interval.low > 0 or interval.high < 0


def printed(interval: Interval, unit: str = "") -> str:
    """Such as "2.1 [1.8, 2.4] nat"; a number without an interval, because it is one seed's, says so."""
    unit = f" {unit}" if unit else ""
    if not math.isfinite(interval.high - interval.low):
        return f"{number(interval.estimate, digits(interval.estimate))}{unit}, one seed"
    places = digits((interval.high - interval.low) / 2)
    if excludes_zero(interval):  # neither end is printed as 0
        places = max(places, *(digits(end, 1) for end in (interval.low, interval.high)))
    ends = ", ".join(number(end, places) for end in (interval.low, interval.high))
    return f"{number(interval.estimate, places)} [{ends}]{unit}"


def digits(size: float, significant: int = 2) -> int:
    """Decimals with which a number of this size has so many significant digits, from 0 to 4."""
    if not math.isfinite(size) or size == 0:
        return significant
    return min(max(significant - 1 - math.floor(math.log10(abs(size))), 0), 4)


def short(value: float, significant: int = 2) -> str:
    """A number in so many significant digits."""
    return number(value, digits(value, significant))


def counted(values: Sequence[float], what: str) -> str:
    """How many there are of something, which may differ: "3 seeds", "1 to 3 seeds", "1 seed"."""
    low, high = min(values), max(values)
    many = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{many} {what}{'s' * (high != 1)}"


def extremes(values: Mapping[str, float | Interval], unit: str = "") -> str:
    """What values span, to go behind "is": "between 1.2 % (A) and 3.4 % (B)". Intervals that don't tell the two ends
    apart say so."""
    order = sorted(values, key=lambda name: _estimate(values[name]))
    low, high = order[0], order[-1]
    told = [f"{_told(values[name], unit)} ({name})" for name in dict.fromkeys((low, high))]
    return f"between {told[0]} and {told[1]}{_order(values[low], values[high])}" if len(told) > 1 else told[0]


def _order(low: float | Interval, high: float | Interval) -> str:
    if not isinstance(low, Interval) or not isinstance(high, Interval) or low.high < high.low:
        return ""
    if math.isfinite(low.high - low.low) and math.isfinite(high.high - high.low):
        return ", whose intervals overlap: they show no order"
    return ": one seed shows no order"


def _estimate(value: float | Interval) -> float:
    return value.estimate if isinstance(value, Interval) else value


def _told(value: float | Interval, unit: str) -> str:
    if isinstance(value, Interval):
        return printed(value, unit)
    return f"{short(value)}{f' {unit}' if unit else ''}"
