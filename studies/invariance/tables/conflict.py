"""What observers saw of gradients and features in the second half of training."""

from pathlib import Path

import pandas as pd

from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.invariance.results import by_dataset
from studies.invariance.training import (
    CONFLICT,
    COSINE,
    DISTANCE,
    DRIFT,
    FEATURE_COSINE,
    GRADIENT,
    late_of_each,
    of,
    read_statistics,
)

# Column -> the statistic, its decimals, and whether it is shown in %
SHOWN = {
    Column("cosine", "Gradients of classification and invariance"): (COSINE, 3, False),
    Column("in conflict, %", "Gradients of classification and invariance"): (CONFLICT, 1, True),
    Column("norm", "Gradient of invariance"): (GRADIENT, 3, False),
    Column("cosine", "Adversarial and natural features"): (FEATURE_COSINE, 3, False),
    Column("distance", "Adversarial and natural features"): (DISTANCE, 3, False),
    Column("drift per epoch", "Adversarial and natural features"): (DRIFT, 3, False),
}
NOTE = (
    "Means over the observed steps (drift: over the epochs) of the second half of training, on its batches. "
    "Gradients: with respect to the weights of convolutions and linear layers of the classifier, of both "
    "cross-entropies together and of the weighted invariance loss; in conflict: entries of opposite signs; norm: with "
    "respect to all parameters. Features: of the layers that are regularised, after ReLU and the mean over positions; "
    "distance: ||z' \u2212 z||; drift: how far adversarial features of fixed training images move from one epoch to "
    "the next, relative to their norm."
)


def build(context: Context, *, statistics: list[Path]) -> Table:
    """statistics: `statistics.parquet` files of runs that are observed."""
    runs = late_of_each(read_statistics(statistics))
    datasets, rows = list(runs["dataset"].unique()), []
    for dataset, of_dataset in by_dataset(runs):
        group = context.dataset_title(dataset) if len(datasets) > 1 else ""
        for recipe, of_recipe in of_dataset.groupby("recipe", sort=False):
            cells = tuple(_cell(of(of_recipe, which), *how) for which, *how in SHOWN.values())
            rows.append(Row(context.recipe_label(recipe), cells, group))
    title = f"Gradients and features in training on {context.datasets_titles(datasets)}."
    notes = (NOTE, *seeds_notes(runs["seed"], runs["recipe"], context))
    return Table(context.label, context.caption(title), "recipe", tuple(SHOWN), tuple(rows), notes)


def _cell(rows: pd.DataFrame, digits: int, percent: bool) -> Cell:
    per_seed = rows.groupby("seed")["value"].mean()
    unit = "%" if percent else ""
    return over_seeds((100 if percent else 1) * per_seed, digits, unit, rows["source"])
