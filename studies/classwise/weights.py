"""Norms of the last layer's rows, one per class, from saved weights."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from robustlens.analysis.classwise import pearson, resampled_correlation, shared_answers
from robustlens.analysis.frames import run_of
from robustlens.analysis.statistics import Interval
from robustlens.errors import RobustlensError

LAST_LAYER = "linear.weight"  # of every architecture here


def read_norms(paths: Iterable[Path]) -> pd.DataFrame:
    """One row per run: dataset, recipe, seed, norms (an array (classes,) of L2 norms) and source. paths: weights of our
    runs. Raises RobustlensError for weights without that layer."""
    rows = []
    for path in map(Path, paths):
        weights = load_file(path)
        found = [name for name in weights if name == LAST_LAYER or name.endswith(f".{LAST_LAYER}")]
        if len(found) != 1:
            raise RobustlensError(f"{path}: {len(found)} layers are called {LAST_LAYER}; the norms need one")
        norms = np.linalg.norm(weights[found[0]].astype(np.float64), axis=1)
        rows.append([*run_of(path), norms, path.as_posix()])
    return pd.DataFrame(rows, columns=["dataset", "recipe", "seed", "norms", "source"])


def norm_correlation(part: pd.DataFrame, norms: pd.DataFrame, correlation=pearson) -> Interval | None:
    """Of the norms with the accuracies of the classes, run by run, averaged over the seeds; the interval is over
    classes, too. part: evaluations of one recipe under one attack; norms: of its runs. None where no run has both."""
    of_seed = norms.set_index("seed")["norms"]
    right, labels = shared_answers([part[part["seed"].isin(of_seed.index)]])
    if not right.size:
        return None
    seeds = sorted(part.loc[part["seed"].isin(of_seed.index), "seed"].unique())
    # The norm of its class goes with each image, so that seeds and classes are drawn with their norms.
    values = np.stack([right[:, 0], np.stack([of_seed[seed][labels] for seed in seeds])], axis=1)
    return resampled_correlation(
        values, labels, lambda means: correlation(means[:, :, 0], means[:, :, 1]).mean(axis=1), "classes"
    )
