"""The Wasserstein distance W1 of two sets of images: the least mean distance over all ways to pair them, exactly.

Two samples of one distribution are apart, too, and in many dimensions nearly as far as samples of different ones: show
`floor` beside every distance. W1 does not see whether images are copies of training images; `copying` does.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from robustlens.closeness.drawing import drawn
from robustlens.closeness.norms import norm_called, vectors
from robustlens.errors import RobustlensError


class Conditional(NamedTuple):
    """value: the mean over the classes. by_class: float64 (classes,), W1 of each. per_class: images on each side."""

    value: float
    by_class: np.ndarray
    per_class: int


def wasserstein(a: np.ndarray, b: np.ndarray, norm: str) -> float:
    """W1 of the samples a (n, ...) and b (m, ...), each image with the same weight. Identical samples: exactly 0.

    It is an optimal assignment: of n to n images an optimal transport can be found among the permutations (Birkhoff).
    Where n divides m, each image of a counts m/n times. It needs max(n, m)^2 x 8 bytes, and time that grows with the
    third power: 2,000 images take less than a second.

    Raises RobustlensError where neither number divides the other, and for images of different sizes or with values that
    are not finite.
    """
    if a.shape[1:] != b.shape[1:]:
        raise RobustlensError(f"W1 between images of shape {a.shape[1:]} and of {b.shape[1:]}: they must be the same")
    small, large = sorted((len(a), len(b)))
    if small == 0 or large % small:
        raise RobustlensError(
            f"W1 of {len(a)} and {len(b)} images: draw as many of each, or a whole multiple of the smaller number"
        )
    cost = cdist(vectors(a), vectors(b), norm_called(norm).metric)
    if not np.isfinite(cost).all():
        raise RobustlensError("W1 of images that are not finite; look for NaN and infinite values in both samples")
    cost = cost.repeat(large // len(a), axis=0).repeat(large // len(b), axis=1)
    return float(cost[linear_sum_assignment(cost)].mean())


def conditional_wasserstein(
    a: np.ndarray,
    labels_a: np.ndarray,
    b: np.ndarray,
    labels_b: np.ndarray,
    classes: int,
    norm: str,
    per_class: int,
    random: np.random.Generator,
) -> Conditional:
    """The mean over the classes of W1 between `per_class` images of a, the real ones, and as many of b, the generated
    ones: the conditional Wasserstein distance (Sehwag et al. 2022) of samples in which all classes are as frequent.

    Raises RobustlensError for a class with fewer images on either side.
    """
    first = drawn(labels_a, classes, per_class, random, "real")
    second = drawn(labels_b, classes, per_class, random, "generated")
    return between(a, first, b, second, norm)


def floor(
    images: np.ndarray, labels: np.ndarray, classes: int, norm: str, per_class: int, random: np.random.Generator
) -> Conditional:
    """The same between real images and other real images: `per_class` of each class against as many others.

    Raises RobustlensError for a class with fewer than twice as many.
    """
    both = drawn(labels, classes, 2 * per_class, random, "real")
    return between(images, both[:, :per_class], images, both[:, per_class:], norm)


def between(a: np.ndarray, first: np.ndarray, b: np.ndarray, second: np.ndarray, norm: str) -> Conditional:
    """Of a at the positions `first` (classes, n), and b at the positions `second`, which `drawing.drawn` gives."""
    by_class = np.array([wasserstein(a[one], b[other], norm) for one, other in zip(first, second, strict=True)])
    return Conditional(float(by_class.mean()), by_class, first.shape[1])
