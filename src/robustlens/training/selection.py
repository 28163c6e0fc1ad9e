"""Training on fewer images: those left out are chosen by what the classifier of another run makes of them.

The energy paper's study of high-energy, low-energy and misclassified images; what it measured them with is unknown.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd

from robustlens.data.prepared import PreparedDataset, Split
from robustlens.errors import RobustlensError
from robustlens.seeds import derive


def left_out(measured: pd.DataFrame, rule: dict, seed: int) -> np.ndarray:
    """Sorted positions of the training images that `rule` (a recipe's `leave_out`) takes away.

    measured: a row a training image, in the order of the split: label, prediction, marginal, joint (E(x), E(x, y)).
    Of N images a `group` loses round(fraction N): those of the highest or lowest E(x), those around its median, the
    highest among the correctly classified, random ones, or the misclassified ones of the highest loss (all of them
    where they are fewer). `above` and `below` take away every image whose E(x) is greater than the one, or at most
    the other.
    """
    energy = measured["marginal"].to_numpy()
    if "group" not in rule:
        chosen = energy > rule["above"] if "above" in rule else energy <= rule["below"]
        return np.flatnonzero(chosen)
    count = round(rule["fraction"] * len(measured))
    correct = (measured["prediction"] == measured["label"]).to_numpy()
    loss = (measured["joint"] - measured["marginal"]).to_numpy()
    upwards = np.argsort(energy, kind="stable")
    middle = (len(measured) - count) // 2
    groups = {
        "high-energy": lambda: upwards[len(measured) - count :],
        "low-energy": lambda: upwards[:count],
        "middle-energy": lambda: upwards[middle : middle + count],
        "high-energy-correct": lambda: upwards[correct[upwards]][::-1][:count],
        "misclassified": lambda: np.argsort(-np.where(correct, -np.inf, loss), kind="stable")[
            : min(count, int((~correct).sum()))
        ],
        "random": lambda: np.random.default_rng(derive(seed, "left out")).permutation(len(measured))[:count],
    }
    return np.sort(groups[rule["group"]]())


def without(data: PreparedDataset, positions: np.ndarray) -> PreparedDataset:
    """The dataset without the training images at those positions. Its sheet's checksums say which ones are gone, and
    so does the digest of a run on it. Raises RobustlensError when too few are left to train on.
    """
    train = data.splits["train"]
    keep = np.setdiff1d(np.arange(len(train.labels)), positions)
    if len(keep) < data.classes:
        raise RobustlensError(
            f"leave_out takes {len(positions)} of {len(train.labels)} training images away and leaves {len(keep)}, "
            "fewer than there are classes; choose other bounds or a smaller `fraction`"
        )
    kept = Split(train.images[keep], train.labels[keep], train.index[keep], train.levels)
    digest = hashlib.sha256(np.asarray(positions, dtype="<i8").tobytes()).hexdigest()
    sheet = data.sheet | {"sha256": data.sheet["sha256"] | {"left out": digest}}
    return replace(data, sheet=sheet, splits=data.splits | {"train": kept})
