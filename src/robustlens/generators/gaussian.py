"""One Gaussian per class, with the mean and the covariance of its training images."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from robustlens.generators.classes import Images, positions_by_class
from robustlens.generators.work import Work
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

    def fit(
        self, pixels: np.ndarray, labels: np.ndarray, classes: int, random: np.random.Generator, work: Work
    ) -> "Fitted":
        """Draws nothing. Raises RobustlensError for a class of fewer than two images, which have no covariance."""
        positions_by_class(labels, classes, least=2)
        return Fitted(self, Images(pixels, labels))

    def restored(self, state: dict[str, np.ndarray], shape: tuple[int, ...], device: Any) -> "Fitted":
        return Fitted(self, Images(**state))


class Fitted:
    """The Gaussians of all classes. What is kept of them are the images that they are fitted to: fewer numbers than
    their covariances have, unless there are many images of few pixels.

    Only the last Gaussian that was sampled stays in memory: it takes as much as the images of its class in float64.
    """

    def __init__(self, settings: Gaussian, images: Images):
        self.settings, self.images = settings, images
        self.kept: tuple[int, tuple[np.ndarray, ...]] = (-1, ())

    def state(self) -> dict[str, np.ndarray]:
        return self.images.state()

    def sample(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        """float64 (count, C, H, W)."""
        if self.kept[0] != label:
            self.kept = label, self._gaussian(label)
        mean, directions, deviation = self.kept[1]
        normal = random.standard_normal((count, len(directions) + len(mean)))
        images = normal[:, len(directions) :] * deviation
        images += normal[:, : len(directions)] @ directions
        images += mean
        return np.clip(images, 0.0, 1.0, out=images).reshape(count, *self.images.shape)

    def _gaussian(self, label: int) -> tuple[np.ndarray, ...]:
        """Mean (d,), directions A (k, d) and deviations D (d,): with normal y and z, a sample is mean + y A + z D.

        S = X^T X / (n - 1), where X are the images minus their mean. So a random combination of these images has the
        covariance S, and it takes no factorisation, which a singular S (n <= d) might not have.
        """
        images = self.images.of(label)
        mean = images.mean(axis=0)
        images -= mean
        kept = (1 - self.settings.shrinkage) / (len(images) - 1)
        variances = np.square(images).sum(axis=0)
        sphere = self.settings.shrinkage * variances.mean() / (len(images) - 1)
        if self.settings.covariance == "diagonal":
            return mean, images[:0], np.sqrt(kept * variances + sphere)
        images *= np.sqrt(kept)
        return mean, images, np.full(len(mean), np.sqrt(sphere))
