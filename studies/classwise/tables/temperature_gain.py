"""What Temperature-PGD and other attacks break beyond PGD-20, beside how flat the softmax is."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import with_points
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import INTERVALS, difference_cell, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits, over_seeds
from robustlens.report.table import Table
from studies.classwise.results import CLEAN, REFERENCE
from studies.classwise.temperature import FIXED, compared, confidence, inverse_temperature, read_sweeps

GAINS = "Fewer correct than under PGD-20, points"


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    runs = read_sweeps(evaluations)
    measured = list(runs["attack"].unique())
    attacks = [name for name in (FIXED, *compared(measured)) if name in measured and name != REFERENCE]
    rows = []
    for title, of_threat in threats.groups(runs, context):
        for recipe, of_recipe in of_threat.groupby("recipe", sort=False):
            rows.append(Row(context.recipe_label(recipe), _cells(of_recipe, attacks), title))
    datasets = context.datasets_titles(runs["dataset"].unique())
    title = f"What attacks break beyond PGD-20 on {datasets}, beside how flat the softmax is."
    notes = (
        "p(y): the softmax's probability of the true class of clean images, mean over all of them: the lower, the "
        f"flatter. The logits of HE are cosines. 1/T = {inverse_temperature(FIXED):g} was chosen before any "
        "result. Best checkpoints.",
        INTERVALS,
        *seeds_notes(runs["seed"], runs["recipe"], context),
        *threats.notes(runs, context),
    )
    columns = (Column("p(y)"), *(Column(context.attack_label(attack), GAINS) for attack in attacks))
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _cells(of_recipe: pd.DataFrame, attacks: list[str]) -> tuple[Cell, ...]:
    parts = {attack: of_recipe[of_recipe["attack"] == attack] for attack in (CLEAN, REFERENCE, *attacks)}
    clean = parts[CLEAN]
    by_seed = confidence(clean).groupby(clean["seed"]).mean()
    cells = [over_seeds(by_seed, 3, "", clean["source"], int(clean["index"].nunique()) or None)]
    reference = with_points(parts[REFERENCE])
    for attack in attacks:
        digits = accuracy_digits(int(parts[attack]["index"].nunique()))
        cells.append(difference_cell(reference, with_points(parts[attack]), digits))
    return tuple(cells)
