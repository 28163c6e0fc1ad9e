"""Training on fewer images: those left out are whole classes, or chosen by what another run's classifier makes of them.

Mirza et al. 2024 do so with high-energy, low-energy and misclassified images; what they measured them with is unknown.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd

from robustlens.data.prepared import PreparedDataset
from robustlens.errors import RobustlensError
from robustlens.seeds import derive


def left_out(data: PreparedDataset, rule: dict, seed: int, measured: pd.DataFrame | None = None) -> np.ndarray:
    """Sorted positions of the training images that `rule` (a recipe's `leave_out`) takes away.

    measured: for every rule but `classes`, one row per training image, in the order of the split: label, prediction,
        marginal, joint (E(x), E(x, y)).
    `classes` takes away all images of these classes. `above` and `below` take away every image whose E(x) is greater
    than the one, or at most the other, and with them whole classes where all energies of a class are such. A `group` is
    taken from every class, round(fraction n) of its n images, because energies differ between classes: those of the
    highest or lowest E(x), those around its median, the highest among the correctly classified, random ones, or the
    misclassified ones of the highest loss (all of them where they are fewer).
    Raises RobustlensError for a class that the dataset does not have, for `classes` that leave a single one, and for a
    group that is all of a class.
    """
    if "classes" in rule:
        return _of_classes(data, rule["classes"])
    if "group" in rule:
        return _of_group(measured, rule, np.random.default_rng(derive(seed, "left out")))
    energy = measured["marginal"].to_numpy()
    return np.flatnonzero(energy > rule["above"] if "above" in rule else energy <= rule["below"])


def _of_classes(data: PreparedDataset, classes: list[int]) -> np.ndarray:
    unknown = sorted(set(classes) - set(range(data.classes)))
    if unknown:
        raise RobustlensError(
            f"leave_out.classes: the dataset has no class {', '.join(map(str, unknown))}; its classes are 0 to "
            f"{data.classes - 1}"
        )
    labels = data.splits["train"].labels
    gone = np.isin(labels, classes)
    left = np.unique(labels[~gone])
    if len(left) == 1:
        raise RobustlensError(
            f"leave_out.classes: class {left[0]} alone would be left, with nothing to tell it apart from; name fewer"
        )
    return np.flatnonzero(gone)


def _of_group(measured: pd.DataFrame, rule: dict, random: np.random.Generator) -> np.ndarray:
    labels, chosen = measured["label"].to_numpy(), []
    for y in np.unique(labels):
        positions = np.flatnonzero(labels == y)
        chosen.append(_of_class(measured.iloc[positions].assign(position=positions), rule, random))
        if len(chosen[-1]) == len(positions):
            raise RobustlensError(
                f"leave_out: class {y} has so few training images ({len(positions)}) that a fraction of "
                f"{rule['fraction']:g} takes all of them; give a smaller `fraction`, or name the class in `classes`"
            )
    return np.sort(np.concatenate(chosen))


def _of_class(images: pd.DataFrame, rule: dict, random: np.random.Generator) -> np.ndarray:
    """Positions of the images of one class that are left out."""
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
    """The dataset without the training images at those positions; a class may be gone, and still be one of the dataset.
    The checksums of its sheet tell which images are gone, and so does the digest of a run on it.

    Raises RobustlensError when no image would be left.
    """
    train = data.splits["train"]
    keep = np.setdiff1d(np.arange(len(train.labels)), positions)
    if not len(keep):
        raise RobustlensError(
            f"leave_out takes all {len(train.labels)} training images away; choose another bound or fewer classes"
        )
    digest = hashlib.sha256(np.asarray(positions, dtype="<i8").tobytes()).hexdigest()
    sheet = data.sheet | {"sha256": data.sheet["sha256"] | {"left out": digest}}
    return replace(data, sheet=sheet, splits=data.splits | {"train": train.at(keep)})
