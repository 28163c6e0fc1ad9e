"""Clean and robust accuracy of every recipe, at the best and at the last checkpoint."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import largest
from robustlens.analysis.frames import accuracies, read_evaluations
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import attacks_shown, seeds_notes
from robustlens.report.context import Context
from robustlens.report.published import Ball, PublishedNumbers, metric
from robustlens.report.summary import RESOLUTION, accuracy_digits, image_count, over_seeds, resolution_note
from robustlens.report.table import Table

CHECKPOINTS = {"best": "Best checkpoint", "last": "Last checkpoint"}
READ = ["checkpoint", "attack", "label", "prediction_adversarial"]


def build(context: Context, *, evaluations: list[Path], published: Path | None = None) -> Table:
    """evaluations: indexes of suites; published: the study's published numbers, shown beside our own."""
    runs, numbers = largest(read_evaluations(evaluations, READ)), PublishedNumbers(published)
    attacks = attacks_shown(runs, context)
    grouped = [
        (group, threats.ball(rows["threat"].iloc[0], context), accuracies(rows))
        for group, rows in threats.groups(runs, context)
    ]
    everything = pd.concat([rates for *_, rates in grouped])
    measured = [pair for pair in itertools.product(CHECKPOINTS, attacks) if len(_rows(everything, *pair))]
    columns = tuple(Column(context.attack_label(attack), CHECKPOINTS[checkpoint]) for checkpoint, attack in measured)
    rows, notes = [], threats.notes(runs, context)
    for group, ball, rates in grouped:
        dataset = rates["dataset"].iloc[0]
        for recipe in rates["recipe"].unique():
            architecture = numbers.architecture(context.architecture(dataset, recipe))
            of_recipe = rates[rates["recipe"] == recipe]
            cells = tuple(_cell(of_recipe, *pair, numbers, architecture, ball) for pair in measured)
            rows.append(Row(context.recipe_label(recipe), cells, group))
        notes += _notes(rates, attacks, f"{group}, " if group else "", context)
    notes.append(
        "Best checkpoint: highest robust accuracy on the validation split; of recipes that are not trained on attacked "
        "images, highest accuracy there."
    )
    if "published" in set(runs["checkpoint"]):
        notes.append("Third-party models stand there as they were published.")
    title = f"Accuracy in % on {context.datasets_titles(runs['dataset'].unique())} without and under attack."
    notes = (*notes, RESOLUTION)
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _cell(
    rates: pd.DataFrame, checkpoint: str, attack: str, numbers: PublishedNumbers, architecture: str | None, ball: Ball
) -> Cell:
    dataset, recipe = rates["dataset"].iloc[0], rates["recipe"].iloc[0]
    rows = _rows(rates, checkpoint, attack)
    images = image_count(rows)
    # A paper's checkpoint is selected by validation robustness: its number belongs to `best`.
    paper = numbers.find(dataset, architecture, recipe, metric(attack), ball) if checkpoint == "best" else None
    return over_seeds(100 * rows["accuracy"], accuracy_digits(images), "%", rows["source"], images, paper)


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
            f"{prefix}{strong} and {weak} are of different images: table autoattack has both on the same ones."
        )
    return notes
