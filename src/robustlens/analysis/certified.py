"""Certified accuracy: how many images have a certificate of the right class of at least a radius."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy  # its parts are imported when they are first used: scipy.stats takes longer than a whole table

from robustlens.analysis.frames import RUN, read_runs
from robustlens.errors import RobustlensError

CERTIFIED = [*RUN, "certification"]


def read_certified(paths: Iterable[Path]) -> pd.DataFrame:
    """The rows of all tables, one per image (`certification.run.certificates`), with dataset, recipe, seed, source and
    certification, its name. Raises RobustlensError for a file that is missing or is not Parquet."""
    frame = read_runs(paths)
    return frame.assign(certification=frame["source"].map(lambda source: Path(source).stem))


def certified_accuracy(
    certified: pd.DataFrame, radii: Iterable[float], confidence: float = 0.95, rho: float = 0.001
) -> pd.DataFrame:
    """One row per certification of a run and radius: accuracy, images, low, high, at_least and source.

    accuracy: the share of the images whose certificate is of the label and has at least that L2 radius. low, high: the
    exact binomial interval for images like these (Clopper and Pearson 1934). at_least: these very images are classified
    correctly within the radius to at least that share, by the smoothed classifier itself, with a probability of at
    least 1 - rho (`at_least`).

    certified: as `read_certified` gives them. radii: in units of the [0, 1] pixel range, of at least 0.
    Raises RobustlensError for a negative radius, and where certificates of one run have different alphas.
    """
    radii = np.asarray(list(radii), dtype=np.float64)
    if (radii < 0).any():
        raise RobustlensError(f"a certified radius is at least 0, not {radii.min():g}")
    rows = []
    for place, table in certified.groupby(CERTIFIED, sort=False):
        if table["alpha"].nunique() > 1:
            raise RobustlensError(
                f"{table['source'].iloc[0]}: certificates at several alphas can't be counted together; pass one table"
            )
        images, alpha = len(table), float(table["alpha"].iloc[0])
        for r in radii:
            right = int((table["correct"] & (table["radius"] >= r)).sum())
            interval = scipy.stats.binomtest(right, images).proportion_ci(confidence, method="exact")
            bound = at_least(right / images, images, alpha, rho)
            facts = (r, right / images, images, interval.low, interval.high, bound, table["source"].iloc[0])
            rows.append((*place, *facts))
    names = ("radius", "accuracy", "images", "low", "high", "at_least", "source")
    return pd.DataFrame(rows, columns=[*CERTIFIED, *names])


def at_least(accuracy: float, images: int, alpha: float, rho: float) -> float:
    """A lower bound of the share of images that truly have the certified radius, where `accuracy` of them have such a
    certificate; it holds with a probability of at least 1 - rho over the noise.

    A certificate is wrong with a probability of at most alpha, whatever the others are. So with a probability of at
    least 1 - rho no more of them are wrong than the (1 - rho) quantile of Binomial(images, alpha).

    Cohen et al.'s code has alpha + sqrt(alpha (1 - alpha) ln(1 / rho) / n) + ln(1 / rho) / (3 n) in place of that
    quantile by n. Bernstein's inequality has 2 alpha (1 - alpha) there. Without the 2 it is no bound: with 10,000
    images at an alpha of 0.01 it fails with a probability of up to 0.0029 where rho is 0.001.
    """
    wrong = scipy.stats.binom.ppf(1 - rho, images, alpha)
    return max(0.0, accuracy - float(wrong) / images)
