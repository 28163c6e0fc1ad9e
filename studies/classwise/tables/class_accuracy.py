"""Accuracy of each class, without and under each attack."""

from pathlib import Path

import pandas as pd

from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import attacks_shown, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.classwise.class_names import read_class_names
from studies.classwise.results import best_runs, by_dataset, by_recipe, group_title

MOST = 20  # classes that fit beside one another; of more, the worst and the best are shown


def build(context: Context, *, evaluations: list[Path], names: list[Path]) -> Table:
    """evaluations: indexes of suites; names: of the classes of each dataset."""
    runs, named = best_runs(context, evaluations), read_class_names(names)
    datasets = list(runs["dataset"].unique())
    width = min(MOST, max(len(named[dataset].names) for dataset in datasets))
    rows, notes = [], []
    for dataset, of_dataset in by_dataset(runs):
        shown = _shown(of_dataset, len(named[dataset].names))
        listed = ", ".join(f"{i} {named[dataset].names[c]}" for i, c in enumerate(shown))
        which = ", the classes with the lowest and the highest accuracy" * (len(shown) < len(named[dataset].names))
        notes.append(f"{context.dataset_title(dataset)}{which}: {listed}.")
        for attack in attacks_shown(of_dataset, context):
            group = group_title(context, datasets, dataset, context.attack_label(attack))
            for recipe, part in by_recipe(of_dataset, attack).items():
                cells = [_cell(part[part["label"] == c]) for c in shown]
                cells += [Cell(unit="%")] * (width - len(cells))
                rows.append(Row(context.recipe_label(recipe), tuple(cells), group))
    title = f"Accuracy in % of each class of {context.datasets_titles(datasets)}, best checkpoints."
    notes += [*seeds_notes(runs["seed"], runs["recipe"], context), *threats.notes(runs, context)]
    columns = tuple(Column(f"{i}") for i in range(width))
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), tuple(notes))


def _shown(runs: pd.DataFrame, count: int) -> list[int]:
    """The numbers of the classes with a column, of many those whose mean accuracy over all recipes and attacks is the
    lowest and the highest, half of each."""
    if count <= MOST:
        return list(range(count))
    right = (runs["prediction_adversarial"] == runs["label"]).groupby(runs["label"]).mean().sort_values(kind="stable")
    return [int(c) for c in (*right.index[: MOST // 2], *right.index[-(MOST // 2) :])]


def _cell(part: pd.DataFrame) -> Cell:
    right = (part["prediction_adversarial"] == part["label"]).groupby(part["seed"])
    images = int(right.size().min()) if len(part) else None
    return over_seeds(100 * right.mean(), 1, "%", part["source"], images)
