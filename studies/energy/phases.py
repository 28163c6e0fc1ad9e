"""The phases of adversarial training, found by a stated rule instead of by eye."""

from dataclasses import dataclass

import numpy as np

FEWEST_PAIRS = 10  # of bends; with fewer to choose from, the bends say where they may lie rather than where they lie


@dataclass(frozen=True)
class Phases:
    """first, second: the epochs where the line bends; slopes: of the three pieces, per epoch."""

    first: float
    second: float
    slopes: tuple[float, float, float]


def three_phases(epochs: np.ndarray, values: np.ndarray, shortest: int | None = None) -> Phases | None:
    """Least-squares fit of a continuous line of three straight pieces,

        v(t) = a + b t + c max(t - t1, 0) + d max(t - t2, 0),

    over every pair of bends t1 < t2 among the epochs that leaves each piece at least `shortest` steps long; of
    equally good pairs the earliest. None when no pair does.

    epochs: increasing (n,); values: (n,). shortest: without it max(3, 15 % of n), and None is returned, too, when this
    leaves fewer than FEWEST_PAIRS pairs to choose from, i.e. for fewer than 13 epochs.
    """
    if shortest is None:
        shortest = max(3, round(0.15 * len(epochs)))
        spare = len(epochs) - 3 * shortest
        if spare < 1 or spare * (spare + 1) // 2 < FEWEST_PAIRS:
            return None
    t, v = np.asarray(epochs, dtype=np.float64), np.asarray(values, dtype=np.float64)
    best, found = np.inf, None
    for i in range(shortest, len(t) - 2 * shortest):
        for j in range(i + shortest, len(t) - shortest):
            design = np.stack([np.ones_like(t), t, np.maximum(t - t[i], 0), np.maximum(t - t[j], 0)], axis=1)
            coefficients = np.linalg.lstsq(design, v, rcond=None)[0]
            error = ((design @ coefficients - v) ** 2).sum()
            if error < best:
                slopes = np.cumsum(coefficients[1:])
                best, found = error, Phases(float(t[i]), float(t[j]), tuple(float(s) for s in slopes))
    return found
