"""Average, worst class, variance and gap of the classes at the checkpoints of a run: chosen by two criteria, the last
one, and several late ones."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import class_gap, class_variance, worst_class
from robustlens.analysis.evaluations import largest
from robustlens.analysis.frames import read_evaluations
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table
from studies.classwise.results import (
    READ,
    REFERENCE,
    RESAMPLED,
    by_dataset,
    group_title,
    interval_cell,
    resampled_parts,
    seeds_of,
)

CHOSEN = {
    "best": "best by robust accuracy",
    "best-worst-class": "best by the worst class",
    "last": "last epoch",
}
# Column -> (measure of class accuracies, unit, the values that it can take)
MEASURES = {
    "average": (partial(np.mean, axis=-1), "%", (0, 1)),
    "worst class": (worst_class, "%", (0, 1)),
    "CV": (class_variance, "", (0, 0.25)),
    "MCD": (class_gap, "points", (0, 1)),
}
NOTES = (
    "Computed from the accuracies of the classes at each checkpoint, and averaged over the seeds. For late epochs "
    "there is also the mean over their checkpoints, each of which may have another worst class. CV is the variance "
    "over classes (divisor C) of accuracies between 0 and 1; MCD the best class minus the worst. Checkpoints are "
    "chosen on validation images.",
    RESAMPLED,
)


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    runs = threats.of_training(largest(read_evaluations(evaluations, READ)), context)
    runs = runs[runs["attack"] == REFERENCE]
    datasets, rows = list(runs["dataset"].unique()), []
    for dataset, of_dataset in by_dataset(runs):
        for recipe, of_recipe in of_dataset.groupby("recipe", sort=False):
            group = group_title(context, datasets, dataset, context.recipe_label(recipe))
            rows += [Row(label, _cells(parts), group) for label, parts in _kinds(of_recipe).items()]
    columns = tuple(Column(name, context.attack_label(REFERENCE)) for name in MEASURES)
    title = f"Checkpoints on {context.datasets_titles(datasets)}: average, worst class, variance and gap."
    notes = (*NOTES, *seeds_of(runs, context), *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "checkpoint", columns, tuple(rows), notes)


def _kinds(of_recipe: pd.DataFrame) -> Mapping[str, list[pd.DataFrame]]:
    """Label of a row -> the rows of each checkpoint that it is of."""
    parts = dict(iter(of_recipe.groupby("checkpoint", sort=False)))
    kinds = {label: [parts[name]] for name, label in CHOSEN.items() if name in parts}
    epochs = sorted(int(name) for name in parts if name.isdigit())
    if epochs:
        kinds[f"mean of epochs {', '.join(map(str, epochs))}"] = [parts[str(epoch)] for epoch in epochs]
    return kinds


def _cells(parts: list[pd.DataFrame]) -> tuple[Cell, ...]:
    digits, cells = accuracy_digits(parts[0]["index"].nunique()), []
    for measure, unit, within in MEASURES.values():
        found = resampled_parts(parts, lambda rates, of=measure: np.mean(of(rates), axis=(1, 2)), within)
        cells.append(interval_cell(found, digits if unit else 4, unit, parts) if found else Cell())
    return tuple(cells)
