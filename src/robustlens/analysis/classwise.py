"""How accuracy differs between classes, and intervals for what is computed from the accuracies of all classes.

Rates are accuracies between 0 and 1. Class-wise variance and gap are those of the class-wise robustness literature (CV
and MCD there; Tian et al. 2021 and its follow-ups).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy  # its parts are imported when they are first used: scipy.stats takes longer than a whole table

from robustlens.analysis.frames import seeds_by_images
from robustlens.analysis.statistics import Interval

DRAWS, BATCH = 1000, 100
NEARLY_ONE = 0.999  # the largest correlation that counts on Fisher's scale, where 1 is infinite

# Of the rates of all classes ------------------------------------------------------------------------------------------


def class_means(values: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The mean of values (..., N) over the images of each class: (..., classes); NaN for a class without images.

    labels: (N,), from 0 to classes - 1.
    """
    values = np.asarray(values, dtype=np.float64)
    rows = values.reshape(-1, values.shape[-1])
    sums = np.zeros((len(rows), classes))
    for number, row in enumerate(rows):
        sums[number] = np.bincount(labels, weights=row, minlength=classes)
    with np.errstate(invalid="ignore"):
        return sums.reshape(*values.shape[:-1], classes) / np.bincount(labels, minlength=classes)


def class_variance(rates: np.ndarray) -> np.ndarray:
    """CV = (1/C) sum_c (a_c - mean)^2 of rates (..., C): the variance over classes, with divisor C. Here, as in the
    functions below, a class without images (NaN) does not count."""
    return np.nanvar(rates, axis=-1)


def class_gap(rates: np.ndarray) -> np.ndarray:
    """MCD = max_c a_c - min_c a_c of rates (..., C)."""
    return np.nanmax(rates, axis=-1) - np.nanmin(rates, axis=-1)


def worst_class(rates: np.ndarray) -> np.ndarray:
    """The smallest of rates (..., C)."""
    return np.nanmin(rates, axis=-1)


def mean_of_worst(rates: np.ndarray, count: int) -> np.ndarray:
    """The mean of the `count` smallest of rates (..., C). Raises ValueError where there are fewer classes."""
    if not 1 <= count <= rates.shape[-1]:
        raise ValueError(f"the worst {count} of {rates.shape[-1]} classes: choose from 1 to {rates.shape[-1]}")
    return np.nanmean(np.sort(rates, axis=-1)[..., :count], axis=-1)  # NaN is sorted to the end


def worst_tenth(rates: np.ndarray) -> np.ndarray:
    """The mean of the smallest tenth, rounded up, of rates (..., C). Where there are many classes, each with few test
    images, the worst one alone is a matter of single images."""
    return mean_of_worst(rates, math.ceil(rates.shape[-1] / 10))


# Of the rates of all classes under two attacks, or of two recipes -----------------------------------------------------


def pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation of x and y (..., C) over the last axis; NaN where one of them is constant."""
    x, y = (values - values.mean(axis=-1, keepdims=True) for values in (x, y))
    with np.errstate(invalid="ignore"):
        return (x * y).sum(axis=-1) / np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of x and y (..., C), equal values sharing the mean of their ranks."""
    return pearson(scipy.stats.rankdata(x, axis=-1), scipy.stats.rankdata(y, axis=-1))


