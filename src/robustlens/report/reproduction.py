"""Whether a number of ours reproduces a published one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import scipy  # its parts are imported when they are first used: scipy.stats takes longer than a whole table

from robustlens.analysis.statistics import mean_std
from robustlens.report.published import UNJUDGED, Published

CONFIDENCE = 0.95
MARGIN = 2.0  # points: the widest half width of an interval that holds 0 and still says that a number is reproduced
REPRODUCED, NOT_REPRODUCED, OPEN = "reproduced", "not reproduced", "can't tell"
RULE = (
    "Published beside ours, by a rule that was written before any result: the 95 % interval of ours \u2212 published "
    "has the half width sqrt(a\u00b2 + b\u00b2 + c\u00b2), with a: that of the t interval of our mean over the seeds; "
    "b: the binomial error of our n test images, 1.96 sqrt(p (1 \u2212 p) / n); c: 1.96 times what the paper prints "
    "behind ± or, where it prints none, the binomial error of its number p on as many images. Reproduced: the interval "
    f"holds 0, and its half width is at most {MARGIN:g} points. Not reproduced: it does not hold 0. Can't tell: it "
    "holds 0 and is wider, or we have one seed, which gives no interval, or the number was read in a third party's "
    "summary of the paper or off a picture."
)


@dataclass(frozen=True)
class Reproduction:
    """difference: ours minus the published number, in points; low, high: its interval, NaN for one seed."""

    difference: float
    low: float
    high: float
    verdict: str


def reproduction(accuracies: Sequence[float], n_images: int, published: Published) -> Reproduction:
    """Judges accuracies in %, one per seed, each of `n_images` test images, by RULE."""
    mean, std = mean_std(accuracies)
    difference = mean - published.value
    if len(accuracies) < 2:
        return Reproduction(difference, math.nan, math.nan, OPEN)
    seeds = float(scipy.special.stdtrit(len(accuracies) - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(len(accuracies))
    theirs = _normal(published.std) if published.std is not None else _binomial(published.value, n_images)
    half = math.hypot(seeds, _binomial(mean, n_images), theirs)
    low, high = difference - half, difference + half
    if published.trust in UNJUDGED:
        return Reproduction(difference, low, high, OPEN)
    if low > 0 or high < 0:
        return Reproduction(difference, low, high, NOT_REPRODUCED)
    return Reproduction(difference, low, high, REPRODUCED if half <= MARGIN else OPEN)


def _normal(std: float) -> float:
    return float(scipy.special.ndtri((1 + CONFIDENCE) / 2)) * std


def _binomial(percent: float, n_images: int) -> float:
    """Half width, in points, of the interval of an accuracy in % that so many independent images gave."""
    p = percent / 100
    return _normal(100 * math.sqrt(p * (1 - p) / n_images))
