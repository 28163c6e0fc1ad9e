"""Accuracy class by class, epoch by epoch."""

from functools import partial

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import class_gap, class_variance, worst_class

LATE = 0.25  # of the epochs
# Name -> (measure of class accuracies (..., C), its unit)
MEASURES = {
    "Average": (partial(np.nanmean, axis=-1), "%"),
    "Worst class": (worst_class, "%"),
    "CV": (class_variance, ""),
    "MCD": (class_gap, "points"),
}


def robust_by_class(run: pd.DataFrame) -> np.ndarray:
    """Robust accuracies (epochs, classes), 0..1, in the order of the epochs. run: one split of the history of one run,
    with how many images of each class there are, `class_total`, and how many are robust, `class_robust`."""
    ordered = run.sort_values("epoch")
    robust, total = (np.stack(ordered[name].to_numpy()).astype(np.float64) for name in ("class_robust", "class_total"))
    return robust / total


def measured(run: pd.DataFrame, name: str) -> np.ndarray:
    """One of MEASURES at each epoch, (epochs,), in its unit. run: as for `robust_by_class`."""
    measure, unit = MEASURES[name]
    return (100.0 if unit else 1.0) * measure(robust_by_class(run))


def late_epochs(run: pd.DataFrame) -> pd.DataFrame:
    """The last quarter of the epochs of one run, rounded, at least two."""
    epochs = np.sort(run["epoch"].unique())
    return run[run["epoch"].isin(epochs[-max(2, round(LATE * len(epochs))) :])]
