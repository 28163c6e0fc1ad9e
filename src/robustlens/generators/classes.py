"""The training images of each class, as generators need them."""

from dataclasses import dataclass

import numpy as np

from robustlens.errors import RobustlensError


@dataclass(frozen=True)
class Images:
    """Training images that a generator keeps: pixels float (N, C, H, W) in [0, 1], labels int64 (N,)."""

    pixels: np.ndarray
    labels: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return self.pixels.shape[1:]

    def of(self, label: int) -> np.ndarray:
        """Those of one class, float64 (n, C * H * W): a copy."""
        found = self.pixels[self.labels == label]
        return found.astype(np.float64).reshape(len(found), -1)

    def state(self) -> dict[str, np.ndarray]:
        """As `Images(**state)` takes it. Files have single precision, which 8-bit pixels fit into."""
        return {"pixels": self.pixels.astype(np.float32), "labels": self.labels.astype(np.int64)}


def positions_by_class(labels: np.ndarray, classes: int, least: int) -> list[np.ndarray]:
    """The positions of the images of each class, in ascending order. labels: int (N,).

    Raises RobustlensError for the first class that has fewer than `least` images.
    """
    positions = [np.flatnonzero(labels == label) for label in range(classes)]
    for label, found in enumerate(positions):
        if len(found) < least:
            images = f"{len(found) or 'no'} training image{'' if len(found) == 1 else 's'}"
            raise RobustlensError(
                f"class {label} has {images}, and the generator needs at least {least} of each class; raise "
                "`splits.train` of the dataset, or leave the class out of its `classes`"
            )
    return positions
