"""What tables that compare recipes share: the attacks that they show, differences, and notes on seeds."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from robustlens.analysis.evaluations import sources
from robustlens.analysis.frames import paired
from robustlens.analysis.statistics import crossed_interval
from robustlens.report.cells import Cell
from robustlens.report.context import Context

NO_ATTACK, WEAKEST = "clean", "fgsm"
INTERVALS = (
    "In brackets 95 % intervals of differences paired by seed and test image: over seeds and images, both taken as "
    "random, or over the images only where one seed is compared."
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
    """What the numbers behind ± are, and which recipes have none. seeds, recipes: of the same rows."""
    counts = pd.Series(seeds.to_numpy()).groupby(pd.Series(list(recipes)), sort=False).nunique()
    several, single = counts[counts > 1], counts[counts == 1]
    if several.empty:
        return ["One seed: no spread over seeds can be given."]
    span = f"{several.min()}" if several.min() == several.max() else f"{several.min()} to {several.max()}"
    notes = [f"± is the standard deviation over {span} seeds (n \u2212 1)."]
    if len(single):
        notes.append(f"One seed, so that no spread can be given: {'; '.join(map(context.recipe_label, single.index))}.")
    return notes
