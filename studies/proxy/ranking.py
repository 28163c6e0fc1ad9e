"""How a measure of generators ranks them, beside what their images do for robust training."""

import numpy as np

from robustlens.analysis.classwise import spearman
from robustlens.analysis.statistics import Interval

DRAWS = 2000


def agreement(gains: np.ndarray, measures: np.ndarray) -> Interval:
    """Spearman's correlation of the gains and of each row of measures, the lower the better; of two rows, that of the
    first minus that of the second.

    gains: points (G, seeds, images), of each generator over the same baseline. measures: (1 or 2, G).
    Seeds and images are drawn with replacement, for all generators alike; the generators are these. With a single seed
    the interval is over images alone, and says so.
    """
    random = np.random.default_rng(0)
    _, seeds, images = gains.shape
    drawn = random.integers(seeds, size=(DRAWS, seeds)), random.multinomial(images, [1 / images] * images, size=DRAWS)
    # The mean over the drawn seeds is one with weights; so is that over images.
    weights = np.stack([np.bincount(row, minlength=seeds) for row in drawn[0]]) / seeds
    means = np.einsum("ds,gsi,di->dg", weights, gains, drawn[1] / images, optimize=True)
    found = _difference(means, measures)
    factors = "images only (one seed)" if seeds == 1 else "seeds and images"
    low, high = np.quantile(found, [0.025, 0.975])
    estimate = _difference(gains.mean(axis=(1, 2))[None], measures)[0]
    return Interval(float(estimate), float(low), float(high), f"{factors}; the generators are these")


def _difference(means: np.ndarray, measures: np.ndarray) -> np.ndarray:
    """means: (D, G)."""
    each = [spearman(means, np.broadcast_to(-row, means.shape)) for row in measures]
    return each[0] if len(each) == 1 else each[0] - each[1]
