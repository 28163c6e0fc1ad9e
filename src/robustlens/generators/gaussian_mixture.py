"""A mixture of Gaussians per class, fitted by expectation maximisation (scikit-learn)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from robustlens.generators.classes import Images, positions_by_class
from robustlens.generators.work import Work
from robustlens.parameters import OneOf, Positive, PositiveInt


@dataclass(frozen=True)
class GaussianMixture:
    """Samples are clipped to [0, 1].

    components: Gaussians per class. covariance: `diagonal`, or `full`. floor: added to the variances of all pixels, so
    that constant ones have a density, too. starts: of the fit, of which the likeliest is kept.
    """

    components: PositiveInt = 3
    covariance: OneOf("diagonal", "full") = "diagonal"
    floor: Positive = 0.001
    starts: PositiveInt = 1

    def fit(
        self, pixels: np.ndarray, labels: np.ndarray, classes: int, random: np.random.Generator, work: Work
    ) -> "Fitted":
        """Raises RobustlensError for a class with fewer images than components."""
        from sklearn.mixture import GaussianMixture as Mixture

        positions_by_class(labels, classes, least=max(2, self.components))
        images, parts = Images(pixels, labels), []
        for label in range(classes):
            mixture = Mixture(
                self.components,
                covariance_type={"diagonal": "diag", "full": "full"}[self.covariance],
                reg_covar=self.floor,
                n_init=self.starts,
                random_state=int(random.integers(2**31)),
            ).fit(images.of(label))
            factor = np.linalg.cholesky if self.covariance == "full" else np.sqrt
            parts.append((mixture.weights_, mixture.means_, factor(mixture.covariances_)))
        weights, means, factors = (np.stack(part) for part in zip(*parts, strict=True))
        return Fitted(weights, means, factors, images.shape)

    def restored(self, state: dict[str, np.ndarray], shape: tuple[int, ...], device: Any) -> "Fitted":
        return Fitted(state["weights"], state["means"], state["factors"], shape)


class Fitted:
    """weights: (K, components). means: (K, components, d). factors: deviations (K, components, d), or L of the
    covariances L L^T, (K, components, d, d)."""

    def __init__(self, weights: np.ndarray, means: np.ndarray, factors: np.ndarray, shape: tuple[int, ...]):
        self.weights, self.means, self.factors, self.shape = weights, means, factors, tuple(shape)

    def state(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights, "means": self.means, "factors": self.factors}

    def sample(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        """float64 (count, C, H, W)."""
        chosen = random.choice(len(self.weights[label]), size=count, p=self.weights[label])
        drawn = random.standard_normal((count, self.means.shape[-1]))
        for component, factor in enumerate(self.factors[label]):
            here = chosen == component
            drawn[here] = drawn[here] * factor if factor.ndim == 1 else drawn[here] @ factor.T
        drawn += self.means[label][chosen]
        return np.clip(drawn, 0.0, 1.0, out=drawn).reshape(count, *self.shape)
