"""Where PGD in single precision steps another way than Temperature-PGD."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import read_runs
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.classwise.results import by_dataset, group_title

SHARES = "Pixels with another sign by 1/T, %"
NOTE = (
    "Share of the pixels where the gradient of the cross-entropy of z / T, computed in float32 as PGD does, has "
    "another sign than Temperature-PGD's, which is computed in a form that does not vanish: at the random start of the "
    "attack, mean over the test images. Where only one of them is zero, signs differ, too. Best checkpoints."
)


def build(context: Context, *, signs: list[Path]) -> Table:
    """signs: one file per run, from the stage `compare_signs`."""
    runs = read_runs(signs)
    datasets = list(runs["dataset"].unique())
    values = sorted(runs["inverse_temperature"].unique())
    rows = []
    for dataset, of_dataset in by_dataset(runs):
        for recipe, of_recipe in of_dataset.groupby("recipe", sort=False):
            cells = tuple(_cell(of_recipe[of_recipe["inverse_temperature"] == value]) for value in values)
            rows.append(Row(context.recipe_label(recipe), cells, group_title(context, datasets, dataset)))
    title = f"Pixels of {context.datasets_titles(datasets)} where single precision changes the sign of PGD's step."
    notes = (NOTE, *seeds_notes(runs["seed"], runs["recipe"], context))
    columns = tuple(Column(f"{value:g}", SHARES) for value in values)
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _cell(part: pd.DataFrame) -> Cell:
    shares = part.groupby("seed")["share"].mean()
    return over_seeds(100 * shares, 2, "%", part["source"], int(part["index"].nunique()) or None)
