"""What the tables, figures and claims of this study read, and what they take from it."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import largest, with_points
from robustlens.analysis.frames import read_evaluations, read_runs
from robustlens.discrimination.area import areas
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


def measures(rows: pd.DataFrame, measure: str, norm: str = "") -> pd.Series:
    """The values of one measure, a mean over draws for each seed, by seed."""
    found = rows[(rows["measure"] == measure) & (rows["norm"] == norm)]
    return found.groupby("seed")["value"].mean()


def read_areas(files: Iterable[Path]) -> pd.DataFrame:
    """ARC of every run whose generated images were told from real ones, and of each number of training steps: dataset,
    recipe, seed, source, and the columns of `discrimination.area.areas`. files: of the stage `discriminate`."""
    curves = read_runs(files)
    of_run = ["dataset", "recipe", "seed", "source"]
    found = [
        areas(rows).assign(**dict(zip(of_run, run, strict=True))) for run, rows in curves.groupby(of_run, sort=False)
    ]
    return pd.concat(found, ignore_index=True)


def with_certificates(certified: pd.DataFrame, radius: float) -> pd.DataFrame:
    """The rows of `analysis.certified.read_certified` with their points: 100 where the certificate is of the label and
    has at least that radius, else 0."""
    if certified.empty:
        return certified.assign(points=[])
    right = certified["correct"] & (certified["radius"] >= radius)
    return certified.assign(points=100.0 * right)
