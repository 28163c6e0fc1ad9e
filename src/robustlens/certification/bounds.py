"""What follows from counts of classes under noise, without further assumptions (Cohen et al. 2019, section 3.2).

The distributions are written as the functions they are: importing scipy.stats takes a third of a short job's time.
"""

import numpy as np
from scipy.special import betainc, betaincinv, ndtri

from robustlens.errors import RobustlensError


def lower_bound(counts: np.ndarray, draws: int, alpha: float) -> np.ndarray:
    """Clopper and Pearson's (1934) lower confidence bounds of probabilities, float64, in [0, 1): with a probability of
    at most alpha such a bound is above the true one.

    counts: hits among `draws` draws each. alpha: one-sided. Raises RobustlensError for counts that are not from 0 to
    draws, and for an alpha outside (0, 1).
    """
    counts = np.asarray(counts)
    if draws < 1 or (counts < 0).any() or (counts > draws).any():
        raise RobustlensError(f"{draws} draws can't have {counts.min()} to {counts.max()} hits")
    if not 0 < alpha < 1:
        raise RobustlensError(f"alpha is a probability between 0 and 1, not {alpha}")
    hit = np.maximum(counts, 1)  # the quantile is not defined for 0, whose bound is 0
    return np.where(counts > 0, betaincinv(hit, draws - hit + 1, alpha), 0.0)


def abstains(p_lower: np.ndarray) -> np.ndarray:
    """Where the class might not be the most probable one: bool."""
    return np.asarray(p_lower) < 0.5


def radius(p_lower: np.ndarray, sigma: float) -> np.ndarray:
    """Certified L2 radii sigma Phi^-1(p) of lower bounds p, in the units of sigma; 0 where it abstains."""
    p_lower = np.asarray(p_lower, dtype=np.float64)
    return np.where(abstains(p_lower), 0.0, sigma * ndtri(p_lower))


def decided(first: np.ndarray, second: np.ndarray, alpha: float) -> np.ndarray:
    """Whether the most frequent class was drawn so much more often than the second one that it is the most probable
    one: bool. With a probability of at most alpha that is wrong.

    It is where the two-sided binomial test of `first` hits among first + second against 1/2 has a p-value of at most
    alpha. Raises RobustlensError for a second count above the first.
    """
    first, second = np.asarray(first), np.asarray(second)
    if (second > first).any() or (second < 0).any() or (first < 1).any():
        raise RobustlensError("the first count is the largest one, and above 0, the second at least 0")
    at_least_first = betainc(first, second + 1, 0.5)  # P(B >= first), B binomial of first + second trials at 1/2
    p_value = np.minimum(1.0, 2.0 * at_least_first)
    return p_value <= alpha


def linf_radius(l2_radius: np.ndarray, dimensions: int) -> np.ndarray:
    """The radius of the largest L-inf ball within an L2 ball: divided by the square root of the number of pixel
    values."""
    return np.asarray(l2_radius) / np.sqrt(dimensions)
