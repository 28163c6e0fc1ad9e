"""Accuracy, average and worst class, and how classes differ, under Temperature-PGD and attacks with as many steps."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import (
    class_gap,
    class_variance,
    per_run,
    resampled_interval,
    shared_answers,
    worst_class,
)
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table
from studies.classwise.results import CLEAN, RESAMPLED, by_dataset, interval_cell
from studies.classwise.temperature import broken_by_any, compared, read_sweeps, swept

METRICS = {  # column -> (metric, unit, the values that it can take)
    "average": (partial(np.mean, axis=-1), "%", (0, 1)),
    "worst class": (worst_class, "%", (0, 1)),
    "CV": (class_variance, "", (0, 0.25)),
    "MCD": (class_gap, "points", (0, 1)),
}
NOTES = (
    "All attacks have 20 steps. APGD computes one gradient more than it has steps, and lets an image be where its last "
    "restart does not fool the classifier. Computed from the accuracies of the classes in each run, and averaged over "
    "the seeds. CV is the variance over classes (divisor C) of accuracies between 0 and 1; MCD the best class minus "
    "the worst. Best checkpoints.",
    "any 1/T: an image counts as broken if one of the attacks with these 1/T breaks it. Their steps add up, and the "
    "value is chosen for each test image, so that it compares with none of the other rows.",
    RESAMPLED,
)


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    runs = read_sweeps(evaluations)
    rows = []
    for title, of_threat in threats.groups(runs, context):
        for recipe, of_recipe in of_threat.groupby("recipe", sort=False):
            group = ", ".join(filter(None, (title, context.recipe_label(recipe))))
            parts = dict(iter(of_recipe.groupby("attack", sort=False)))
            rows += [Row(label, cells, group) for label, cells in _rows(parts, context).items()]
    datasets = context.datasets_titles(runs["dataset"].unique())
    title = f"Temperature-PGD on {datasets}: average and worst class by temperature, beside attacks with as many steps."
    columns = tuple(Column(name) for name in METRICS)
    notes = (*NOTES, *_subsets(runs, context), *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "attack", columns, tuple(rows), notes)


def _subsets(runs: pd.DataFrame, context: Context) -> list[str]:
    """A sentence for each dataset of whose images some attacks were tried on a subset."""
    notes = []
    for dataset, of_dataset in by_dataset(runs):
        counts = of_dataset.groupby("attack", sort=False)["index"].nunique()
        fewer = counts[counts < counts.max()]
        if len(fewer):
            listed = ", ".join(f"{context.attack_label(attack)} {count}" for attack, count in fewer.items())
            notes.append(f"{context.dataset_title(dataset)}: {counts.max()} test images, but {listed}.")
    return notes


def _rows(parts: Mapping[str, pd.DataFrame], context: Context) -> dict[str, tuple[Cell, ...]]:
    """Label -> cells. parts: attack -> rows of one recipe."""
    temperatures = swept(parts)
    shown = {f"1/T = {value:g}": [parts[attack]] for attack, value in temperatures.items()}
    if len(temperatures) > 1:
        shown["any 1/T"] = [parts[attack] for attack in temperatures]
    shown |= {context.attack_label(attack): [parts[attack]] for attack in compared(parts)}
    if CLEAN in parts:
        shown[context.attack_label(CLEAN)] = [parts[CLEAN]]
    return {label: _cells(behind) for label, behind in shown.items()}


def _cells(behind: Sequence[pd.DataFrame]) -> tuple[Cell, ...]:
    """behind: under one attack, or under several of which each image gets the one that fools the classifier."""
    right, labels = shared_answers([behind[0] if len(behind) == 1 else broken_by_any(behind)])
    digits, cells = accuracy_digits(len(labels)), []
    for metric, unit, within in METRICS.values():
        interval = resampled_interval(right[:, 0], labels, per_run(metric), within)
        cells.append(interval_cell(interval, digits if unit else 4, unit, behind))
    return tuple(cells)