def kendall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of x and y (..., C): concordant minus discordant pairs over the geometric mean of the numbers of
    pairs that are not tied in x and in y; NaN where one of them is constant. None of x and y is NaN."""
    ranks = (scipy.stats.rankdata(values, method="dense", axis=-1).astype(np.int16) for values in (x, y))
    x, y = (np.ascontiguousarray(np.moveaxis(of_classes, -1, 0)) for of_classes in np.broadcast_arrays(*ranks))
    # For each class, sums over the classes before it: at most C - 1, so that int16 holds them.
    both, of_x, of_y = np.zeros((3, *x.shape), np.int16)
    for apart in range(1, len(x)):  # pairs of classes that are as far apart: all at once take too much memory
        in_x, in_y = _order(x, apart), _order(y, apart)
        both[apart:] += in_x * in_y
        of_x[apart:] += np.abs(in_x)
        of_y[apart:] += np.abs(in_y)
    both, of_x, of_y = (of_each.sum(axis=0, dtype=np.int64) for of_each in (both, of_x, of_y))
    with np.errstate(invalid="ignore"):
        return both / np.sqrt(np.multiply(of_x, of_y, dtype=np.float64))


def _order(ranks: np.ndarray, apart: int) -> np.ndarray:
    """Of ranks (C, ...), for each two that are `apart` in C: 1, 0 or -1 where the second one is larger, equal or
    smaller; int8."""
    first, second = ranks[:-apart], ranks[apart:]
    return (second > first).view(np.int8) - (second < first).view(np.int8)


# From evaluations -----------------------------------------------------------------------------------------------------


def shared_answers(parts: Sequence[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each attacked image is classified correctly: (seeds, parts, N), 1 or 0, and the labels (N,); over the
    seeds and images that all parts have, of which there may be none.

    parts: evaluations (label, prediction_adversarial, seed, index) of one dataset, each of one recipe, attack and
    checkpoint.
    """
    tables = [
        seeds_by_images(part.assign(right=part["prediction_adversarial"] == part["label"]), "right") for part in parts
    ]
    seeds, images = tables[0].index, tables[0].columns
    for table in tables[1:]:
        seeds, images = seeds.intersection(table.index), images.intersection(table.columns)
    labels = parts[0].drop_duplicates("index").set_index("index")["label"]
    right = np.stack([table.loc[seeds, images].to_numpy() for table in tables], axis=1)
    return right, labels.loc[images].to_numpy()


# Intervals ------------------------------------------------------------------------------------------------------------


def accuracy_interval(right: np.ndarray) -> Interval:
    """Interval, at 95 %, of the accuracy on the images of one class. right: (seeds, images), 1 or 0.

    It is `resampled_interval`. Where all answers are the same, that would have no width; there it is the exact binomial
    interval of the images (Clopper and Pearson 1934), as if there were one seed.
    """
    images = right.shape[1]
    if right.min() != right.max():
        return resampled_interval(right, np.zeros(images, int), per_run(worst_class), (0.0, 1.0))
    exact = scipy.stats.binomtest(int(right[0].sum()), images).proportion_ci()
    return Interval(float(right.mean()), float(exact.low), float(exact.high), "images only (all answers are the same)")


