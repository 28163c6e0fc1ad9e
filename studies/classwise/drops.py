"""What a stronger attack takes from each class beyond PGD-20, against how robust the class is."""

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import class_means, resampled_interval, shared_answers
from robustlens.analysis.statistics import Interval
from studies.classwise.halves import each_way, halves


def slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the least-squares line of y on x (..., C); NaN where x is constant."""
    x, y = (values - values.mean(axis=-1, keepdims=True) for values in (x, y))
    with np.errstate(invalid="ignore"):
        return (x * y).sum(axis=-1) / (x**2).sum(axis=-1)


def class_drops(reference: pd.DataFrame, stronger: pd.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
    """The accuracies (0..1) of the classes under the reference attack, and what the stronger attack takes from them,
    on the images and averaged over the seeds that both have; None where they have none in common. Each: one recipe."""
    right, labels = shared_answers([reference, stronger])
    if not right.size:
        return None
    classes, numbers = np.unique(labels, return_inverse=True)
    before, after = class_means(right, numbers, len(classes)).mean(axis=0)
    return before, before - after


def drop_slope(rates: np.ndarray) -> np.ndarray:
    """The slope of drops on robustness, from rates (draws, seeds, [reference, stronger] pairs, 2 C) over the strata of
    `halves`: averaged over both ways and over the pairs.

    Robustness under the reference attack is that of one half of each class's images, the drop that of the other half.
    On the same images, chance that makes a class look robust would also make its drop look large.
    """
    rates = rates.mean(axis=1)
    slopes = [slope(x[:, 0::2], y[:, 0::2] - y[:, 1::2]) for x, y in each_way(rates)]
    return np.mean(slopes, axis=0).mean(axis=-1)


def drop_slope_interval(parts: list[pd.DataFrame], confidence: float = 0.95) -> Interval | None:
    """parts: rows under the reference and under the stronger attack, of one recipe or, in turn, of several. None where
    they have no seed and image in common."""
    right, labels = shared_answers(parts)
    return resampled_interval(right, halves(labels), drop_slope, confidence=confidence) if right.size else None
