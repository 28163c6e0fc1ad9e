"""What tables that compare recipes share: the attacks that they show, differences, and notes on seeds."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from robustlens.analysis.evaluations import sources
from robustlens.analysis.frames import paired, seeds_by_images
from robustlens.analysis.statistics import crossed_interval
from robustlens.report.cells import Cell
from robustlens.report.context import Context

NO_ATTACK, WEAKEST = "clean", "fgsm"
INTERVALS = (
    "In brackets 95 % intervals of differences paired by seed and test image: over seeds and images, both taken as "
    "random, or over the images only where one seed is compared."
)

BEST = (
    "Bold: of the rows with the most seeds (two or more), the best of a column, and those that can't be told apart "
    "from it: the 95 % interval of the difference, paired by seed and test image, holds 0. It is not adjusted for the "
    "number of rows. The more a row varies from seed to seed, the wider is that interval: a row may be bold because it "
    "varies much, and not because it is good."
)


def attacks_shown(evaluations: pd.DataFrame, context: Context) -> list[str]:
    """The attacks of a table of accuracies, in the order of the context: all that were measured, but without FGSM
    where another attack was, too."""
    measured = list(evaluations["attack"].unique())
    ordered = [*(attack for attack in context.attacks if attack in measured), *measured]
    stronger = any(attack not in (NO_ATTACK, WEAKEST) for attack in measured)
    return [attack for attack in dict.fromkeys(ordered) if attack != WEAKEST or not stronger]


def difference_cell(first: pd.DataFrame, second: pd.DataFrame, digits: int, value: str = "points", **more) -> Cell:
    """Mean of first - second over the seeds and images that both have, with its interval; empty when there are none.

    first, second: rows of one recipe, checkpoint and attack with the columns seed, index, source and `value`; or
    falls, as `evaluations.falls` gives them.
    """
    difference = paired(first, second, value)
    if not difference.size:
        return Cell(digits=digits, unit="points", **more)
    interval = crossed_interval(difference)
    seeds = set(first["seed"]) & set(second["seed"])
    files = [sources(part[part["seed"].isin(seeds)]) for part in (first, second)]
    return Cell(
        value=interval.estimate,
        low=interval.low,
        high=interval.high,
        digits=digits,
        unit="points",
        n_seeds=difference.shape[0],
        n_images=difference.shape[1],
        sources=tuple(dict.fromkeys(file for of_part in files for file in of_part)),
        **more,
    )


def best_of(parts: Mapping[str, pd.DataFrame], value: str = "points") -> set[str]:
    """Which of several are the best of a column of a table, as BEST says; none where no two can be compared.

    parts: of each its rows with the columns seed, index and `value`, of which more is better. Those with the most seeds
    are compared, as far as they have the same seeds and images as the one of the highest mean. One seed does not show
    how much training again would change a number, and so decides nothing.
    """
    grids = {key: seeds_by_images(rows, value) for key, rows in parts.items() if len(rows)}
    most = max((len(grid) for grid in grids.values()), default=0)
    grids = {key: grid for key, grid in grids.items() if len(grid) == most and grid.size}
    if not grids or most < 2:
        return set()
    leader = max(grids, key=lambda key: grids[key].to_numpy().mean())
    top = grids[leader]
    same = {k: g for k, g in grids.items() if g.index.equals(top.index) and g.columns.equals(top.columns)}
    if len(same) < 2:
        return set()
    lows = {k: crossed_interval(top.to_numpy() - grid.to_numpy()).low for k, grid in same.items()}
    return {key for key, low in lows.items() if low <= 0}


def not_learned(runs: pd.DataFrame, compared: Mapping[str, str]) -> list[str]:
    """The recipes that are right on less than half as many natural images as the one that they are compared with: their
    training has failed, and what it lacks of robustness says nothing of what was changed.

    runs: rows with their points, of one dataset and checkpoint. compared: recipe -> the other one.
    """
    clean = runs[runs["attack"] == NO_ATTACK].groupby("recipe")["points"].mean()
    return [
        recipe
        for recipe, other in compared.items()
        if recipe in clean and other in clean and clean[recipe] < clean[other] / 2
    ]


def not_learned_notes(labels: Sequence[str]) -> list[str]:
    """A sentence on these recipes, if there are any."""
    if not labels:
        return []
    return [
        f"Not learned: {'; '.join(labels)}. Without an attack less than half as accurate as what it is compared with: "
        "the training failed, and the difference says nothing of robustness."
    ]


def seeds_notes(seeds: pd.Series, recipes: Iterable[str], context: Context) -> list[str]:
    """What the numbers behind ± are. seeds, recipes: of the same rows. Tables mark the rows that have none."""
    counts = pd.Series(seeds.to_numpy()).groupby(pd.Series(list(recipes)), sort=False).nunique()
    several = counts[counts > 1]
    if several.empty:
        return ["One seed: no spread over seeds can be given."]
    span = f"{several.min()}" if several.min() == several.max() else f"{several.min()} to {several.max()}"
    return [f"± is the standard deviation over {span} seeds (n \u2212 1)."]