def per_run(metric: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A statistic for `resampled_interval`: the metric of each run, averaged over the seeds."""
    return lambda rates: metric(rates).mean(axis=1)


def resampled_interval(
    values: np.ndarray,
    strata: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    within: tuple[float, float] = (-math.inf, math.inf),
    confidence: float = 0.95,
    draws: int = DRAWS,
    also_drawn: str = "",
) -> Interval:
    """Bootstrap interval of a statistic of class means, by drawing images within each class, and seeds, with
    replacement. The random numbers are the same at every call.

    values: (seeds, ..., images), such as 1 where an image is classified correctly, else 0. strata: (images,), the class
        of each image; a class may also be split into several strata.
    statistic: takes means (draws, seeds, ..., strata), strata in the order of their numbers, and returns (draws,).
    within: the values that the statistic can take.
    also_drawn: what the strata are, such as "classes", where they are drawn with replacement, too: the interval is then
        also about others like them. "" where they are taken as they are.

    From the estimate e, and bias b = mean of the draws - e and standard deviation s of the draws, the interval is
    e - b +- z s, z = 1.96 at 95 % (Davison and Hinkley 1997, section 5.2.1). It allows for the bias of statistics like
    the worst class, which looks worse in a sample than it is: the interval can lie to one side of the estimate, and
    quantiles of the draws would repeat the bias. One seed less is drawn than there are, or the variance over seeds
    would be too small by a factor of (S - 1)/S (Rao and Wu 1988).

    Simulated with 3 seeds and 10 classes of 20 or 140 images whose accuracies differ, it covers the truth of worst
    class, worst three, variance, gap and rank correlations in 91 to 100 % of cases (quantiles: 5 to 99 %), and that of
    the gap in 80 to 95 % where all classes are equal (quantiles: never). Few seeds that differ much make it too narrow.
    With one seed it is over images only, and `factors` says so. A stratum of one image makes it infinite. Draws for
    which the statistic is not defined are left out.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape[0] == 0 or values.shape[-1] == 0:
        raise ValueError(f"values must be of shape (seeds, ..., images), none of them 0, got {values.shape}")
    random, seeds = np.random.default_rng(0), values.shape[0]
    parts = _by_stratum(values, strata)
    estimate = float(statistic(np.stack([part.mean(axis=-1) for part in parts], axis=-1)[None])[0])
    factors = _factors(seeds, also_drawn)
    if min(part.shape[-1] for part in parts) == 1 or math.isnan(estimate):
        unknown = math.nan if math.isnan(estimate) else math.inf
        return Interval(estimate, -unknown, unknown, factors)
    patterns = [_patterns(part) for part in parts]
    drawn = []
    for size in [BATCH] * (draws // BATCH) + [draws % BATCH] * (draws % BATCH > 0):
        means = np.stack([_drawn_means(*pattern, size, random) for pattern in patterns], axis=-1)
        means = means.reshape(size, *values.shape[:-1], len(parts))
        if seeds > 1:
            chosen = random.integers(seeds, size=(size, seeds - 1))
            means = means[np.arange(size)[:, None], chosen]
        if also_drawn:
            chosen = random.integers(len(parts), size=(size, *[1] * (values.ndim - 1), len(parts)))
            means = np.take_along_axis(means, chosen, axis=-1)
        drawn.append(statistic(means))
    found = np.concatenate(drawn)
    centre, half = 2 * estimate - np.nanmean(found), scipy.special.ndtri((1 + confidence) / 2) * np.nanstd(found)
    low, high = np.clip([centre - half, centre + half], *within)
    return Interval(estimate, float(low), float(high), factors)


def resampled_correlation(
    values: np.ndarray, strata: np.ndarray, correlation: Callable[[np.ndarray], np.ndarray], also_drawn: str
) -> Interval:
    """`resampled_interval` of a correlation over the strata, which are drawn, too, on Fisher's scale (arctanh).

    Simulated with 3 seeds and ten classes of 20 or 140 images, and true correlations of 0, 0.5 and 0.8, it covers the
    truth in 94 to 98 % of cases, and lies above a true 0 in up to 2 %: without that scale in 5 to 9 %. One that takes
    these classes as they are lies above or below a true 0 in half of the cases or more.
    """

    def scaled(means: np.ndarray) -> np.ndarray:
        return np.arctanh(np.clip(correlation(means), -NEARLY_ONE, NEARLY_ONE))

    found = resampled_interval(values, strata, scaled, also_drawn=also_drawn)
    means = np.stack([part.mean(axis=-1) for part in _by_stratum(values, strata)], axis=-1)
    estimate = float(correlation(means[None])[0])
    return Interval(estimate, math.tanh(found.low), math.tanh(found.high), found.factors)


def _factors(seeds: int, also_drawn: str) -> str:
    """What an interval is over. One seed is told first: claims stay open then."""
    if seeds == 1:
        return "images only (one seed)" + (f", and {also_drawn}" if also_drawn else "")
    return f"seeds, images and {also_drawn}" if also_drawn else "seeds and images"


def _by_stratum(values: np.ndarray, strata: np.ndarray) -> list[np.ndarray]:
    """The values (..., n) of the images of each stratum, in the order of their numbers."""
    strata = np.asarray(strata)
    order = np.argsort(strata, kind="stable")
    first_of_each = np.unique(strata[order], return_index=True)[1]
    return [values[..., images] for images in np.split(order, first_of_each[1:])]


def _patterns(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different columns of values (..., n), flattened to (m, k), and how many images have each: (k,). Many images
    are alike, which makes drawing them quick."""
    return np.unique(part.reshape(-1, part.shape[-1]), axis=1, return_counts=True)


def _drawn_means(columns: np.ndarray, counts: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Means (size, m) of as many images as there are, drawn with replacement."""
    images = counts.sum()
    return random.multinomial(images, counts / images, size=size) @ columns.T / images
