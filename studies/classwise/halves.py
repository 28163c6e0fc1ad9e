"""Images of each class in two halves, so that what is chosen, or measured, on one is compared with the other."""

import numpy as np
import pandas as pd


def halves(labels: np.ndarray) -> np.ndarray:
    """A number for each image: twice its class, plus 0 or 1 in turn within the class. labels: (N,)."""
    return 2 * labels + pd.Series(labels).groupby(labels).cumcount().to_numpy() % 2


def each_way(means: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(one half, the other), and the other way round, of means (..., 2 C) over the strata of `halves`."""
    even, odd = means[..., 0::2], means[..., 1::2]
    return [(even, odd), (odd, even)]
