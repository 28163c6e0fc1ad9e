"""The norms that distances are measured in, and the vectors that they are of."""

from typing import NamedTuple

import numpy as np

from robustlens.errors import RobustlensError


class Norm(NamedTuple):
    """metric: what scipy's `cdist` calls its distance. order: what numpy's `norm` calls it; dual: the dual norm."""

    metric: str
    order: float
    dual: float

    def length(self, vectors: np.ndarray) -> np.ndarray:
        """Of vectors (..., d): (...)."""
        return np.linalg.norm(vectors, self.order, axis=-1)

    def dual_length(self, vectors: np.ndarray) -> np.ndarray:
        """The largest w.v over all v of length 1, for vectors w (..., d): (...)."""
        return np.linalg.norm(vectors, self.dual, axis=-1)


NORMS = {"l2": Norm("euclidean", 2, 2), "linf": Norm("chebyshev", np.inf, 1)}


def norm_called(name: str) -> Norm:
    """Raises RobustlensError for a name that is not one of NORMS."""
    if name not in NORMS:
        raise RobustlensError(f"norm {name!r}: distances are measured in one of {', '.join(NORMS)}")
    return NORMS[name]


def vectors(images: np.ndarray) -> np.ndarray:
    """Images (N, ...) as float64 (N, d)."""
    return np.asarray(images, np.float64).reshape(len(images), -1)
