"""Average, worst classes, variance and gap of the accuracies of all classes, without and under each attack."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import (
    class_gap,
    class_variance,
    mean_of_worst,
    per_run,
    resampled_interval,
    shared_answers,
    worst_class,
    worst_tenth,
)
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import attacks_shown
from robustlens.report.context import Context
from robustlens.report.published import PublishedNumbers
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table
from studies.classwise.results import RESAMPLED, best_runs, by_dataset, by_recipe, group_title, interval_cell

FEW, MANY = 3, 20  # the worst classes of which the mean is shown; from how many classes on there is a worst tenth
FOLLOW_UPS = "preact-resnet18"  # the architecture of the published numbers
NOTES = (
    "Computed from the accuracies of the classes in each run, and averaged over the seeds. CV is the variance over "
    "classes (divisor C) of accuracies between 0 and 1; MCD the best class minus the worst. Images of "
    "a subset have equally many of each class. Best checkpoints.",
    RESAMPLED,
)


def build(context: Context, *, evaluations: list[Path], published: Path) -> Table:
    """evaluations: indexes of suites; published: numbers of follow-ups, as rows of their own."""
    runs, numbers = best_runs(context, evaluations), PublishedNumbers(published)
    datasets = list(runs["dataset"].unique())
    metrics = _metrics(bool((runs.groupby("dataset")["label"].nunique() >= MANY).any()))
    rows = []
    for dataset, of_dataset in by_dataset(runs):
        for attack in attacks_shown(of_dataset, context):
            group = group_title(context, datasets, dataset, context.attack_label(attack))
            parts = by_recipe(of_dataset, attack)
            rows += [Row(context.recipe_label(recipe), _cells(part, metrics), group) for recipe, part in parts.items()]
            rows += [Row(label, cells, group) for label, cells in _follow_ups(numbers, dataset, attack, metrics)]
    title = f"Average and worst classes on {context.datasets_titles(datasets)}, without and under attack."
    notes = (*NOTES, *threats.notes(runs, context))
    columns = tuple(Column(name) for name in metrics)
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _metrics(many: bool) -> dict:
    """Column -> (metric, unit, the values that it can take)."""
    metrics = {
        "average": (partial(np.mean, axis=-1), "%", (0, 1)),
        "worst class": (worst_class, "%", (0, 1)),
        f"worst {FEW}": (lambda rates: mean_of_worst(rates, min(FEW, rates.shape[-1])), "%", (0, 1)),
    }
    if many:
        metrics["worst tenth"] = (worst_tenth, "%", (0, 1))
    return metrics | {"CV": (class_variance, "", (0, 0.25)), "MCD": (class_gap, "points", (0, 1))}


def _cells(part: pd.DataFrame, metrics: dict) -> tuple[Cell, ...]:
    right, labels = shared_answers([part])
    digits, cells = accuracy_digits(len(labels)), []
    for metric, unit, within in metrics.values():
        interval = resampled_interval(right[:, 0], labels, per_run(metric), within)
        cells.append(interval_cell(interval, digits if unit else 4, unit, [part]))
    return tuple(cells)


def _follow_ups(numbers: PublishedNumbers, dataset: str, attack: str, metrics: dict) -> Iterator[tuple[str, tuple]]:
    """Label and cells of each published row; average and worst class are all that these papers print."""
    named = {"average": attack, "worst class": f"{attack}_worst"}
    for recipe in numbers.recipes(dataset, FOLLOW_UPS, attack):
        found = {
            name: numbers.find(dataset, FOLLOW_UPS, recipe, named[name]) if name in named else None for name in metrics
        }
        cells = tuple(Cell(digits=1, unit=unit, published=found[name]) for name, (_, unit, _) in metrics.items())
        yield f"{numbers.label(recipe)}, published", cells
