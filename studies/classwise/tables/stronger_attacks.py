"""What attacks that are stronger than PGD-20 take from each class, against how robust the class is."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import with_points
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import difference_cell
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table
from studies.classwise.drops import drop_slope_interval
from studies.classwise.results import (
    REFERENCE,
    RESAMPLED,
    WEAKER,
    best_runs,
    by_dataset,
    by_recipe,
    group_title,
    interval_cell,
    seeds_of,
)

NOTES = (
    "drop: accuracy under PGD-20 minus that under the stronger attack on the same images, in points, with an interval "
    "over seeds and images, both taken as random.",
    "slope: of the least-squares line, over classes, of the drop against the accuracy under PGD-20, in points per "
    "point. Below 0: less robust classes lose more. The accuracy is measured on one half of each class's images and "
    "the drop on the other half, then the other way round, and the two slopes are averaged: on the same images chance "
    "alone would tilt the line upwards.",
    RESAMPLED,
)


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    runs = best_runs(context, evaluations)
    datasets = list(runs["dataset"].unique())
    rows = []
    for dataset, of_dataset in by_dataset(runs):
        reference = by_recipe(of_dataset, REFERENCE)
        for attack in (name for name in of_dataset["attack"].unique() if name not in WEAKER):
            group = group_title(
                context, datasets, dataset, f"{context.attack_label(REFERENCE)} to {context.attack_label(attack)}"
            )
            for recipe, stronger in by_recipe(of_dataset, attack).items():
                if recipe in reference:
                    rows.append(Row(context.recipe_label(recipe), _cells(reference[recipe], stronger), group))
    title = f"What stronger attacks take from each class of {context.datasets_titles(datasets)}."
    columns = (Column("drop"), Column("slope"))
    notes = (*NOTES, *seeds_of(runs, context), *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _cells(reference: pd.DataFrame, stronger: pd.DataFrame) -> tuple[Cell, Cell]:
    digits = accuracy_digits(int(stronger.groupby("seed").size().min()))
    drop = difference_cell(with_points(reference), with_points(stronger), digits)
    interval = drop_slope_interval([reference, stronger])
    if interval is None:
        return drop, Cell()
    return drop, interval_cell(interval, 2, "", [stronger, reference])
