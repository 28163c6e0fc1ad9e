"""What observers saw of gradients and features in training."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.frames import read_runs

READ = ["epoch", "step", "observer", "statistic", "value"]
# Observer and statistic, by what tables and figures call them
COSINE = ("gradient-conflict", "regularisation-others/cosine")
CONFLICT = ("gradient-conflict", "regularisation-others/conflict")
IN_LAYER = f"{CONFLICT[1]}/"  # followed by the name of a layer
GRADIENT = ("loss-terms", "regularisation/gradient")
DISTANCE = ("feature-distance", "mean/distance")
FEATURE_COSINE = ("feature-distance", "mean/cosine")
DRIFT = ("feature-drift", "mean/moved")
MEANS = ("batchnorm-mixture", "mean/means")
VARIANCES = ("batchnorm-mixture", "mean/variances")
# LBGAT with one network has two terms: the others of the distance are the teacher's classification.
TWO_TERMS = {"^teacher-distance/": "regularisation-others/", "^distance/gradient$": "regularisation/gradient"}
# How running means and running variances move: of one BatchNorm for both kinds of images, and of either one of two
MOVED_SHARED = ("batchnorm-mixture", "mean/running-mean")
MOVED_ADVERSARIAL = ("batchnorm-mixture", "mean/adversarial/running-mean")
MOVED_NATURAL = ("batchnorm-mixture", "mean/natural/running-mean")
CHANGED_SHARED = ("batchnorm-mixture", "mean/running-variance")
CHANGED_ADVERSARIAL = ("batchnorm-mixture", "mean/adversarial/running-variance")
CHANGED_NATURAL = ("batchnorm-mixture", "mean/natural/running-variance")


def read_statistics(paths: Iterable[Path]) -> pd.DataFrame:
    """One row per run, epoch, step, observer and statistic, with its value. Step 0: of the epoch as a whole."""
    statistics = read_runs(paths, READ)
    return statistics.assign(statistic=statistics["statistic"].replace(TWO_TERMS, regex=True))


def of(statistics: pd.DataFrame, which: tuple[str, str]) -> pd.DataFrame:
    """The rows of one statistic."""
    observer, statistic = which
    return statistics[(statistics["observer"] == observer) & (statistics["statistic"] == statistic)]


def late(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the second half of the epochs, where training has settled."""
    return rows[rows["epoch"] > rows["epoch"].max() / 2]


def late_of_each(statistics: pd.DataFrame) -> pd.DataFrame:
    """The second half of the epochs of each recipe on each dataset."""
    return pd.concat([late(rows) for _, rows in statistics.groupby(["dataset", "recipe"], sort=False)])


def of_seeds(rows: pd.DataFrame) -> pd.Series:
    """The mean over the steps of each seed. rows: of one recipe and statistic."""
    return rows.groupby("seed")["value"].mean().astype(np.float64)


def differences(first: pd.DataFrame, second: pd.DataFrame) -> np.ndarray:
    """first - second (seeds, 1): means over the steps of each, for the seeds that both have; may be empty. Each: one
    recipe's rows of one statistic."""
    a, b = of_seeds(first), of_seeds(second)
    seeds = a.index.intersection(b.index)
    return (a[seeds] - b[seeds]).to_numpy()[:, None]


def by_epoch(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean of an epoch's observations: one row per seed and one column per epoch that all seeds have. rows: of one
    recipe and statistic."""
    means = rows.groupby(["seed", "epoch"])["value"].mean().reset_index()
    return means.pivot(index="seed", columns="epoch", values="value").astype(np.float64).dropna(axis=1)


def conflict_by_layer(statistics: pd.DataFrame) -> pd.DataFrame:
    """The mean share of weights in conflict over the second half of the epochs and the seeds: one row per recipe, one
    column per layer, both in the order of the rows. statistics: of one dataset."""
    rows = statistics[
        (statistics["observer"] == CONFLICT[0]) & statistics["statistic"].str.startswith(IN_LAYER)
    ].assign(layer=lambda rows: rows["statistic"].str.removeprefix(IN_LAYER))
    if rows.empty:
        return pd.DataFrame()
    means = late_of_each(rows).groupby(["recipe", "layer"], sort=False)["value"].mean()
    table = means.unstack()
    return table.loc[rows["recipe"].unique(), rows["layer"].unique()]
