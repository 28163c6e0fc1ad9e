"""Accuracy class by class, epoch by epoch."""

import numpy as np
import pandas as pd

LATE = 0.25  # of the epochs


def robust_by_class(run: pd.DataFrame) -> np.ndarray:
    """Robust accuracies (epochs, classes), 0..1, in the order of the epochs. run: one split of the history of one run,
    with how many images of each class there are, `class_total`, and how many are robust, `class_robust`."""
    ordered = run.sort_values("epoch")
    robust, total = (np.stack(ordered[name].to_numpy()).astype(np.float64) for name in ("class_robust", "class_total"))
    return robust / total


def late_epochs(run: pd.DataFrame) -> pd.DataFrame:
    """The last quarter of the epochs of one run, rounded, at least two."""
    epochs = np.sort(run["epoch"].unique())
    return run[run["epoch"].isin(epochs[-max(2, round(LATE * len(epochs))) :])]
