"""Defences of the worst class and corrections of the last layer, each beside what it changes.

An entry is the best checkpoint of a recipe, called as the recipe (`dafa`), that checkpoint with a correction
(`sat/best-tau-normalised`), or another checkpoint, which is best for the worst class (`sat/best-worst-class`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import worst_class
from robustlens.analysis.evaluations import largest
from robustlens.analysis.frames import read_evaluations
from robustlens.analysis.statistics import Interval
from robustlens.report import threats
from robustlens.report.context import Context
from studies.classwise.results import READ, resampled_parts

BEST = "best"
OTHERS = "best-"  # checkpoints that change the best one
SELECTED = f"{OTHERS}worst-class"
LABELS = {SELECTED: "selected by the worst class"}

Metric = Callable[[np.ndarray], np.ndarray]
METRICS: dict[str, Metric] = {"Average": partial(np.mean, axis=-1), "Worst class": worst_class}


def read_defence(context: Context, evaluations: Iterable[Path]) -> pd.DataFrame:
    """The rows of all entries, each recipe under the threat of its training, with the columns `entry` and `base`: the
    entry that this one changes, or "" where it changes none of the same dataset."""
    rows = threats.of_training(largest(read_evaluations(evaluations, READ)), context)
    rows = rows[rows["checkpoint"].str.startswith(OTHERS) | (rows["checkpoint"] == BEST)]
    another = rows["checkpoint"] != BEST
    changed = rows["recipe"].map({recipe: context.changes(recipe) or "" for recipe in rows["recipe"].unique()})
    named = rows.assign(
        entry=rows["recipe"].where(~another, rows["recipe"] + "/" + rows["checkpoint"]),
        base=changed.where(~another, rows["recipe"]),
    )
    there = set(zip(named["dataset"], named["entry"], strict=True))
    known = [pair in there for pair in zip(named["dataset"], named["base"], strict=True)]
    return named.assign(base=named["base"].where(known, ""))


def of_shared_seeds(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Entry -> its rows, of the seeds that all entries have: levels of other seeds could not be compared. rows: of one
    dataset and attack. Empty where there is no such seed."""
    seeds = set.intersection(*rows.groupby("entry")["seed"].agg(set))
    return dict(iter(rows[rows["seed"].isin(seeds)].groupby("entry", sort=False)))


def bases(rows: pd.DataFrame) -> dict[str, str]:
    """Entry -> the one that it changes, or "": every one after what it changes. rows: of one dataset."""
    changed = dict(zip(rows["entry"], rows["base"], strict=True))
    ordered: dict[str, str] = {}

    def add(base: str) -> None:
        for entry in (name for name, other in changed.items() if other == base):
            ordered[entry] = base
            add(entry)

    add("")
    return ordered


def entry_label(context: Context, entry: str) -> str:
    recipe, _, checkpoint = entry.partition("/")
    label = context.recipe_label(recipe)
    return f"{label}, {LABELS.get(checkpoint, checkpoint.removeprefix(OTHERS))}" if checkpoint else label


def level(part: pd.DataFrame, metric: Metric) -> Interval | None:
    """Of a metric of the class accuracies of each run, averaged over the seeds. part: of one entry and attack."""
    return resampled_parts([part], lambda rates: metric(rates[:, :, 0]).mean(axis=1), (0, 1))


def mean_gain(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], metric: Metric) -> Interval | None:
    """The metric of an entry minus that of its base, run by run, averaged over the seeds and over pairs of (entry,
    base); of the seeds and images that all of them have, None where there are none."""

    def statistic(rates: np.ndarray) -> np.ndarray:
        of_each = metric(rates)
        return (of_each[:, :, 0::2] - of_each[:, :, 1::2]).mean(axis=(1, 2))

    return resampled_parts([part for pair in pairs for part in pair], statistic, (-1, 1))


def best_entries(parts: Mapping[str, pd.DataFrame], metric: Metric) -> set[str]:
    """The one with the highest metric, and those that its gain over them does not tell apart from it; none where no two
    can be compared.

    parts: by entry or recipe, each under one attack. Those with the most seeds are compared, two at least, as far as
    they have the seeds of the highest one.
    """
    seeds = {name: frozenset(part["seed"]) for name, part in parts.items()}
    most = max(map(len, seeds.values()), default=0)
    means = {name: _mean(part, metric) for name, part in parts.items() if len(seeds[name]) == most > 1}
    if not means:
        return set()
    leader = max(means, key=means.get)
    others = [name for name in means if name != leader and seeds[name] == seeds[leader]]
    leads = {name: mean_gain([(parts[leader], parts[name])], metric) for name in others}
    return {leader, *(name for name, lead in leads.items() if lead is None or lead.low <= 0)} if others else set()


def _mean(part: pd.DataFrame, metric: Metric) -> float:
    """Of the metric of each run, over the seeds."""
    right = (part["prediction_adversarial"] == part["label"]).groupby([part["seed"], part["label"]]).mean()
    return float(metric(right.unstack("label").to_numpy()).mean())
