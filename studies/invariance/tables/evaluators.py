"""AutoAttack as it is published, and as AR-AT's release runs it; PGD-20 in its ball, and in the release's."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import sources
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import INTERVALS, difference_cell, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits, over_seeds
from robustlens.report.table import Table
from studies.invariance.results import best, read_points, under

# What the release runs, and what it stands for
PAIRS = {"autoattack-10": "autoattack", "pgd20-off-centre": "pgd20"}
NOTE = (
    "autoattack-10: the attacks of AutoAttack with 10 iterations instead of 100, as a library calls by that name and "
    "AR-AT's release uses. Off-centre: the ball is around an image to which noise was added, so that an attacked image "
    "may be up to 2 ε away. Difference: released minus standard, paired by seed and image, on the images that both "
    "were tried on: above 0 where the released evaluator finds fewer adversarial images. Best checkpoints."
)


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    runs = best(read_points(context, evaluations))
    pairs = {released: standard for released, standard in PAIRS.items() if (runs["attack"] == released).any()}
    rows = []
    for group, of_group in threats.groups(runs, context):
        parts = {attack: under(of_group, attack) for pair in pairs.items() for attack in pair}
        for recipe in of_group["recipe"].unique():
            cells = tuple(
                cell for released, standard in pairs.items() for cell in _cells(parts, recipe, released, standard)
            )
            if any(cell.value is not None for cell in cells):
                rows.append(Row(context.recipe_label(recipe), cells, group))
    columns = tuple(
        Column(name, f"{context.attack_label(standard)}, accuracy in %")
        for standard in pairs.values()
        for name in ("standard", "as released", "difference")
    )
    title = f"Two evaluators as they are and as released, on {context.datasets_titles(runs['dataset'].unique())}."
    shown = runs[runs["attack"].isin([*pairs, *pairs.values()])]
    notes = (NOTE, INTERVALS, *seeds_notes(shown["seed"], shown["recipe"], context), *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _cells(
    parts: dict[str, dict[str, pd.DataFrame]], recipe: str, released: str, standard: str
) -> tuple[Cell, Cell, Cell]:
    ours, theirs = parts[standard].get(recipe), parts[released].get(recipe)
    if ours is None or theirs is None:
        return Cell(unit="%"), Cell(unit="%"), Cell(unit="points")
    images = set(ours["index"]) & set(theirs["index"])
    shared = [part[part["index"].isin(images)] for part in (ours, theirs)]
    digits = accuracy_digits(len(images))
    levels = [
        over_seeds(part.groupby("seed")["points"].mean(), digits, "%", sources(part), len(images)) for part in shared
    ]
    return *levels, difference_cell(theirs, ours, digits)
