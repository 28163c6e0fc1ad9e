"""Norms of the last layer's rows against the robustness of their classes."""

from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import pearson, spearman
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.classwise.results import REFERENCE, best_runs, by_dataset, by_recipe, group_title, interval_cell
from studies.classwise.weights import norm_correlation, read_norms

NORMS, CORRELATION = "Norm of a class's row", "Correlation with its accuracy"
MEASURES = {"Pearson": pearson, "Spearman": spearman}
COLUMNS = (
    *(Column("smallest", NORMS), Column("largest", NORMS)),
    *(Column(name, CORRELATION) for name in MEASURES),
)
NOTES = (
    "L2 norms of the rows of the last layer's weights, one per class, and their correlation over classes with the "
    "accuracy of the class under PGD-20: run by run, averaged over the seeds. Best checkpoints.",
    "In brackets 95 % intervals by drawing classes, test images within each, and seeds, with replacement (classes and "
    "images where there is one seed), on Fisher's scale: they are about classes like these, of which ten say little.",
)


def build(context: Context, *, evaluations: list[Path], weights: list[Path]) -> Table:
    """evaluations: indexes of suites; weights: of the best checkpoints of our runs."""
    runs, norms = best_runs(context, evaluations), read_norms(weights)
    datasets = list(runs["dataset"].unique())
    rows = []
    for dataset, of_dataset in by_dataset(runs):
        group = group_title(context, datasets, dataset, context.attack_label(REFERENCE))
        for recipe, part in by_recipe(of_dataset, REFERENCE).items():
            own = norms[(norms["dataset"] == dataset) & (norms["recipe"] == recipe)]
            if len(own):
                rows.append(Row(context.recipe_label(recipe), _cells(part, own), group))
    title = f"Last layer and class robustness on {context.datasets_titles(datasets)}."
    notes = (*NOTES, *seeds_notes(norms["seed"], norms["recipe"], context), *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "recipe", COLUMNS, tuple(rows), notes)


def _cells(part: pd.DataFrame, norms: pd.DataFrame) -> tuple[Cell, ...]:
    ends = [over_seeds(norms["norms"].map(end), 2, "", norms["source"]) for end in (np.min, np.max)]
    found = (norm_correlation(part, norms, measure) for measure in MEASURES.values())
    return (
        *ends,
        *(Cell() if interval is None else interval_cell(interval, 2, "", [part, norms]) for interval in found),
    )
