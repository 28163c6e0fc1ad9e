"""Accuracy of each class, without attack and under PGD-20."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.classwise import accuracy_interval
from robustlens.analysis.frames import seeds_by_images
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.table import Table
from studies.classwise.class_names import read_class_names
from studies.classwise.results import (
    CLEAN,
    OF_ONE_CLASS,
    REFERENCE,
    best_runs,
    by_dataset,
    by_recipe,
    group_title,
    interval_cell,
    over_what,
    seeds_of,
)

MOST = 20  # classes with a column; of more, the worst and the best are shown
BESIDE = 5  # columns that fit beside one another


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
        if any(named[dataset].names[c] != f"{i}" for i, c in enumerate(shown)):
            notes.append(f"{context.dataset_title(dataset)}{which}: {listed}.")
        for attack in (CLEAN, REFERENCE):
            group = group_title(context, datasets, dataset, context.attack_label(attack))
            for recipe, part in by_recipe(of_dataset, attack).items():
                cells = [_cell(part[part["label"] == c]) for c in shown]
                cells += [Cell(unit="%")] * (width - len(cells))
                rows.append(Row(context.recipe_label(recipe), tuple(cells), group))
    over = over_what(runs.groupby(["dataset", "recipe"])["seed"].nunique())
    classes = f"each class of {context.datasets_titles(datasets)}"
    title = f"Accuracy in % of {classes}, best checkpoints, with 95 % intervals over {over}."
    notes += [OF_ONE_CLASS, *seeds_of(runs, context), *threats.notes(runs, context)]
    return Table(context.label, context.caption(title), "recipe", _columns(width), tuple(rows), tuple(notes))


def _columns(width: int) -> tuple[Column, ...]:
    """One per class, in groups of as many as print has room for."""
    if width <= BESIDE:
        return tuple(Column(f"{i}") for i in range(width))
    groups = [range(start, min(start + BESIDE, width)) for start in range(0, width, BESIDE)]
    named = {g: f"classes {g[0]} to {g[-1]}" if len(g) > 1 else f"class {g[0]}" for g in groups}
    return tuple(Column(f"{i}", name) for group, name in named.items() for i in group)


def _shown(runs: pd.DataFrame, count: int) -> list[int]:
    """The numbers of the classes with a column, of many those whose mean accuracy over all recipes and attacks is the
    lowest and the highest, half of each."""
    if count <= MOST:
        return list(range(count))
    right = (runs["prediction_adversarial"] == runs["label"]).groupby(runs["label"]).mean().sort_values(kind="stable")
    return [int(c) for c in (*right.index[: MOST // 2], *right.index[-(MOST // 2) :])]


def _cell(part: pd.DataFrame) -> Cell:
    """part: of one recipe under one attack, the images of one class."""
    if part.empty:
        return Cell(unit="%")
    right = part.assign(right=part["prediction_adversarial"] == part["label"])
    return interval_cell(accuracy_interval(seeds_by_images(right, "right").to_numpy()), 1, "%", [part])
