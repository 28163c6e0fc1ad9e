"""A kernel density estimate per class: training images with noise. A control: little noise copies the training images,
more of it is what augmentation with noise is."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from robustlens.generators.classes import Images, positions_by_class
from robustlens.generators.work import Work
from robustlens.parameters import Positive


@dataclass(frozen=True)
class KDE:
    """A training image of the class, each as likely as the others, plus N(0, bandwidth^2 I), clipped to [0, 1].

    bandwidth: the standard deviation of the noise, in units of the pixel range.
    """

    bandwidth: Positive

    def fit(
        self, pixels: np.ndarray, labels: np.ndarray, classes: int, random: np.random.Generator, work: Work
    ) -> "Fitted":
        """Draws nothing."""
        positions_by_class(labels, classes, least=1)
        return Fitted(self.bandwidth, Images(pixels, labels))

    def restored(self, state: dict[str, np.ndarray], shape: tuple[int, ...], device: Any) -> "Fitted":
        return Fitted(self.bandwidth, Images(**state))


class Fitted:
    def __init__(self, bandwidth: float, images: Images):
        self.bandwidth, self.images = bandwidth, images

    def state(self) -> dict[str, np.ndarray]:
        return self.images.state()

    def sample(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        """float64 (count, C, H, W)."""
        images = self.images.of(label)
        drawn = images[random.integers(len(images), size=count)]
        drawn += self.bandwidth * random.standard_normal(drawn.shape)
        return np.clip(drawn, 0.0, 1.0, out=drawn).reshape(count, *self.images.shape)
