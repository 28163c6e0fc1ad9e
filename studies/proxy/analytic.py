"""The world in which both sides of the transfer bound are known, as this study draws and tabulates it: two Gaussian
classes, and a proxy whose classes are moved."""

import numpy as np

from robustlens.closeness import gaussian_world

# Classes about (2, 0) and (-2, 0) with deviation 1, and the classifier that is best for them. A proxy's classes are
# moved by a shift: to the boundary, away from it, along it, or both in one direction.
MEAN, DEVIATION = (2.0, 0.0), 1.0
CLASSIFIER = gaussian_world.half_space((1.0, 0.0), 0.0)
MOVES = {
    "to the boundary": ((1, 0), (-1, 0)),
    "away from it": ((-1, 0), (1, 0)),
    "both one way": ((1, 0), (1, 0)),
    "along it": ((0, 1), (0, 1)),
}


def real_world() -> gaussian_world.Gaussians:
    return gaussian_world.two_sided(MEAN, DEVIATION)


def proxy_world(move: str, length: float) -> gaussian_world.Gaussians:
    """The same with its classes moved, one of MOVES, so far."""
    return real_world().shifted(length * np.array(MOVES[move], np.float64))
