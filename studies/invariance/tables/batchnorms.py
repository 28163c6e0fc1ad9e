"""One training, two classifiers: with the BatchNorm of adversarial images, and with that of natural ones."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import largest, sources, with_points
from robustlens.analysis.frames import read_evaluations
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import INTERVALS, attacks_shown, difference_cell, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits, over_seeds
from robustlens.report.table import Table
from studies.invariance.results import READ

CHECKPOINTS = {"best": "adversarial", "best-natural-batchnorm": "natural"}
NOTE = (
    "adversarial: the classifier that is deployed, whose BatchNorm statistics and affine maps are of adversarial "
    "images. natural: the same weights with those of natural images. Difference: natural minus adversarial. Best "
    "checkpoints."
)


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites with both checkpoints."""
    runs = with_points(largest(read_evaluations(evaluations, READ)))
    runs = runs[runs["checkpoint"].isin(CHECKPOINTS)]
    attacks, rows = attacks_shown(runs, context), []
    for group, of_group in threats.groups(runs, context):
        for recipe, of_recipe in of_group.groupby("recipe", sort=False):
            cells = [cell for attack in attacks for cell in _cells(of_recipe[of_recipe["attack"] == attack])]
            rows.append(Row(context.recipe_label(recipe), tuple(cells), group))
    columns = tuple(
        Column(name, f"{context.attack_label(attack)}, accuracy in %")
        for attack in attacks
        for name in (*CHECKPOINTS.values(), "difference")
    )
    title = f"Two BatchNorms of one training, on {context.datasets_titles(runs['dataset'].unique())}."
    notes = (NOTE, INTERVALS, *seeds_notes(runs["seed"], runs["recipe"], context), *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _cells(of_attack: pd.DataFrame) -> tuple[Cell, Cell, Cell]:
    """Of one recipe under one attack."""
    parts = [of_attack[of_attack["checkpoint"] == checkpoint] for checkpoint in CHECKPOINTS]
    images = int(of_attack["index"].nunique())
    digits = accuracy_digits(images)
    levels = [over_seeds(p.groupby("seed")["points"].mean(), digits, "%", sources(p), images) for p in parts]
    return *levels, difference_cell(parts[1], parts[0], digits)
