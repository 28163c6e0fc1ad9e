"""Claims of a paper, each with a decision rule that is fixed before the numbers are seen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from robustlens.analysis.statistics import Interval

SUPPORTED, CONTRADICTED, OPEN = "supported", "contradicted", "open"
VERDICTS = (SUPPORTED, CONTRADICTED, OPEN)


class NotMeasured(Exception):
    """The results that a claim needs do not exist; the message says which. The claim is then open."""


@dataclass(frozen=True)
class Outcome:
    """What the numbers say of a claim. estimate, low, high: NaN when nothing was measured."""

    estimate: float
    low: float
    high: float
    unit: str
    verdict: str
    detail: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """statement: what is claimed; source: where in the paper; rule: how it is decided, in words;
    evaluate: the rule as code, (data) -> Outcome.
    """

    id: str
    statement: str
    source: str
    rule: str
    evaluate: Callable[[Any], Outcome]


def decide(interval: Interval, unit: str, detail: str, sources: Sequence[str] = (), bound: float = 0.0) -> Outcome:
    """The general rule, for a claim that says "greater than `bound`": supported when the whole interval lies above the
    bound, contradicted when it lies below, open otherwise.
    """
    verdict = SUPPORTED if interval.low > bound else CONTRADICTED if interval.high < bound else OPEN
    text = f"{detail}; interval over {interval.factors}"
    return Outcome(interval.estimate, interval.low, interval.high, unit, verdict, text, tuple(dict.fromkeys(sources)))


def judge(claim: Claim, data: Any) -> Outcome:
    """The outcome of a claim on these data; open, with the reason, when something it needs was not measured."""
    try:
        return claim.evaluate(data)
    except NotMeasured as missing:
        return Outcome(math.nan, math.nan, math.nan, "", OPEN, f"Not measured: {missing}")
