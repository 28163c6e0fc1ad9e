"""How the robust accuracy of the worst class, and the average, move over the last epochs of training."""

from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.frames import read_runs
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.classwise.history import LATE, late_epochs, robust_by_class
from studies.classwise.results import by_dataset, group_title, span

MEASURES = {"mean": np.mean, "lowest": np.min, "highest": np.max, "swing": lambda v: np.abs(np.diff(v)).mean()}
PARTS = {"Average": lambda rates: rates.mean(axis=1), "Worst class": lambda rates: rates.min(axis=1)}
COLUMNS = tuple(Column(name, part) for part in PARTS for name in MEASURES)
NOTES = (
    f"Robust accuracy (PGD of the tracking) on validation images in the last {100 * LATE:.0f} % of the epochs of each "
    "run, at least two; means over the seeds. The worst class is that of each epoch. swing: mean change, up or down, "
    "between neighbouring epochs, in points.",
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
    title = f"Average and worst class over the last epochs on {context.datasets_titles(datasets)}."
    notes = (*NOTES, *(f"{size}." for size in sizes), *seeds_notes(runs["seed"], runs["recipe"], context))
    return Table(context.label, context.caption(title), "recipe", COLUMNS, tuple(rows), notes)


def _cells(runs: pd.DataFrame) -> tuple[Cell, ...]:
    rates = [100 * robust_by_class(late_epochs(run)) for _, run in runs.groupby("seed")]
    return tuple(
        over_seeds([measure(part(of_run)) for of_run in rates], 1, "points" if name == "swing" else "%", runs["source"])
        for part in PARTS.values()
        for name, measure in MEASURES.items()
    )
