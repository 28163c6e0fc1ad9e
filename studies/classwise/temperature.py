"""Temperature-PGD over its temperatures, beside other attacks with as many steps."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.evaluations import largest, with_points
from robustlens.analysis.frames import read_evaluations, seeds_by_images
from studies.classwise.results import CHECKPOINTS, CLEAN, READ

READ_SWEEPS = [*READ, "marginal_natural", "joint_natural"]
FIXED = "temperature-pgd-5"  # ours, chosen before any result
SWEPT = re.compile(r"temperature-pgd-(\d+)(?:-(\d+))?")


def inverse_temperature(attack: str) -> float | None:
    """The 1/T that an attack of the configuration is named by, as in temperature-pgd-0-5; None for other attacks."""
    named = SWEPT.fullmatch(attack)
    return float(f"{named[1]}.{named[2] or 0}") if named else None


def swept(attacks: Iterable[str]) -> dict[str, float]:
    """Attack -> 1/T of those that are Temperature-PGD, by growing 1/T."""
    found = {attack: value for attack in attacks if (value := inverse_temperature(attack)) is not None}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def compared(attacks: Iterable[str]) -> list[str]:
    """The attacks with as many steps that Temperature-PGD is compared with."""
    return [attack for attack in dict.fromkeys(attacks) if attack != CLEAN and inverse_temperature(attack) is None]


def read_sweeps(evaluations: Iterable[Path]) -> pd.DataFrame:
    """The rows of the best checkpoints under every attack and threat. evaluations: indexes of suites."""
    everything = largest(read_evaluations(evaluations, READ_SWEEPS))
    return everything[everything["checkpoint"].isin(CHECKPOINTS)]


def broken_by_any(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row for each seed and image that all attacks were tried on: the first one that fools the classifier, if there
    is one. parts: one recipe under one attack each."""
    rows = pd.concat(parts)
    rows = rows.assign(right=rows["prediction_adversarial"] == rows["label"])
    tried = rows.groupby(["seed", "index"])["attack"].transform("nunique") == len(parts)
    fooled_first = rows[tried].sort_values("right", kind="stable")
    return fooled_first.drop_duplicates(["seed", "index"]).drop(columns="right")


def confidence(clean: pd.DataFrame) -> pd.Series:
    """The softmax's probability of the true class, by row: log p_y = log softmax(z)_y = E(x) - E(x, y)."""
    return np.exp(clean["marginal_natural"].astype(np.float64) - clean["joint_natural"])


def gain(weaker: pd.DataFrame, stronger: pd.DataFrame) -> pd.DataFrame:
    """Accuracy under one attack minus that under another: 100, 0 or -100 of each image (column) and seed (row) that
    both have. weaker, stronger: one recipe under one attack each."""
    before, after = (seeds_by_images(with_points(part), "points") for part in (weaker, stronger))
    return _common(before - after)


def mean_of(gains: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean, of the seeds and images that all of them have."""
    total = gains[0]
    for more in gains[1:]:
        total = _common(total + more)
    return total / len(gains)


def shared(tables: Sequence[pd.DataFrame]) -> np.ndarray:
    """The values (seeds, tables, images) of the seeds (rows) and images (columns) that all tables have; there may be
    none."""
    seeds, images = tables[0].index, tables[0].columns
    for table in tables[1:]:
        seeds, images = seeds.intersection(table.index), images.intersection(table.columns)
    return np.stack([table.loc[seeds, images].to_numpy() for table in tables], axis=1)


def _common(table: pd.DataFrame) -> pd.DataFrame:
    """Without seeds and images that a sum has no value of."""
    return table.dropna(axis=0, how="all").dropna(axis=1)
