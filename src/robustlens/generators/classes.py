"""The training images of each class, as generators need them."""

import numpy as np

from robustlens.errors import RobustlensError


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
