"""Intervals and summaries that say how far a number can be trusted."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are imported when they are first used: scipy.stats takes longer than a whole table


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval. factors: what the interval generalises over, for the reader."""

    estimate: float
    low: float
    high: float
    factors: str


def crossed_interval(differences: np.ndarray, confidence: float = 0.95) -> Interval:
    """Confidence interval of the mean of paired differences (seeds, images), both factors random.

    Model: d[s, i] = mu + seed_s + image_i + error_si. Method of moments of the two-way ANOVA without replicates
    (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4):

        Var(mean) = (MS_seed + MS_image - MS_residual) / (S N)

    with a variance component that comes out negative set to zero, i.e. never below max(MS) / (S N).
    The t quantile has Satterthwaite's (1946) degrees of freedom. Simulated with normal components it covers the truth
    in 92 to 98 % of cases for 3 seeds, and in as few as 89 % for 2, where an interval over the images alone
    falls below 50 %. With one seed (or one image) this is the t interval
    over the other factor, and `factors` says so; a single number has an infinite interval.
    Raises ValueError for an empty, non-finite or not two-dimensional array.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or d.size == 0 or not np.isfinite(d).all():
        raise ValueError(f"differences must be finite and of shape (seeds, images), got shape {d.shape}")
    seeds, images = d.shape
    if seeds == 1 or images == 1:
        return _one_factor(d.ravel(), confidence, "images only (one seed)" if seeds == 1 else "seeds only")
    mean, by_seed, by_image = d.mean(), d.mean(axis=1), d.mean(axis=0)
    residual = d - by_seed[:, None] - by_image[None, :] + mean
    squares = np.array([images * by_seed.var(ddof=1), seeds * by_image.var(ddof=1), (residual**2).sum()])
    freedom = np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)])
    squares[2] /= freedom[2]
    variance = max(squares[0] + squares[1] - squares[2], squares.max())
    spread = (squares**2 / freedom).sum()
    df = max(variance**2 / spread, freedom.min()) if spread > 0 else freedom.min()
    half = _quantile(confidence, df) * math.sqrt(variance / d.size)
    return Interval(float(mean), float(mean - half), float(mean + half), "seeds and images")


def mean_std(values: Iterable[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (ddof = 1); the latter is NaN for one value."""
    array = np.asarray(list(values), dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else math.nan


def resolvable_difference(n: int, p: float, confidence: float = 0.95) -> float:
    """The smallest difference, in points, of two accuracies near `p` that n test images each can resolve:

        100 z sqrt(2 p (1 - p) / n),   z = 1.96 at 95 %

    It takes the two sets of answers for independent, and leaves out how results vary from seed to seed. The claims use
    intervals that are paired over images and seeds instead.
    """
    return float(100 * scipy.special.ndtri((1 + confidence) / 2) * math.sqrt(2 * p * (1 - p) / n))


def correlation_interval(x: np.ndarray, y: np.ndarray, confidence: float = 0.95) -> Interval:
    """Pearson's correlation of independent pairs with Fisher's (1921) z interval. Raises ValueError below 4 pairs."""
    if len(x) < 4:
        raise ValueError(f"a correlation interval needs at least 4 pairs, got {len(x)}")
    r = float(np.corrcoef(x, y)[0, 1])
    half = scipy.special.ndtri((1 + confidence) / 2) / math.sqrt(len(x) - 3)
    z = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15))
    return Interval(r, float(np.tanh(z - half)), float(np.tanh(z + half)), "pairs")


def rank_correlation_interval(x: np.ndarray, y: np.ndarray, confidence: float = 0.95) -> Interval:
    """Spearman's correlation of independent pairs with the z interval of Bonett and Wright (2000), whose variance is
    (1 + r^2 / 2) / (n - 3). Raises ValueError below 4 pairs.

    That interval has no width for ranks that agree in full. There it is, up to 1, that of ranks of which two neighbours
    are swapped: ours.
    """
    if len(x) < 4:
        raise ValueError(f"a correlation interval needs at least 4 pairs, got {len(x)}")
    r = float(scipy.stats.spearmanr(x, y).statistic)
    swapped = 1 - 12 / (len(x) * (len(x) ** 2 - 1))
    half = scipy.special.ndtri((1 + confidence) / 2) * math.sqrt((1 + r**2 / 2) / (len(x) - 3))
    z = np.arctanh(np.clip(r, -swapped, swapped))
    return Interval(r, min(r, float(np.tanh(z - half))), max(r, float(np.tanh(z + half))), "pairs")


def _one_factor(values: np.ndarray, confidence: float, factors: str) -> Interval:
    mean = float(values.mean())
    if values.size == 1:
        return Interval(mean, -math.inf, math.inf, "nothing (a single number)")
    half = _quantile(confidence, values.size - 1) * math.sqrt(values.var(ddof=1) / values.size)
    return Interval(mean, mean - half, mean + half, factors)


def _quantile(confidence: float, df: float) -> float:
    return float(scipy.special.stdtrit(df, (1 + confidence) / 2))
