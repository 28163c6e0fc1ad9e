"""What the tables, figures and claims of this study read, and what they take from it."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import largest, with_points
from robustlens.analysis.frames import read_evaluations, read_runs
from robustlens.report import threats
from robustlens.report.context import Context

READ = ["checkpoint", "attack", "index", "label", "prediction_adversarial"]
CLEAN, REFERENCE, STRONG = "clean", "pgd20", "autoattack"


def read_points(context: Context, evaluations: Iterable[Path]) -> pd.DataFrame:
    """The rows of the best checkpoints with their points (0 or 100), each recipe under the threat of its training.
    evaluations: indexes of suites."""
    rows = with_points(threats.of_training(largest(read_evaluations(evaluations, READ)), context))
    return rows[rows["checkpoint"] == "best"]


def of_attack(rows: pd.DataFrame, recipe: str, attack: str) -> pd.DataFrame:
    return rows[(rows["recipe"] == recipe) & (rows["attack"] == attack)]


def read_measures(files: Iterable[Path]) -> pd.DataFrame:
    """Rows of the stage `measure_closeness`, with the recipe whose generated images they are of."""
    return read_runs(files)


def measures(rows: pd.DataFrame, measure: str, norm: str = "") -> pd.Series:
    """The values of one measure, a mean over draws for each seed, by seed."""
    found = rows[(rows["measure"] == measure) & (rows["norm"] == norm)]
    return found.groupby("seed")["value"].mean()
