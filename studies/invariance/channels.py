"""Mean and variance of each channel, of natural and of adversarial images, and how far apart they are."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.frames import read_runs

KINDS = ("natural", "adversarial")
MEANS, VARIANCES = "means", "variances"
PLACE = ["dataset", "recipe", "seed", "depth", "layer", "channel"]
VALUES = ["mean", "variance", "running_mean", "running_variance"]


def read_channels(paths: Iterable[Path]) -> pd.DataFrame:
    """One row per run, BatchNorm and channel: for either kind of images mean, variance, running_mean and
    running_variance as `<value>_<kind>`, and eps. paths: `channels.parquet` files.
    """
    rows = read_runs(paths).set_index(PLACE)
    kinds = [rows[rows["images"] == kind][VALUES].add_suffix(f"_{kind}") for kind in KINDS]
    eps = rows[rows["images"] == KINDS[0]]["eps"]
    return pd.concat([*kinds, eps], axis=1).reset_index()


def is_shared(channels: pd.DataFrame) -> bool:
    """Whether one BatchNorm serves both kinds of images. channels: of one recipe."""
    first, second = (channels[[f"running_mean_{kind}", f"running_variance_{kind}"]].to_numpy() for kind in KINDS)
    return bool((first == second).all())


def shown(channels: pd.DataFrame, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Of each channel, natural and adversarial. MEANS: in standard deviations, of which the square is the mean of the
    channel's two variances. VARIANCES: as they are. The BatchNorm's eps is added to each variance, as it does itself.
    """
    variances = [channels[f"variance_{kind}"] + channels["eps"] for kind in KINDS]
    if what == VARIANCES:
        return variances[0].to_numpy(), variances[1].to_numpy()
    spread = np.sqrt(sum(variances) / 2)
    return tuple((channels[f"mean_{kind}"] / spread).to_numpy() for kind in KINDS)


def distance(channels: pd.DataFrame, first: str, second: str, what: str) -> float:
    """How far apart two kinds of means or variances are: as the observer `batchnorm-mixture` says, the mean over
    channels of (m - m*)^2 / ((v + v*) / 2), or of |log(v / v*)|; then the mean over BatchNorms, then over seeds.

    channels: of one recipe. first, second: `natural`, `adversarial`, or what is stored for either, `running_natural`,
    `running_adversarial`.
    """
    means, variances = ([_column(channels, value, kind) for kind in (first, second)] for value in ("mean", "variance"))
    variances = [variance + channels["eps"] for variance in variances]
    if what == MEANS:
        apart = (means[0] - means[1]) ** 2 / (sum(variances) / 2)
    else:
        apart = np.log(variances[0] / variances[1]).abs()
    of_layers = apart.groupby([channels["seed"], channels["depth"]]).mean()
    return float(of_layers.groupby("seed").mean().mean())


def _column(channels: pd.DataFrame, value: str, kind: str) -> pd.Series:
    stored = "running_" if kind.startswith("running_") else ""
    return channels[f"{stored}{value}_{kind.removeprefix(stored)}"]
