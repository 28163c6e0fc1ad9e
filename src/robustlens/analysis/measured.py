"""Picking what a claim needs from frames of results, which may not hold it."""

import numpy as np
import pandas as pd

from robustlens.analysis.claims import NotMeasured
from robustlens.analysis.frames import paired


def of(frame: pd.DataFrame, **wanted: str | float) -> pd.DataFrame:
    """The rows with these values; raises NotMeasured when there are none."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value] if column in frame else frame[:0]
    if frame.empty:
        raise NotMeasured(", ".join(f"{column} {value}" for column, value in wanted.items()))
    return frame


def differences(first: pd.DataFrame, second: pd.DataFrame, value: str) -> np.ndarray:
    """first - second (seeds, images), paired; raises NotMeasured when they have nothing in common."""
    pairs = paired(first, second, value)
    if not pairs.size:
        raise NotMeasured("no seed and image that both recipes have")
    return pairs
