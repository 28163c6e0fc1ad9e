"""Cells and notes for tables that compare recipes with each other, some of which have fewer seeds than others."""

from collections.abc import Iterable

import pandas as pd

from robustlens.analysis.frames import paired
from robustlens.analysis.statistics import crossed_interval
from robustlens.report import names
from robustlens.report.cells import Cell

INTERVALS = (
    "In brackets 95 % intervals of differences paired by seed and test image: over seeds and images, both taken as "
    "random, or over the images only where one seed is compared."
)


def difference_cell(first: pd.DataFrame, second: pd.DataFrame, digits: int, value: str = "points", **more) -> Cell:
    """Mean of first - second over the seeds and images that both have, with its interval; empty when there are none.

    first, second: rows of one recipe, checkpoint and attack with the columns seed, index, source and `value`.
    """
    difference = paired(first, second, value)
    if not difference.size:
        return Cell(digits=digits, unit="points", **more)
    interval = crossed_interval(difference)
    seeds = set(first["seed"]) & set(second["seed"])
    sources = pd.concat([part[part["seed"].isin(seeds)]["source"] for part in (first, second)])
    return Cell(
        value=interval.estimate,
        low=interval.low,
        high=interval.high,
        digits=digits,
        unit="points",
        n_seeds=difference.shape[0],
        n_images=difference.shape[1],
        sources=tuple(sources.unique()),
        **more,
    )


def seeds_notes(seeds: pd.Series, recipes: Iterable[str]) -> list[str]:
    """What the numbers behind ± are, and which recipes have none. seeds: of each of the recipes' rows, as long."""
    counts = pd.Series(seeds.to_numpy()).groupby(pd.Series(list(recipes)), sort=False).nunique()
    several, single = counts[counts > 1], counts[counts == 1]
    if several.empty:
        return ["One seed: no spread over seeds can be given."]
    span = f"{several.min()}" if several.min() == several.max() else f"{several.min()} to {several.max()}"
    notes = [f"± is the standard deviation over {span} seeds (n \u2212 1)."]
    if len(single):
        notes.append(f"One seed, so that no spread can be given: {', '.join(map(names.recipe, single.index))}.")
    return notes
