"""ARC: the area under the robust discrimination curve (Sehwag et al. 2022, section 2.2), above chance."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from robustlens.errors import RobustlensError

CHANCE = 0.5  # the balanced accuracy of a discriminator that calls all images real
UNIT = "accuracy (0 to 1) x distance (in the norm, with pixels from 0 to 1)"


def area(epsilons: ArrayLike, accuracies: ArrayLike) -> float:
    """The integral of max(0, d(epsilon) - 1/2) from the first radius to the last, by the trapezoidal rule.

    Chance is subtracted: a constant discriminator has d = 1/2 at every radius, so that areas above 0 would differ by a
    factor of 2 at most, and the published ones differ by 26. accuracies: d, balanced, from 0 to 1. If two distributions
    have the Wasserstein distance W in the same norm, then 4 ARC <= W for the true d.
    Raises RobustlensError for radii that don't ascend from 0, and for accuracies that are not from 0 to 1.
    """
    epsilons, accuracies = np.asarray(epsilons, np.float64), np.asarray(accuracies, np.float64)
    if len(epsilons) < 2 or epsilons[0] != 0 or not (np.diff(epsilons) > 0).all():
        raise RobustlensError(f"ARC: the radii must be two or more and ascend from 0, got {epsilons.tolist()}")
    if accuracies.shape != epsilons.shape or not ((accuracies >= 0) & (accuracies <= 1)).all():
        raise RobustlensError(
            f"ARC: needs an accuracy from 0 to 1 for each of {len(epsilons)} radii, got {accuracies.tolist()}"
        )
    return float(np.trapezoid(np.maximum(accuracies - CHANCE, 0), epsilons))


def areas(table: pd.DataFrame) -> pd.DataFrame:
    """One row per norm and number of training steps of a table of curves (`curve.curve_table`): norm, steps, arc,
    own_arc (of discriminators that are only used at the radius that they were trained at), rest, unit.

    rest: the accuracy above chance at the last radius; the radii should reach so far that it is 0.
    """
    rows = []
    for (norm, steps), curve in table.groupby(["norm", "steps"], sort=False):
        curve = curve.sort_values("epsilon")
        arc, own = (area(curve["epsilon"], curve[name]) for name in ("accuracy", "own_accuracy"))
        rest = max(0.0, float(curve["accuracy"].iloc[-1]) - CHANCE)
        rows.append({"norm": norm, "steps": steps, "arc": arc, "own_arc": own, "rest": rest, "unit": UNIT})
    return pd.DataFrame(rows)
