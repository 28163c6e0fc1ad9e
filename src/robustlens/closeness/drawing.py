"""Which images of a set a measurement takes, drawn by seed."""

import numpy as np

from robustlens.errors import RobustlensError


def subsample(count: int, most: int, random: np.random.Generator) -> np.ndarray:
    """Positions int64 (n,) of `most` of `count` images, ascending; of all of them where there are no more."""
    return np.arange(count) if count <= most else np.sort(random.choice(count, most, replace=False))


def drawn(labels: np.ndarray, classes: int, per_class: int, random: np.random.Generator, whose: str) -> np.ndarray:
    """Positions int64 (classes, per_class) of different images of each class, in random order.

    whose: what images they are, for the message. Raises RobustlensError for the first class that has too few.
    """
    positions = []
    for label in range(classes):
        found = np.flatnonzero(labels == label)
        if len(found) < per_class:
            raise RobustlensError(
                f"class {label} has {len(found)} {whose} images, and {per_class} of each class are needed; "
                "take fewer per class, or more images"
            )
        positions.append(random.choice(found, per_class, replace=False))
    return np.array(positions)


def check_all_there(labels: np.ndarray, classes: int, whose: str) -> None:
    """Raises RobustlensError for the first class that has no images. whose: as of `drawn`."""
    if missing := sorted(set(range(classes)) - set(labels.tolist())):
        raise RobustlensError(f"class {missing[0]} has no {whose} images; take more, or leave the class out")
