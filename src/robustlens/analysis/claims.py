"""Claims of a paper, each with a decision rule that is fixed before the numbers are seen."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robustlens.analysis.statistics import Interval, crossed_interval

SUPPORTED, CONTRADICTED, OPEN = "supported", "contradicted", "open"
VERDICTS = (SUPPORTED, CONTRADICTED, OPEN)
# Why a claim is open.
NOT_MEASURED, SINGLE_SEED, UNDERPOWERED, NOT_LEARNED = "not measured", "one seed", "underpowered", "not learned"
PAPER, CODE = "paper", "code"  # what a claim is about
ONE_SEED_PAIRS = "pairs of settings of one seed, which are not independent of each other"
ONE_SEED = ("images only", ONE_SEED_PAIRS)  # how the factors of an interval begin that knows no second training run


class NotMeasured(Exception):
    """The results that a claim needs do not exist; the message says which. The claim is then open."""


@dataclass(frozen=True)
class Outcome:
    """What the numbers say of a claim. estimate, low, high: NaN when nothing was measured.

    why_open: of an open claim, one of the reasons above. times_n: of an underpowered one, how many times as many of
    what its interval is over it would take for the interval to leave the bound, if estimate and spread stayed as they
    are; NaN where more would not help. bound: what the number has to be above.
    """

    estimate: float
    low: float
    high: float
    unit: str
    verdict: str
    detail: str
    sources: tuple[str, ...] = ()
    why_open: str = ""
    times_n: float = math.nan
    bound: float = 0.0

    def __post_init__(self) -> None:
        if (self.verdict == OPEN) != bool(self.why_open):
            raise ValueError(f"verdict {self.verdict!r} with the reason {self.why_open!r}: an open claim has one")

    def opened(self, why: str, detail: str = "") -> "Outcome":
        """Open for this reason, whatever the numbers are, and however many more of them there would be."""
        return replace(self, verdict=OPEN, why_open=why, times_n=math.nan, detail=detail or self.detail)


@dataclass(frozen=True)
class Claim:
    """statement: what is claimed; source: where in the paper; rule: how it is decided, in words;
    evaluate: the rule as code, (data) -> Outcome; datasets: those of the paper that the statement is about, empty for
    all of them. about: CODE for what is proven, so that numbers can only show a mistake of ours: it has a verdict like
    the others, but does not count among the claims of the paper.
    """

    id: str
    statement: str
    source: str
    rule: str
    evaluate: Callable[[Any], Outcome]
    datasets: tuple[str, ...] = ()
    about: str = PAPER


def collector(claims: list[Claim]) -> Callable:
    """A decorator of rules, with the texts of a claim as arguments, that appends the claim to `claims`."""

    def claim(
        name: str, statement: str, source: str, rule: str, datasets: tuple[str, ...] = (), about: str = PAPER
    ) -> Callable:
        def register(evaluate: Callable[[Any], Outcome]) -> Callable[[Any], Outcome]:
            claims.append(Claim(name, statement, source, rule, evaluate, datasets, about))
            return evaluate

        return register

    return claim


def decide(interval: Interval, unit: str, detail: str, sources: Sequence[str] = (), bound: float = 0.0) -> Outcome:
    """The general rule, for a claim that says "greater than `bound`": supported when the whole interval lies above the
    bound, contradicted when it lies below, open otherwise. With a single seed it is open whatever the interval, which
    cannot show how much training again would change the number.
    """
    verdict = SUPPORTED if interval.low > bound else CONTRADICTED if interval.high < bound else OPEN
    text = f"{detail}; interval over {interval.factors}"
    why, times = (UNDERPOWERED, _times_n(interval, bound)) if verdict == OPEN else ("", math.nan)
    if interval.factors.startswith(ONE_SEED):
        verdict, text = OPEN, f"{text}; one seed, so open whatever it says"
        why, times = SINGLE_SEED, math.nan
    files = tuple(dict.fromkeys(sources))
    return Outcome(interval.estimate, interval.low, interval.high, unit, verdict, text, files, why, times, bound)


def decide_all(
    parts: Mapping[str, np.ndarray],
    what: str,
    sources: Sequence[str],
    unit: str = "nat",
    bounds: Mapping[str, float] | None = None,
    over: str = "",
) -> Outcome:
    """For a claim of several parts, each of them differences (seeds, images) whose mean must be above its bound (0
    where `bounds` has none): supported if all intervals lie above, contradicted if any lies below. All intervals
    together hold at 95 % (Bonferroni). The part that decides is shown; a part with a single seed decides, and leaves
    the claim open, unless another part contradicts. over: what the rows are, if not seeds.
    """
    intervals = {name: crossed_interval(values, 1 - 0.05 / len(parts)) for name, values in parts.items()}
    return decide_intervals(intervals, what, sources, unit, bounds, over)


def decide_intervals(
    intervals: Mapping[str, Interval],
    what: str,
    sources: Sequence[str],
    unit: str = "nat",
    bounds: Mapping[str, float] | None = None,
    over: str = "",
) -> Outcome:
    """As `decide_all`, for parts whose intervals are there already. Each must hold at 1 - 0.05 / their number, so that
    all together hold at 95 %."""
    bound = {name: (bounds or {}).get(name, 0.0) for name in intervals}
    below = [name for name in intervals if intervals[name].high < bound[name]]
    single = [name for name in intervals if intervals[name].factors.startswith(ONE_SEED)]
    candidates = [name for name in below if name not in single] or single or below or intervals
    deciding = min(candidates, key=lambda name: _least(intervals[name].low - bound[name]))
    estimates = ", ".join(f"{name} {_signed(interval.estimate)}" for name, interval in intervals.items())
    detail = f"{what} {estimates}; {deciding} decides".strip()
    interval = replace(intervals[deciding], factors=over or intervals[deciding].factors)
    return decide(interval, unit, detail, sources, bound[deciding])


def judge(claim: Claim, data: Any) -> Outcome:
    """The outcome of a claim on these data; open, with the reason, when something it needs was not measured."""
    try:
        return claim.evaluate(data)
    except NotMeasured as missing:
        return Outcome(math.nan, math.nan, math.nan, "", OPEN, f"Not measured: {missing}", (), NOT_MEASURED)


def _times_n(interval: Interval, bound: float) -> float:
    """The width of an interval falls with the root of n: n must grow with the square of what the half towards the bound
    is too wide by."""
    distance = abs(interval.estimate - bound)
    half = interval.estimate - interval.low if interval.estimate > bound else interval.high - interval.estimate
    return (half / distance) ** 2 if distance > 0 and math.isfinite(half) else math.nan


def _least(value: float) -> float:
    """NaN as the smallest number: what could not be computed decides, and leaves the claim open."""
    return -math.inf if math.isnan(value) else value


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "\u2212")
