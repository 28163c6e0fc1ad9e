"""Clean accuracy, robust accuracy and their sum."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import sources
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import BEST as BOLD
from robustlens.report.comparison import best_of, seeds_notes
from robustlens.report.context import Context
from robustlens.report.published import Published, PublishedNumbers, metric
from robustlens.report.reproduction import RULE, reproduction
from robustlens.report.summary import accuracy_digits, over_seeds
from robustlens.report.table import Table
from studies.invariance.results import BEST, CLEAN, REFERENCE, STRONG, SUM, read_points

CHECKPOINTS = {"best": "Best checkpoint", "last": "Last checkpoint"}
SHOWN = (CLEAN, REFERENCE, STRONG, SUM)
NOTES = (
    "Sum: of clean accuracy and of accuracy under AutoAttack, in points, both on the images that AutoAttack was tried "
    "on. Best checkpoint: highest robust accuracy (PGD) on the validation split. The paper has no validation images "
    "and takes the last epoch: its numbers stand beside our last checkpoint. Of recipes with SWA only the last "
    "checkpoint is averaged.",
)
SUMS = "Sums are not judged apart from the accuracies that they are of."


def build(context: Context, *, evaluations: list[Path], published: Path) -> Table:
    """evaluations: indexes of suites; published: the study's published numbers, which stand beside our last checkpoint
    at a scale that has no caveat, with what ours say of them."""
    runs = read_points(context, evaluations)
    numbers = PublishedNumbers(published if context.as_published else None)
    measured = [
        (checkpoint, attack) for checkpoint in CHECKPOINTS for attack in SHOWN if len(_of(runs, checkpoint, attack))
    ]
    rows = []
    for group, of_group in threats.groups(runs, context):
        best = {pair: best_of(dict(iter(_of(of_group, *pair).groupby("recipe", sort=False)))) for pair in measured}
        dataset, ball = of_group["dataset"].iloc[0], threats.ball(of_group["threat"].iloc[0], context)
        for recipe, of_recipe in of_group.groupby("recipe", sort=False):
            network = numbers.architecture(context.architecture(dataset, recipe))
            papers = {attack: numbers.find(dataset, network, recipe, metric(attack), ball) for attack in SHOWN}
            cells = tuple(
                replace(
                    _cell(_of(of_recipe, *pair), pair[1], _paper(papers, *pair, measured)), best=recipe in best[pair]
                )
                for pair in measured
            )
            rows.append(Row(context.recipe_label(recipe), cells, group))
    columns = tuple(
        Column("Sum" if attack == SUM else context.attack_label(attack), CHECKPOINTS[checkpoint])
        for checkpoint, attack in measured
    )
    title = f"Accuracy in % without and under attack, and their sum, on {context.datasets_titles(_names(runs))}."
    bold = [BOLD] * any(cell.best for row in rows for cell in row.cells)
    judged = [f"{RULE} {SUMS}"] * any(cell.reproduction for row in rows for cell in row.cells)
    notes = (*bold, *judged, *NOTES, *seeds_notes(runs["seed"], runs["recipe"], context), *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _names(runs: pd.DataFrame) -> Sequence[str]:
    return list(runs["dataset"].unique())


def _of(rows: pd.DataFrame, checkpoint: str, attack: str) -> pd.DataFrame:
    checkpoints = BEST if checkpoint == "best" else (checkpoint,)
    return rows[rows["checkpoint"].isin(checkpoints) & (rows["attack"] == attack)]


def _paper(
    papers: dict[str, Published | None], checkpoint: str, attack: str, measured: Sequence[tuple[str, str]]
) -> Published | None:
    """The paper's number, beside our last checkpoint where that was attacked, else beside the best one."""
    beside = "last" if ("last", attack) in measured else "best"
    return papers[attack] if checkpoint == beside else None


def _cell(part: pd.DataFrame, attack: str, paper: Published | None) -> Cell:
    per_seed = part.groupby("seed")["points"].mean()
    images = int(part.groupby("seed").size().min()) if len(part) else None
    unit = "points" if attack == SUM else "%"
    cell = over_seeds(per_seed, accuracy_digits(images), unit, sources(part), images, paper)
    judged = reproduction(list(per_seed), images, paper) if paper and len(part) and attack != SUM else None
    return replace(cell, reproduction=judged)
