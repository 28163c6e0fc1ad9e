"""Scores of generated images from features and logits: pure functions of arrays, in float64.

Which name a score deserves depends on the network the features come from; see `features.score_names`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp

from robustlens.errors import RobustlensError


class Moments(NamedTuple):
    """mean (d,) and covariance (d, d), divisor n - 1, of n features."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    n: int


def moments(features: ArrayLike) -> Moments:
    """Mean and covariance of features (n, d), accumulated in float64.

    Raises RobustlensError for fewer than two features or for features that are not finite. Up to n = d the
    covariance is singular: the Fréchet distance is then still defined, but strongly biased upward.
    """
    features = _checked(features, at_least=2)
    return Moments(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)), len(features))


def frechet_distance(mean1: NDArray, cov1: NDArray, mean2: NDArray, cov2: NDArray) -> float:
    """||mean1 - mean2||^2 + Tr(cov1 + cov2 - 2 (cov1 cov2)^(1/2)) (Heusel et al. 2017).

    With cov1 = R R^T, cov1 cov2 has the eigenvalues of R^T cov2 R, which is symmetric: no matrix square root of a
    general matrix is needed, and nothing complex can come up. Eigenvalues that rounding has pushed below 0 count as 0.
    """
    if mean1.shape != mean2.shape or cov1.shape != cov2.shape:
        raise RobustlensError(
            f"Fréchet distance between features of {mean1.size} and of {mean2.size} dimensions: "
            f"compute both with the same feature network"
        )
    root = _root(np.asarray(cov1, dtype=np.float64))
    trace_of_root = np.sqrt(np.linalg.eigvalsh(root.T @ cov2 @ root).clip(min=0.0)).sum()
    difference = np.asarray(mean1, dtype=np.float64) - mean2
    return float(max(difference @ difference + np.trace(cov1) + np.trace(cov2) - 2.0 * trace_of_root, 0.0))


def _root(covariance: NDArray) -> NDArray:
    """R (d, d) with R R^T = covariance: Cholesky's, or by eigenvectors, slower, of one that is singular."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        eigenvalues, eigenvectors = np.linalg.eigh(covariance)
        return eigenvectors * np.sqrt(eigenvalues.clip(min=0.0))


def two_half_spread(features: ArrayLike, reference: Moments, seed: int) -> float:
    """|F_1 - F_2| of the Fréchet distances to the reference of two random halves of the features (n, d).

    It shows how far the distance depends on which samples were drawn. The halves' own distances are larger than that
    of all samples, because the bias grows as n shrinks.
    """
    features = _checked(features, at_least=4)
    order = np.random.default_rng(seed).permutation(len(features))
    half = len(features) // 2
    first, second = (
        frechet_distance(*moments(features[part])[:2], *reference[:2]) for part in (order[:half], order[half:])
    )
    return abs(first - second)


def inception_score(logits: ArrayLike, splits: int, seed: int) -> tuple[float, float]:
    """exp(E_x KL(p(y|x) || p(y))) (Salimans et al. 2016): mean and standard deviation (divisor: splits) over splits.

    logits: (n, K), or log-probabilities, of which a softmax changes nothing. They are shuffled with the seed and cut
        into `splits` parts as equal as possible; p(y) is the mean of p(y|x) over a part. The score is between 1 and K
        and comes out lower the smaller the parts are: n and splits belong to the number.
    """
    logits = _checked(logits, at_least=2 * splits)
    log_p = log_softmax(logits, axis=1)[np.random.default_rng(seed).permutation(len(logits))]
    scores = []
    for part in np.array_split(log_p, splits):
        log_marginal = logsumexp(part, axis=0) - np.log(len(part))
        divergence = (np.exp(part) * (part - log_marginal)).sum(axis=1)
        scores.append(np.exp(divergence.mean()))
    return float(np.mean(scores)), float(np.std(scores))


def kernel_distance(
    features1: ArrayLike, features2: ArrayLike, subset_size: int = 1000, subsets: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation over random subsets of the unbiased MMD^2 with the kernel (x.y / d + 1)^3.

    Kernel inception distance (Binkowski et al. 2018) with its usual protocol, 100 subsets of 1,000 of each side, drawn
    without replacement within a subset. Unbiased, so it can be below 0. features: (n1, d) and (n2, d).
    """
    features1, features2 = _checked(features1, at_least=subset_size), _checked(features2, at_least=subset_size)
    if subset_size < 2:
        raise RobustlensError(f"kernel distance: subset_size must be at least 2, got {subset_size}")
    generator = np.random.default_rng(seed)
    distances = []
    for _ in range(subsets):
        x = features1[generator.choice(len(features1), subset_size, replace=False)]
        y = features2[generator.choice(len(features2), subset_size, replace=False)]
        distances.append(_squared_mmd(x, y))
    return float(np.mean(distances)), float(np.std(distances))


def _squared_mmd(x: NDArray, y: NDArray) -> float:
    m = len(x)
    within = [(k.sum() - np.trace(k)) / (m * (m - 1)) for k in (_kernel(x, x), _kernel(y, y))]
    return sum(within) - 2.0 * _kernel(x, y).mean()


def _kernel(x: NDArray, y: NDArray) -> NDArray:
    base = x @ y.T / x.shape[1] + 1.0
    return base * base * base  # many times faster than ** 3


def _checked(values: ArrayLike, at_least: int) -> NDArray[np.float64]:
    """values (n, d) as float64, all of them finite and n large enough."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < at_least:
        raise RobustlensError(
            f"this score needs at least {at_least} images and got {len(values)}; "
            f"generate more samples, or use fewer splits or smaller subsets"
        )
    broken = int((~np.isfinite(values).all(axis=1)).sum())
    if broken:
        raise RobustlensError(
            f"features or logits of {broken} of {len(values)} images are not finite; "
            f"look for these images in the samples, or for a damaged feature network"
        )
    return values
