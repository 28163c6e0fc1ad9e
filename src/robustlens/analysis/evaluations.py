"""What tables and claims make of evaluations, one row per attacked image."""

import pandas as pd

from robustlens.analysis.frames import RUN


def with_points(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Adds points: 100 where the prediction on the attacked image is its label, else 0."""
    return evaluations.assign(points=100.0 * (evaluations["prediction_adversarial"] == evaluations["label"]))


def largest(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Of the files that hold one attack on one checkpoint of a run under one threat, only the one with the most images:
    suites may ask for subsets of different sizes."""
    attack = [*RUN, "threat", "checkpoint", "attack"]
    files = evaluations.groupby([*attack, "source"], sort=False).size().rename("images").reset_index()
    kept = files.sort_values("images", kind="stable").groupby(attack).tail(1)["source"]
    return evaluations[evaluations["source"].isin(kept)]


def falls(evaluations: pd.DataFrame) -> pd.DataFrame:
    """seed, index and fall: the points of an image at the best checkpoint minus those at the last one, of the images
    that have both; source, other_source: the two files. The mean of the falls under an attack is robust overfitting.

    evaluations: of one recipe on one dataset under one attack, with points.
    """
    columns = ["seed", "index", "points", "source"]
    best, last = (evaluations[evaluations["checkpoint"] == name][columns] for name in ("best", "last"))
    both = best.merge(last.rename(columns={"source": "other_source"}), on=["seed", "index"])
    return both.assign(fall=both["points_x"] - both["points_y"])[["seed", "index", "fall", "source", "other_source"]]


def sources(rows: pd.DataFrame) -> list[str]:
    """The files that rows of evaluations, or of falls, come from."""
    columns = [rows[name] for name in ("source", "other_source") if name in rows]
    return list(dict.fromkeys(file for column in columns for file in column))
