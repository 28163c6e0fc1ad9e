"""Accuracy against how many generated images there are."""

from pathlib import Path

import pandas as pd

from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import INTERVALS, difference_cell, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table
from studies.proxy.curves import MATCHED, Curve, accuracy_cell, of_shared_seeds, size_curves
from studies.proxy.results import CLEAN, REFERENCE, of_attack, read_points

NOTE = (
    "The number is that of images that one generator gave for each class. In each step, training draws as many of them "
    "as real ones, so that the fewer there are, the more often each is drawn. Only seeds that all rows have. Matched: "
    "twice as many real images a step, and as many steps."
)


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    runs = read_points(context, evaluations)
    rows, shown = [], []
    for group, of_group in threats.groups(runs, context):
        for curve in size_curves(context, of_group["recipe"].unique()):
            part = of_shared_seeds(of_group, curve)
            title = ", ".join(filter(None, (group, curve.label)))
            rows += [Row(f"{size:,}", _cells(part, recipe, curve), title) for size, recipe in curve.recipes.items()]
            if curve.matched:
                rows.append(Row(MATCHED, _cells(part, curve.matched, curve), title))
            shown.append(part)
    columns = (
        *(Column(context.attack_label(attack), "test images, %") for attack in (CLEAN, REFERENCE)),
        Column(f"{context.attack_label(REFERENCE)}, minus matched"),
    )
    parts = pd.concat(shown) if shown else runs.iloc[:0]
    title = f"How many images of each class are generated, on {context.datasets_titles(parts['dataset'].unique())}."
    notes = (NOTE, INTERVALS, *seeds_notes(parts["seed"], parts["recipe"], context), *threats.notes(parts, context))
    return Table(context.label, context.caption(title), "images a class", columns, tuple(rows), notes)


def _cells(runs: pd.DataFrame, recipe: str, curve: Curve) -> tuple[Cell, ...]:
    clean, robust = (of_attack(runs, recipe, attack) for attack in (CLEAN, REFERENCE))
    digits = accuracy_digits(int(robust["index"].nunique()) or None)
    apart = recipe != curve.matched and curve.matched is not None
    difference = difference_cell(robust, of_attack(runs, curve.matched, REFERENCE), digits) if apart else Cell()
    return accuracy_cell(clean), accuracy_cell(robust), difference
