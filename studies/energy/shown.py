"""Which of the runs that it is given a figure shows: those of one recipe, and of each recipe one threat."""

import pandas as pd

from robustlens.errors import RobustlensError
from robustlens.report.context import Context


def one_recipe(frame: pd.DataFrame) -> str:
    """The only recipe of a frame. Raises RobustlensError for several."""
    recipes = frame["recipe"].unique()
    if len(recipes) != 1:
        raise RobustlensError(f"this figure shows one recipe, got files of {', '.join(recipes)}: pass the files of one")
    return recipes[0]


def one_threat(evaluations: pd.DataFrame, context: Context) -> pd.DataFrame:
    """The evaluations of each recipe on a dataset under the threat that it was trained under; if there are none, those
    under the first other threat. `robustlens.report.threats.notes` says which these are."""
    return pd.concat(
        _one_threat(rows, context.recipes[recipe].threats.get(dataset) if recipe in context.recipes else None)
        for (dataset, recipe), rows in evaluations.groupby(["dataset", "recipe"], sort=False)
    )


def _one_threat(rows: pd.DataFrame, trained: str | None) -> pd.DataFrame:
    shown = trained if (rows["threat"] == trained).any() else rows["threat"].iloc[0]
    return rows[rows["threat"] == shown]
