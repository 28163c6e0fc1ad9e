"""Tables of what observers saw in the second half of training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.invariance.results import by_dataset
from studies.invariance.training import late_of_each, of, read_statistics


@dataclass(frozen=True)
class Shown:
    """What a column has: a statistic, by observer and name, with so many decimals. percent: 100 times it."""

    statistic: tuple[str, str]
    digits: int
    percent: bool = False


def statistics_table(
    context: Context, statistics: Sequence[Path], columns: Mapping[Column, Shown], title: str, note: str
) -> Table:
    """A row for each recipe, in a group for each dataset: means over the late steps of each run, and over seeds.

    statistics: `statistics.parquet` files of runs that are observed. title: without the datasets and the full stop.
    """
    runs = late_of_each(read_statistics(statistics))
    datasets, rows = list(runs["dataset"].unique()), []
    for dataset, of_dataset in by_dataset(runs):
        group = context.dataset_title(dataset) if len(datasets) > 1 else ""
        for recipe, of_recipe in of_dataset.groupby("recipe", sort=False):
            cells = tuple(_cell(of(of_recipe, shown.statistic), shown) for shown in columns.values())
            rows.append(Row(context.recipe_label(recipe), cells, group))
    caption = context.caption(f"{title} on {context.datasets_titles(datasets)}.")
    notes = (note, *seeds_notes(runs["seed"], runs["recipe"], context))
    return Table(context.label, caption, "recipe", tuple(columns), tuple(rows), notes)


def _cell(rows: pd.DataFrame, shown: Shown) -> Cell:
    per_seed = (100 if shown.percent else 1) * rows.groupby("seed")["value"].mean()
    return over_seeds(per_seed, shown.digits, "%" if shown.percent else "", rows["source"])
