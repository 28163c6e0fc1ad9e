"""One Gaussian per class, with the mean and the covariance of its training images."""

from dataclasses import dataclass

import numpy as np

from robustlens.generators.classes import positions_by_class
from robustlens.parameters import Fractional, OneOf


@dataclass(frozen=True)
class Gaussian:
    """N(m, (1 - s) S + s tr(S)/d I), clipped to [0, 1], where m is the mean of the n training images of a class, S
    their covariance (with n - 1 below it), d the number of pixel values and s the shrinkage.

    covariance: `full`, or `diagonal`, which sets S to 0 outside its diagonal.
    shrinkage: s, towards the mean variance in all directions, which Ledoit and Wolf estimate (2004, "A well-conditioned
    estimator for large-dimensional covariance matrices") and we are given.
    """

    covariance: OneOf("diagonal", "full") = "diagonal"
    shrinkage: Fractional = 0.0

    def fit(self, pixels: np.ndarray, labels: np.ndarray, classes: int, random: np.random.Generator) -> "Fitted":
        """Draws nothing. Raises RobustlensError for a class of fewer than two images, which have no covariance."""
        return Fitted(self, pixels, positions_by_class(labels, classes, least=2))


class Fitted:
    """The Gaussians of all classes. Only the last one that was sampled is kept: it takes as much memory as the images
    of its class in float64."""

    def __init__(self, settings: Gaussian, pixels: np.ndarray, positions: list[np.ndarray]):
        self.settings, self.pixels, self.positions = settings, pixels, positions
        self.kept: tuple[int, tuple[np.ndarray, ...]] = (-1, ())

    def sample(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        """float64 (count, C, H, W)."""
        if self.kept[0] != label:
            self.kept = label, self._gaussian(label)
        mean, directions, deviation = self.kept[1]
        normal = random.standard_normal((count, len(directions) + len(mean)))
        images = normal[:, len(directions) :] * deviation
        images += normal[:, : len(directions)] @ directions
        images += mean
        return np.clip(images, 0.0, 1.0, out=images).reshape(count, *self.pixels.shape[1:])

    def _gaussian(self, label: int) -> tuple[np.ndarray, ...]:
        """Mean (d,), directions A (k, d) and deviations D (d,): with normal y and z, a sample is mean + y A + z D.

        S = X^T X / (n - 1), where X are the images minus their mean. So a random combination of these images has the
        covariance S, and it takes no factorisation, which a singular S (n <= d) might not have.
        """
        images = self.pixels[self.positions[label]].astype(np.float64).reshape(len(self.positions[label]), -1)
        mean = images.mean(axis=0)
        images -= mean
        kept = (1 - self.settings.shrinkage) / (len(images) - 1)
        variances = np.square(images).sum(axis=0)
        sphere = self.settings.shrinkage * variances.mean() / (len(images) - 1)
        if self.settings.covariance == "diagonal":
            return mean, images[:0], np.sqrt(kept * variances + sphere)
        images *= np.sqrt(kept)
        return mean, images, np.full(len(mean), np.sqrt(sphere))
