"""How much more accurate every recipe is than the one that it changes, or than the baseline; and so in the paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import largest, with_points
from robustlens.analysis.frames import read_evaluations
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import (
    INTERVALS,
    attacks_shown,
    difference_cell,
    not_learned,
    not_learned_notes,
)
from robustlens.report.context import Context
from robustlens.report.published import Ball, Published, PublishedNumbers, metric
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table

READ = ["checkpoint", "attack", "index", "label", "prediction_adversarial"]


def build(context: Context, *, evaluations: list[Path], published: Path | None = None) -> Table:
    """evaluations: indexes of suites; published: the study's published numbers, whose differences stand beside ours at
    a scale that has no caveat."""
    everything = largest(read_evaluations(evaluations, READ))
    numbers = PublishedNumbers(published if context.as_published else None)
    # Third-party models have one checkpoint, `published`: they are other networks, and no seed of ours is theirs.
    runs = with_points(everything[everything["checkpoint"] == "best"])
    attacks = attacks_shown(runs, context)
    rows, compared, failed = [], [], []
    for name, of_group in threats.groups(runs, context):
        dataset, recipes = of_group["dataset"].iloc[0], list(of_group["recipe"].unique())
        networks = {name: numbers.architecture(context.architecture(dataset, name)) for name in recipes}
        ball = threats.ball(of_group["threat"].iloc[0], context)
        bases = {recipe: base for recipe in recipes if (base := compared_with(recipe, recipes, context))}
        compared += bases.values()
        where = f" ({name})" if name else ""
        failed += [f"{context.recipe_label(recipe)}{where}" for recipe in not_learned(of_group, bases)]
        for base in sorted(set(bases.values()), key=lambda name: [context.baseline, *recipes].index(name)):
            group = (f"{name}: " if name else "") + f"minus {context.recipe_label(base)}"
            for recipe in (name for name in bases if bases[name] == base):
                pair = {name: networks[name] for name in (recipe, base)}
                papers = {
                    attack: _published_difference(numbers, dataset, pair, metric(attack), ball)
                    for attack in attacks
                    if base == context.baseline
                }
                first, second = (of_group[of_group["recipe"] == name] for name in (recipe, base))
                cells = tuple(_cell(first, second, attack, papers.get(attack)) for attack in attacks)
                rows.append(Row(context.recipe_label(recipe), cells, group))
    datasets = (runs if len(runs) else everything)["dataset"].unique()
    title = f"Accuracy on {context.datasets_titles(datasets)} {_minus(compared, context)}"
    notes = (*_notes(runs, rows, compared, attacks, context), *not_learned_notes(failed), *threats.notes(runs, context))
    columns = tuple(Column(context.attack_label(attack)) for attack in attacks)
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def compared_with(recipe: str, recipes: Sequence[str], context: Context) -> str | None:
    """The one of `recipes` that a recipe is compared with: the one that it changes, or else the study's baseline; None
    if neither is there."""
    return next(
        (name for name in (context.changes(recipe), context.baseline) if name in recipes and name != recipe), None
    )


def _minus(compared: Sequence[str], context: Context) -> str:
    """What is subtracted, as the end of the caption."""
    how = "in points, without and under attack, best checkpoints."
    if not compared:
        return f"minus that of another recipe: {how}"
    if context.baseline not in compared:
        return f"minus that of the recipe that is changed: {how}"
    base = context.recipe_label(context.baseline)
    if set(compared) == {context.baseline}:
        return f"minus that of {base}: {how}"
    return f"minus that of {base} or, for a recipe that changes another one, of that one: {how}"


def _cell(runs: pd.DataFrame, base: pd.DataFrame, attack: str, paper: Published | None) -> Cell:
    own, other = (part[part["attack"] == attack] for part in (runs, base))
    images = int(own.groupby("seed").size().min()) if len(own) else None
    return difference_cell(own, other, accuracy_digits(images), published=paper)


def _published_difference(
    numbers: PublishedNumbers, dataset: str, pair: Mapping[str, str | None], of: str, ball: Ball
) -> Published | None:
    """Of two published numbers of one source; numbers of two sources have two protocols and are not subtracted.

    pair: the two recipes, each with what the file calls its architecture."""
    first, second = (numbers.find(dataset, architecture, recipe, of, ball) for recipe, architecture in pair.items())
    if first is None or second is None or first.source != second.source:
        return None
    source = f"{first.source}, the difference of two of its numbers"
    return Published(first.value - second.value, source, first.trust, first.note)


def _notes(
    runs: pd.DataFrame, rows: list[Row], compared: Sequence[str], attacks: Sequence[str], context: Context
) -> list[str]:
    baseline = context.baseline
    if not rows:
        without = f", and {context.recipe_label(baseline)} is not among them" if baseline else ""
        return [f"Nothing can be compared here: no recipe changes another one of this table{without}."]
    single = {row.label for row in rows if any(cell.n_seeds == 1 for cell in row.cells)}
    others = f"; all others are compared with {context.recipe_label(baseline)}" if baseline in compared else ""
    notes = [
        f"A recipe that changes another one is compared with that one on the seeds that both have{others}.",
        INTERVALS,
    ]
    if single == {row.label for row in rows if any(cell.n_seeds for cell in row.cells)}:
        notes.append("One seed of each recipe is compared.")
    images = (
        runs.groupby(["attack", "dataset", "recipe", "seed", "threat"]).size().groupby("attack").agg(["min", "max"])
    )
    spans = [
        f"{context.attack_label(attack)}: {low}" + (f" to {high}" if high > low else "")
        for attack, (low, high) in images.reindex(attacks).iterrows()
    ]
    return [*notes, f"Test images per seed: {'; '.join(spans)}."]
