"""How far attacks move the features of test images, beside the paper's cosines."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import read_runs
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.published import PublishedNumbers
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.invariance.results import by_dataset

COLUMNS = (Column("cosine"), Column("distance"), Column("relative"))
NOTE = (
    "z is the input of the last layer for a test image, z' that for the image that PGD-20 finds. Means over all test "
    "images of cos(z', z), of ||z' \u2212 z|| and of ||z' \u2212 z|| / ||z||; best checkpoints (the paper's are its "
    "last ones). The distance depends on how large features are."
)


def build(context: Context, *, features: list[Path], published: Path) -> Table:
    """features: one file per run, from the stage `compare_features`. published: the study's published numbers, which
    stand beside ours at a scale that has no caveat."""
    runs, numbers = read_runs(features), PublishedNumbers(published if context.as_published else None)
    runs = runs.assign(relative=runs["distance"] / runs["norm"])
    datasets, rows = list(runs["dataset"].unique()), []
    for dataset, of_dataset in by_dataset(runs):
        group = context.dataset_title(dataset) if len(datasets) > 1 else ""
        for recipe, of_recipe in of_dataset.groupby("recipe", sort=False):
            network = numbers.architecture(context.architecture(dataset, recipe))
            papers = {"cosine": numbers.find(dataset, network, recipe, "cosine")}
            cells = tuple(_cell(of_recipe, column.label, papers) for column in COLUMNS)
            rows.append(Row(context.recipe_label(recipe), cells, group))
    title = f"Features of attacked images beside those of the images, on {context.datasets_titles(datasets)}."
    notes = (NOTE, *seeds_notes(runs["seed"], runs["recipe"], context))
    return Table(context.label, context.caption(title), "recipe", COLUMNS, tuple(rows), notes)


def _cell(part: pd.DataFrame, column: str, papers: dict) -> Cell:
    per_seed = part.groupby("seed")[column].mean()
    return over_seeds(per_seed, 4, "", part["source"], int(part["index"].nunique()), papers.get(column))
