"""Natural and adversarial images as BatchNorm sees them: how far apart they are, and how steady its statistics."""

from pathlib import Path

import pandas as pd

from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.invariance.results import by_dataset
from studies.invariance.training import (
    MEANS,
    MOVED_ADVERSARIAL,
    MOVED_NATURAL,
    MOVED_SHARED,
    VARIANCES,
    late_of_each,
    of,
    read_statistics,
)

INPUTS, RUNNING = "Inputs, natural against adversarial", "Running means, movement"
SHOWN = {
    Column("means", INPUTS): MEANS,
    Column("variances", INPUTS): VARIANCES,
    Column("shared", RUNNING): MOVED_SHARED,
    Column("adversarial", RUNNING): MOVED_ADVERSARIAL,
    Column("natural", RUNNING): MOVED_NATURAL,
}
NOTE = (
    "Means over the BatchNorms of the network and over the observed steps of the second half of training. Means: mean "
    "over the channels of the squared difference of the channel's means, divided by the mean of its two variances. "
    "Variances: of the absolute logarithm of their ratio. Movement: root mean square over the channels of how far a "
    "running mean is from where it was at the step observed before, in running standard deviations: of the one "
    "BatchNorm, or of either of two."
)


def build(context: Context, *, statistics: list[Path]) -> Table:
    """statistics: `statistics.parquet` files of runs that are observed."""
    runs = late_of_each(read_statistics(statistics))
    datasets, rows = list(runs["dataset"].unique()), []
    for dataset, of_dataset in by_dataset(runs):
        group = context.dataset_title(dataset) if len(datasets) > 1 else ""
        for recipe, of_recipe in of_dataset.groupby("recipe", sort=False):
            cells = tuple(_cell(of(of_recipe, which)) for which in SHOWN.values())
            rows.append(Row(context.recipe_label(recipe), cells, group))
    title = f"What BatchNorm sees of natural and of adversarial images on {context.datasets_titles(datasets)}."
    notes = (NOTE, *seeds_notes(runs["seed"], runs["recipe"], context))
    return Table(context.label, context.caption(title), "recipe", tuple(SHOWN), tuple(rows), notes)


def _cell(rows: pd.DataFrame) -> Cell:
    return over_seeds(rows.groupby("seed")["value"].mean(), 4, "", rows["source"])
