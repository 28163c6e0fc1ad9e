"""Clean and robust accuracy of every recipe, at the best and at the last checkpoint."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import largest, with_points
from robustlens.analysis.frames import accuracies, read_evaluations
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import BEST, attacks_shown, best_of, seeds_notes
from robustlens.report.context import Context
from robustlens.report.published import Ball, PublishedNumbers, metric
from robustlens.report.reproduction import RULE, reproduction
from robustlens.report.summary import RESOLUTION, accuracy_digits, image_count, over_seeds, resolution_note
from robustlens.report.table import Table

CHECKPOINTS = {"best": "Best checkpoint", "last": "Last checkpoint"}
READ = ["checkpoint", "attack", "index", "label", "prediction_adversarial"]


def build(context: Context, *, evaluations: list[Path], published: Path | None = None) -> Table:
    """evaluations: indexes of suites; published: the study's published numbers, which stand beside our own at a scale
    that has no caveat, with what ours say of them."""
    runs = with_points(largest(read_evaluations(evaluations, READ)))
    numbers = PublishedNumbers(published if context.as_published else None)
    attacks = attacks_shown(runs, context)
    grouped = [
        (group, threats.ball(rows["threat"].iloc[0], context), accuracies(rows), rows)
        for group, rows in threats.groups(runs, context)
    ]
    everything = pd.concat([rates for *_, rates, _ in grouped])
    measured = [pair for pair in itertools.product(CHECKPOINTS, attacks) if len(_rows(everything, *pair))]
    columns = tuple(Column(context.attack_label(attack), CHECKPOINTS[checkpoint]) for checkpoint, attack in measured)
    rows, notes = [], threats.notes(runs, context)
    for group, ball, rates, images in grouped:
        best = {pair: best_of(dict(iter(_rows(images, *pair).groupby("recipe", sort=False)))) for pair in measured}
        dataset = rates["dataset"].iloc[0]
        for recipe in rates["recipe"].unique():
            architecture = numbers.architecture(context.architecture(dataset, recipe))
            of_recipe = rates[rates["recipe"] == recipe]
            cells = tuple(
                replace(_cell(of_recipe, *pair, numbers, architecture, ball), best=recipe in best[pair])
                for pair in measured
            )
            rows.append(Row(context.recipe_label(recipe), cells, group))
        notes += _notes(rates, attacks, f"{group}: " if group else "", context)
    notes.append(
        "Best checkpoint: that with the highest robust accuracy on the validation split or, for a recipe that is not "
        "trained on attacked images, with the highest accuracy there."
    )
    if "published" in set(runs["checkpoint"]):
        notes.append("Third-party models stand there as they were published.")
    title = f"Accuracy in % on {context.datasets_titles(runs['dataset'].unique())} without and under attack."
    bold = [BEST] * any(cell.best for row in rows for cell in row.cells)
    judged = [RULE] * any(cell.reproduction for row in rows for cell in row.cells)
    notes = (*bold, *judged, *notes, RESOLUTION)
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _cell(
    rates: pd.DataFrame, checkpoint: str, attack: str, numbers: PublishedNumbers, architecture: str | None, ball: Ball
) -> Cell:
    dataset, recipe = rates["dataset"].iloc[0], rates["recipe"].iloc[0]
    rows = _rows(rates, checkpoint, attack)
    images = image_count(rows)
    # A paper's checkpoint is selected by validation robustness: its number belongs to `best`.
    paper = numbers.find(dataset, architecture, recipe, metric(attack), ball) if checkpoint == "best" else None
    percent = 100 * rows["accuracy"]
    judged = reproduction(list(percent), images, paper) if paper and len(rows) else None
    cell = over_seeds(percent, accuracy_digits(images), "%", rows["source"], images, paper)
    return replace(cell, reproduction=judged)


def _rows(rates: pd.DataFrame, checkpoint: str, attack: str) -> pd.DataFrame:
    """Of a checkpoint and an attack. The one checkpoint that a third-party model has stands with the best ones."""
    checkpoints = ("best", "published") if checkpoint == "best" else (checkpoint,)
    return rates[rates["checkpoint"].isin(checkpoints) & (rates["attack"] == attack)]


def _notes(rates: pd.DataFrame, attacks: Sequence[str], prefix: str, context: Context) -> list[str]:
    notes = [prefix + note for note in seeds_notes(rates["seed"], rates["recipe"], context)]
    for attack in attacks:
        rows = rates[rates["attack"] == attack]
        if len(rows):
            what = f"{prefix}{context.attack_label(attack)}"
            notes.append(resolution_note(what, image_count(rows), rows["accuracy"].mean()))
    counts = {attack: image_count(rates[rates["attack"] == attack]) for attack in ("pgd20", "autoattack")}
    if None not in counts.values() and counts["autoattack"] < counts["pgd20"]:
        strong, weak = context.attack_label("autoattack"), context.attack_label("pgd20")
        notes.append(
            f"{prefix}{strong} and {weak} are measured on different images; the table autoattack has both on the same "
            "ones."
        )
    return notes
