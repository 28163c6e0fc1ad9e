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
    `above` and `below` take away every image whose E(x) is greater than the one, or at most the other. A `group` is
    taken from every class, round(fraction n) of its n images, for energies differ between classes and whole classes
    would go: those of the highest or lowest E(x), those around its median, the highest among the correctly classified,
    random ones, or the misclassified ones of the highest loss (all of them where they are fewer).
    """
    energy = measured["marginal"].to_numpy()
    if "group" not in rule:
        chosen = energy > rule["above"] if "above" in rule else energy <= rule["below"]
        return np.flatnonzero(chosen)
    labels = measured["label"].to_numpy()
    classes = (
        measured.iloc[np.flatnonzero(labels == y)].assign(position=np.flatnonzero(labels == y))
        for y in np.unique(labels)
    )
    random = np.random.default_rng(derive(seed, "left out"))
    return np.sort(np.concatenate([_of_class(images, rule, random) for images in classes]))


def _of_class(images: pd.DataFrame, rule: dict, random: np.random.Generator) -> np.ndarray:
    """Positions of the images of one class that go."""
    count, positions = round(rule["fraction"] * len(images)), images["position"].to_numpy()
    correct = (images["prediction"] == images["label"]).to_numpy()
    loss = (images["joint"] - images["marginal"]).to_numpy()
    upwards = np.argsort(images["marginal"].to_numpy(), kind="stable")
    middle = (len(images) - count) // 2
    groups = {
        "high-energy": upwards[len(images) - count :],
        "low-energy": upwards[:count],
        "middle-energy": upwards[middle : middle + count],
        "high-energy-correct": upwards[correct[upwards]][::-1][:count],
        "misclassified": np.argsort(-np.where(correct, -np.inf, loss), kind="stable")[: min(count, (~correct).sum())],
        "random": random.permutation(len(images))[:count],
    }
    return positions[groups[rule["group"]]]


def without(data: PreparedDataset, positions: np.ndarray) -> PreparedDataset:
    """The dataset without the training images at those positions. Its sheet's checksums say which ones are gone, and
    so does the digest of a run on it. Raises RobustlensError when a class would be gone.
    """
    train = data.splits["train"]
    keep = np.setdiff1d(np.arange(len(train.labels)), positions)
    gone = sorted(set(np.unique(train.labels)) - set(np.unique(train.labels[keep])))
    if gone:
        raise RobustlensError(
            f"leave_out takes {len(positions)} of {len(train.labels)} training images away, and with them all of class "
            f"{', '.join(map(str, gone))}; choose other bounds or a smaller `fraction`"
        )
    kept = Split(train.images[keep], train.labels[keep], train.index[keep], train.levels)
    digest = hashlib.sha256(np.asarray(positions, dtype="<i8").tobytes()).hexdigest()
    sheet = data.sheet | {"sha256": data.sheet["sha256"] | {"left out": digest}}
    return replace(data, sheet=sheet, splits=data.splits | {"train": kept})
