"""What the tables, figures and claims of this study read, and what they take from it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import largest, with_points
from robustlens.analysis.frames import read_evaluations
from robustlens.report import threats
from robustlens.report.context import Context

READ = ["checkpoint", "attack", "index", "label", "prediction_adversarial"]
CLEAN, REFERENCE, STRONG = "clean", "pgd20", "autoattack"
SUM = "sum"  # of clean accuracy and accuracy under STRONG, image by image
BEST = ("best", "published")  # of our recipes, and of third-party models
IMAGE = ["dataset", "recipe", "seed", "threat", "checkpoint", "index"]


def read_points(context: Context, evaluations: Iterable[Path]) -> pd.DataFrame:
    """The rows of all evaluations with their points (0 or 100), each recipe under the threat of its training, and those
    of SUM. evaluations: indexes of suites."""
    rows = with_points(threats.of_training(largest(read_evaluations(evaluations, READ)), context))
    return pd.concat([rows.assign(other_source=rows["source"]), sums(rows)], ignore_index=True)


def sums(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each image that a checkpoint was tried on both without an attack and under STRONG: the sum of the
    points, 0 to 200; `source` and `other_source` are the two files."""
    clean, robust = (rows[rows["attack"] == attack][[*IMAGE, "points", "source"]] for attack in (CLEAN, STRONG))
    both = clean.merge(robust.rename(columns={"source": "other_source"}), on=IMAGE)
    both = both.assign(points=both["points_x"] + both["points_y"], attack=SUM)
    return both[[*IMAGE, "attack", "points", "source", "other_source"]]


def best(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the best checkpoints alone."""
    return rows[rows["checkpoint"].isin(BEST)]


def under(rows: pd.DataFrame, attack: str) -> dict[str, pd.DataFrame]:
    """Recipe -> its rows under an attack, or of SUM, in their order."""
    return dict(iter(rows[rows["attack"] == attack].groupby("recipe", sort=False)))


def by_dataset(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each dataset, in their order."""
    yield from frame.groupby("dataset", sort=False)
