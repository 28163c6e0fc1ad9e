"""Classes and splits of images that the user brings."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from robustlens.errors import RobustlensError

SEED = 0  # of the test split that a share is drawn for: it stays the same whatever `splits` says


def check_classes(labels: Sequence, count: int, where: str, what: str, names: Sequence) -> None:
    """Raise RobustlensError unless the classes `names` that are there are `count`, and each has images.

    labels: the class of each image. what: what makes a class, for the message.
    """
    if len(names) != count:
        shown = ", ".join(map(str, names[:5])) + (", ..." if len(names) > 5 else "")
        raise RobustlensError(
            f"{where}: {len(names)} {what} of classes ({shown}), and the reader's `class_count` is {count}; change the "
            "one that is wrong"
        )
    there = set(labels)
    if missing := [name for name in names if name not in there]:
        raise RobustlensError(f"{where}: class {missing[0]} has no images; every class needs some")


def share_out(labels: Sequence, share: float, where: str) -> np.ndarray:
    """bool (N,): which images are the test split, `share` of each class (rounded), drawn at random.

    Raises RobustlensError where the share leaves no image of a class to train or to test with.
    """
    labels, chosen = np.asarray(labels), np.zeros(len(labels), bool)
    for number, (name, count) in enumerate(sorted(Counter(labels.tolist()).items())):
        wanted = round(share * count)
        if not 0 < wanted < count:
            raise RobustlensError(
                f"{where}: a `test_share` of {share:g} takes {wanted} of the {count} images of class {name}; change "
                "it, or add images"
            )
        drawn = np.random.default_rng([SEED, number]).choice(count, wanted, replace=False)
        chosen[np.flatnonzero(labels == name)[drawn]] = True
    return chosen
