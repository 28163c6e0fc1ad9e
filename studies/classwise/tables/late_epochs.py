"""How average, worst class, variance and gap of the robust accuracies of the classes move over the last epochs of
training."""

from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.frames import read_runs
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.classwise.history import LATE, MEASURES, late_epochs, measured
from studies.classwise.results import by_dataset, group_title, span

SUMMARIES = {"mean": np.mean, "lowest": np.min, "highest": np.max, "swing": lambda v: np.abs(np.diff(v)).mean()}
COLUMNS = tuple(Column(summary, name) for name in MEASURES for summary in SUMMARIES)
NOTES = (
    f"Robust accuracy (PGD of the tracking) on validation images in the last {100 * LATE:.0f} % of the measured epochs "
    "of each run, at least two; means over the seeds. Average and worst class are in %; CV is the variance over "
    "classes (divisor C) of accuracies between 0 and 1; MCD is the best class minus the worst, in points. Each is of "
    "the classes at that epoch. swing: mean change, up or down, from one of these epochs to the next.",
)


def build(context: Context, *, history: list[Path]) -> Table:
    """history: `history.parquet` files."""
    runs = read_runs(history, ["epoch", "split", "class_total", "class_robust"])
    runs = runs[runs["split"] == "validation"]
    datasets = list(runs["dataset"].unique())
    rows, sizes = [], []
    for dataset, of_dataset in by_dataset(runs):
        counts = np.array(of_dataset["class_total"].iloc[0])
        sizes.append(f"{context.dataset_title(dataset)}: {span(counts)} validation images per class")
        for recipe, of_recipe in of_dataset.groupby("recipe", sort=False):
            rows.append(Row(context.recipe_label(recipe), _cells(of_recipe), group_title(context, datasets, dataset)))
    title = f"Average, worst class, variance and gap over the last epochs on {context.datasets_titles(datasets)}."
    notes = (*NOTES, *(f"{size}." for size in sizes), *seeds_notes(runs["seed"], runs["recipe"], context))
    return Table(context.label, context.caption(title), "recipe", COLUMNS, tuple(rows), notes)


def _cells(runs: pd.DataFrame) -> tuple[Cell, ...]:
    cells = []
    for name, (_, unit) in MEASURES.items():
        of_runs = [measured(late_epochs(run), name) for _, run in runs.groupby("seed")]
        for what, summary in SUMMARIES.items():
            shown = "points" if what == "swing" and unit else unit
            cells.append(over_seeds(map(summary, of_runs), 1 if unit else 4, shown, runs["source"]))
    return tuple(cells)
