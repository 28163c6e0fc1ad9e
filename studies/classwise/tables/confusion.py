"""Where attacked images go: how symmetric errors are, and whether they stay among similar classes."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.confusion import even_share_within, share_of_largest, share_within, symmetry
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.table import Table
from studies.classwise.class_names import read_class_names
from studies.classwise.errors import ATTACKS, CASCADE, ENOUGH, few_images, groups_of, halved_interval, matrix_interval
from studies.classwise.results import (
    RESAMPLED,
    best_runs,
    by_dataset,
    by_recipe,
    group_title,
    interval_cell,
    seeds_of,
)

LARGEST = 2
OWN_GROUPS = "clusters of the matrices under {attack} (ours, chosen so that many errors stay inside)"
ALIKE, WRONG = "Errors within the group, %", f"Errors to the {LARGEST} largest, %"
COLUMNS = (
    Column("symmetry"),
    Column("measured", ALIKE),
    Column("if spread evenly", ALIKE),
    Column("measured", WRONG),
    Column("if spread evenly", WRONG),
)
NOTES = (
    "Computed from each run's confusion matrix m (shares of the images of the true class) and averaged over the seeds; "
    "best checkpoints.",
    "symmetry, an index of ours: 1 minus the sum of |m_ij \u2212 m_ji| divided by the sum of m_ij + m_ji, both over "
    "all pairs of classes. It is 1 where i is taken for j as often as j for i, and 0 where only one of each pair is "
    "taken for the other.",
    f"Errors to the {LARGEST} largest: those to the {LARGEST} wrong classes that take most images of the true class. "
    "These classes are chosen on one half of its images and the errors are measured on the other half, both ways.",
    f"Where a class has fewer than {ENOUGH} test images for each class of the dataset, chance empties most of the "
    "matrix and makes it lopsided: there is no symmetry then, and no interval of the errors to the largest.",
    RESAMPLED,
)


def build(context: Context, *, evaluations: list[Path], names: list[Path]) -> Table:
    """evaluations: indexes of suites; names: of the classes of each dataset."""
    runs, named = best_runs(context, evaluations), read_class_names(names)
    datasets = list(runs["dataset"].unique())
    rows, notes = [], list(NOTES)
    for dataset, of_dataset in by_dataset(runs):
        parts = {attack: found for attack in ATTACKS if (found := by_recipe(of_dataset, attack))}
        if not parts:
            continue
        first = next(iter(parts))
        titles, groups = groups_of(named[dataset], parts[first])
        kind = "superclasses" if named[dataset].superclasses else OWN_GROUPS.format(attack=context.attack_label(first))
        notes.append(f"Groups of {context.dataset_title(dataset)}: {kind}, {'; '.join(titles)}.")
        for attack, of_attack in parts.items():
            group = group_title(context, datasets, dataset, context.attack_label(attack))
            for recipe, part in of_attack.items():
                rows.append(Row(context.recipe_label(recipe), _cells(part, len(named[dataset].names), groups), group))
    title = f"Where attacked images of {context.datasets_titles(datasets)} go."
    notes += [CASCADE] * bool((runs["attack"] == "autoattack").any())
    notes += [*seeds_of(runs[runs["attack"].isin(ATTACKS)], context), *threats.notes(runs, context)]
    return Table(context.label, context.caption(title), "recipe", COLUMNS, tuple(rows), tuple(notes))


def _cells(part: pd.DataFrame, classes: int, groups: list) -> tuple[Cell, ...]:
    found = [
        (matrix_interval([part], classes, symmetry, (0, 1)), 2, ""),
        (matrix_interval([part], classes, partial(share_within, groups=groups), (0, 1)), 1, "%"),
        (matrix_interval([part], classes, partial(even_share_within, groups=groups), (0, 1)), 1, "%"),
        (halved_interval([part], classes, partial(share_of_largest, count=LARGEST), (0, 1)), 1, "%"),
    ]
    cells = [Cell(unit=unit) if i is None else interval_cell(i, digits, unit, [part]) for i, digits, unit in found]
    if few_images(part, classes):
        cells[0], cells[-1] = Cell(), replace(cells[-1], low=None, high=None)
    evenly = 100 * min(LARGEST / (classes - 1), 1)
    return (*cells, Cell(value=float(np.round(evenly, 10)), digits=1, unit="%"))
