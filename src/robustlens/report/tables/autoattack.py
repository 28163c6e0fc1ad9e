"""What each stage of AutoAttack leaves: accuracy after APGD-CE, APGD-T, FAB-T and Square, best checkpoint."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import largest, with_points
from robustlens.analysis.frames import RUN, read_evaluations
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import BEST, best_of, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import RESOLUTION, accuracy_digits, over_seeds, resolution_note
from robustlens.report.table import Table

STAGES = ("misclassified", "apgd-ce", "apgd-t", "fab-t", "square")
SAME = [*RUN, "threat", "checkpoint", "index"]
KEY = ["dataset", "threat"]
LABELS = ("clean", "after APGD-CE", "after APGD-T", "after FAB-T", "after Square")
READ = ["checkpoint", "attack", "index", "label", "prediction_adversarial", "broken_by"]
BESIDE = "pgd20"  # an attack that the same images are shown under


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    everything = with_points(largest(read_evaluations(evaluations, READ)))
    runs = everything[everything["checkpoint"].isin(("best", "published"))]
    attacked = runs[runs["attack"] == "autoattack"]
    beside = runs[runs["attack"] == BESIDE].merge(attacked[SAME], on=SAME)
    rows, notes = [], threats.notes(attacked, context)
    for group, of_group in threats.groups(attacked, context):
        images = int(of_group.groupby(RUN).size().min())
        parts = [_left(of_group, stage) for stage in range(len(STAGES))]
        if len(beside):
            parts.append(beside[beside[KEY].eq(of_group[KEY].iloc[0]).all(axis=1)])
        columns_of = [dict(iter(part.groupby("recipe", sort=False))) for part in parts]
        best = [best_of(by_recipe) for by_recipe in columns_of]
        for recipe in of_group["recipe"].unique():
            cells = [
                replace(_cell(by_recipe.get(recipe)), best=recipe in of_column)
                for by_recipe, of_column in zip(columns_of, best, strict=True)
            ]
            rows.append(Row(context.recipe_label(recipe), tuple(cells), group))
        prefix, robust = f"{group}: " if group else "", (of_group["broken_by"] == "").mean()
        notes += [prefix + note for note in seeds_notes(of_group["seed"], of_group["recipe"], context)]
        notes.append(resolution_note(f"{prefix}AutoAttack", images, robust))
    datasets = context.datasets_titles((attacked if len(attacked) else runs)["dataset"].unique())
    title = (
        f"Accuracy in % on {datasets} after each stage of AutoAttack, best checkpoint. A stage attacks only the images "
        "that are still classified correctly; after the last one it is the AutoAttack accuracy."
    )
    if len(beside):
        title += f" Beside it: under {context.attack_label(BESIDE)}, on the same images."
    labels = [*LABELS, *([context.attack_label(BESIDE)] if len(beside) else [])]
    columns = tuple(map(Column, labels))
    bold = [BEST] * any(cell.best for row in rows for cell in row.cells)
    notes = (*bold, *notes, RESOLUTION) if rows else ("None of these suites has AutoAttack.",)
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _left(attacked: pd.DataFrame, stage: int) -> pd.DataFrame:
    """With the points that are left after a stage: 0 or 100."""
    return attacked.assign(points=100.0 * ~attacked["broken_by"].isin(STAGES[: stage + 1]))


def _cell(rows: pd.DataFrame | None) -> Cell:
    """The mean of the points of one recipe; None: it has none."""
    if rows is None:
        return Cell(unit="%")
    seeds, images = rows.groupby("seed", sort=False), int(rows.groupby(RUN).size().min())
    return over_seeds(seeds["points"].mean(), accuracy_digits(images), "%", seeds["source"].first(), images)
