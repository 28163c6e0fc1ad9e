"""The labels of a dataset as all the rest of the project has them."""

from collections.abc import Sequence

import numpy as np

from robustlens.data.archives import RENEW
from robustlens.errors import RobustlensError


def checked_labels(values: Sequence[int], images: int, classes: int, where: str, first: int = 0) -> np.ndarray:
    """int64 (images,) in 0..classes-1, from whole numbers that count from `first`.

    Raises RobustlensError, naming `where`, unless there is one such number for each image.
    """
    try:
        labels = np.asarray(values)
    except ValueError:  # lists in the list
        labels = np.empty(())
    if labels.ndim != 1 or (labels.dtype.kind not in "iu" and len(labels)):
        raise RobustlensError(f"{where}: its labels are not a list of whole numbers; {RENEW}")
    if len(labels) != images:
        raise RobustlensError(f"{where}: {len(labels)} labels for {images} images; {RENEW}")
    wrong = labels[(labels < first) | (labels >= first + classes)]
    if len(wrong):
        raise RobustlensError(f"{where}: label {wrong[0]} is not one of {first}..{first + classes - 1}; {RENEW}")
    return labels.astype(np.int64) - first
