"""Picking what a claim needs from frames of results, which may not hold it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from robustlens.analysis.claims import NotMeasured, Outcome, decide
from robustlens.analysis.evaluations import sources
from robustlens.analysis.frames import paired
from robustlens.analysis.statistics import crossed_interval


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


def as_claims_say(rows: pd.DataFrame, stands_for: Mapping[str, str]) -> pd.DataFrame:
    """The rows of one dataset under the names that claims know recipes by; a recipe that is there keeps its own.

    stands_for: claimed name by the name of what stands for it, on larger networks or other datasets; of several that
    are there the first one does.
    """
    if rows.empty:
        return rows
    there, known = set(rows["recipe"]), {}
    for name, claimed in stands_for.items():
        if name in there and claimed not in there and claimed not in known.values():
            known[name] = claimed
    return rows.assign(recipe=rows["recipe"].replace(known))


def more_accurate(
    points: pd.DataFrame, first: str, second: str, attack: str, detail: str = "", bound: float = 0.0
) -> Outcome:
    """Whether one recipe is right more often than another one, in points: paired by seed and image."""
    ours, theirs = (of(points, recipe=recipe, attack=attack) for recipe in (first, second))
    values = paired(ours, theirs, "points")
    if not values.size:
        raise NotMeasured(f"a seed and image that both {first} and {second} have")
    text = detail or f"{first} minus {second}"
    return decide(crossed_interval(values), "points", text, [*sources(ours), *sources(theirs)], bound)
