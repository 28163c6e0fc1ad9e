"""What the tables, figures and claims of this study read, and what they take from it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import resampled_interval, shared_answers
from robustlens.analysis.evaluations import largest, sources
from robustlens.analysis.frames import read_evaluations
from robustlens.analysis.statistics import Interval
from robustlens.report import threats
from robustlens.report.cells import Cell
from robustlens.report.context import Context

READ = ["checkpoint", "attack", "index", "label", "prediction_adversarial"]
CLEAN, REFERENCE = "clean", "pgd20"
WEAKER = (CLEAN, "fgsm", REFERENCE)  # all other attacks count as stronger than PGD-20
CHECKPOINTS = ("best", "published")  # of our recipes, and of third-party models
RESAMPLED = (
    "In brackets 95 % intervals by drawing test images within each class, and seeds, with replacement (images only "
    "where there is one seed). They allow for the bias of such statistics (the worst class of a sample looks worse "
    "than it is, and chance pulls correlations towards 0), so the estimate need not be in their middle, or inside. "
    "None where all draws give the same number, as where a class is never right: they cannot show how far it is off."
)
OF_ONE_CLASS = (
    "In brackets 95 % intervals by drawing the class's test images, and seeds, with replacement (images only where "
    "there is one seed). Where all images are right, or all wrong, drawing shows nothing: there it is the exact "
    "binomial interval (Clopper and Pearson) of as many images as one seed has."
)


def best_runs(context: Context, evaluations: Iterable[Path]) -> pd.DataFrame:
    """The rows of the best checkpoints, each recipe under the threat of its training."""
    everything = threats.of_training(largest(read_evaluations(evaluations, READ)), context)
    return everything[everything["checkpoint"].isin(CHECKPOINTS)]


def by_dataset(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each dataset, in their order."""
    yield from frame.groupby("dataset", sort=False)


def by_recipe(runs: pd.DataFrame, attack: str) -> dict[str, pd.DataFrame]:
    """The rows of each recipe under an attack, in their order."""
    return dict(iter(runs[runs["attack"] == attack].groupby("recipe", sort=False)))


def resampled_parts(
    parts: Sequence[pd.DataFrame], statistic: Callable[[np.ndarray], np.ndarray], within: tuple[float, float]
) -> Interval | None:
    """`resampled_interval` of a statistic of class accuracies (draws, seeds, parts, classes); None where the parts have
    no seed and image in common. Each part: one recipe under one attack."""
    right, labels = shared_answers(parts) if parts else (np.empty(0), None)
    return resampled_interval(right, labels, statistic, within) if right.size else None


def span(counts: Iterable[int]) -> str:
    """The smallest and the largest of counts, in words."""
    ordered = sorted(set(counts))
    return f"{ordered[0]}" if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def seeds_told(counts: Mapping[str, Sequence[int]]) -> list[str]:
    """A sentence on how many seeds there are, or none. counts: label of an attack -> that of each recipe."""
    spans = {label: span(of_attack) for label, of_attack in counts.items() if len(of_attack)}
    if len(set(spans.values())) > 1:
        return [f"Seeds of each recipe: {'; '.join(f'{label}: {seeds}' for label, seeds in spans.items())}."]
    return [f"Seeds of each recipe: {seeds}." for seeds in set(spans.values())]


def seeds_of(runs: pd.DataFrame, context: Context) -> list[str]:
    """`seeds_told` of evaluations."""
    counts = runs.groupby(["attack", "dataset", "threat", "recipe"], sort=False)["seed"].nunique()
    return seeds_told({context.attack_label(name): part for name, part in counts.groupby("attack", sort=False)})


def over_what(seeds: Iterable[int]) -> str:
    """What an interval in a figure is over, in words. seeds: how many there are of each recipe."""
    told = span(seeds)
    return "images (one seed of each recipe)" if told == "1" else f"images and seeds ({told} of each recipe)"


def interval_cell(interval: Interval, digits: int, unit: str, rows: Sequence[pd.DataFrame]) -> Cell:
    """An estimate with its interval, both times 100 where the unit is % or points; without one that has no width. rows:
    what it was computed from."""
    times = 100.0 if unit in ("%", "points") else 1.0
    ends = {"low": times * interval.low, "high": times * interval.high} if interval.low != interval.high else {}
    return Cell(
        value=times * interval.estimate,
        digits=digits,
        unit=unit,
        n_seeds=min(part["seed"].nunique() for part in rows),
        n_images=min(part["index"].nunique() for part in rows if "index" in part),
        sources=tuple(dict.fromkeys(file for part in rows for file in sources(part))),
        **ends,
    )


def group_title(context: Context, datasets: Sequence[str], dataset: str, *more: str) -> str:
    """What a group of rows is called: the dataset where there are several, and what else there is to say."""
    title = [context.dataset_title(dataset)] if len(datasets) > 1 else []
    return ", ".join([*title, *filter(None, more)])
