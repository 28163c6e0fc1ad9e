"""Accuracy against the weight of the real images, and which weight the validation images would have chosen."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import INTERVALS, difference_cell, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits, over_seeds
from robustlens.report.table import Table
from studies.proxy.curves import (
    MATCHED,
    MATCHED_GENERATED,
    REAL_ALONE,
    Curve,
    accuracy_cell,
    chosen,
    of_choice,
    read_validation,
    weight_curves,
)
from studies.proxy.results import CLEAN, REFERENCE, of_attack, read_points

NAMES = {0.0: "0 (generated images alone)", REAL_ALONE: "1 (real images alone)"}
CHOICE = "chosen on validation images"
NOTE = (
    "The loss is gamma L(real) + (1 - gamma) L(generated). With gamma between 0 and 1 a step has as many generated "
    "images as real ones; with 0 or 1 it has those of one kind alone, half as many. Matched: twice as many of "
    "them a step, and as many steps. Validation images: robust accuracy of the best epoch, by which it was also "
    "chosen. The last row is, for each seed, the run whose gamma was best on validation images (of equal ones the "
    "largest); its own accuracy there is the best of several and so too high, while test images took no part in the "
    "choice."
)


def build(context: Context, *, evaluations: list[Path], history: list[Path]) -> Table:
    """evaluations: indexes of suites; history: `history.parquet` files of the same runs."""
    runs, validation = read_points(context, evaluations), read_validation(history)
    rows, shown = [], []
    for group, of_group in threats.groups(runs, context):
        there = validation[validation["dataset"] == of_group["dataset"].iloc[0]]
        for curve in weight_curves(context, of_group["recipe"].unique()):
            title = ", ".join(filter(None, (group, curve.label)))
            rows += [Row(label, cells, title) for label, cells in _rows(curve, of_group, there).items()]
            shown.append(of_group[of_group["recipe"].isin(curve.all_recipes())])
    columns = (
        Column("validation images"),
        *(Column(context.attack_label(attack), "test images, %") for attack in (CLEAN, REFERENCE)),
        Column(f"{context.attack_label(REFERENCE)}, minus matched"),
        Column("chosen by seeds"),
    )
    parts = pd.concat(shown) if shown else runs.iloc[:0]
    title = f"Weight gamma of the real images, on {context.datasets_titles(parts['dataset'].unique())}."
    notes = (NOTE, INTERVALS, *seeds_notes(parts["seed"], parts["recipe"], context), *threats.notes(parts, context))
    return Table(context.label, context.caption(title), "gamma", columns, tuple(rows), notes)


def _rows(curve: Curve, runs: pd.DataFrame, validation: pd.DataFrame) -> Mapping[str, tuple[Cell, ...]]:
    """runs, validation: of one dataset and threat."""
    choice, found = chosen(curve, validation), {}
    for number, recipe in curve.recipes.items():
        seeds = [str(seed) for seed, own in choice.items() if own == number]
        parts = [of_attack(runs, recipe, attack) for attack in (CLEAN, REFERENCE)]
        own = validation[validation["recipe"] == recipe]
        found[NAMES.get(number, f"{number:g}")] = (*_cells(curve, runs, own, *parts), Cell(text=", ".join(seeds)))
    for label, recipe in ((MATCHED, curve.matched), (MATCHED_GENERATED, curve.generated_matched)):
        if recipe:
            parts = [of_attack(runs, recipe, attack) for attack in (CLEAN, REFERENCE)]
            own = validation[validation["recipe"] == recipe]
            found[label] = (*_cells(curve, runs, own, *parts), Cell())
    if choice:
        parts = [of_choice(runs, curve, choice, attack) for attack in (CLEAN, REFERENCE)]
        runs_chosen = [(curve.recipes[number], seed) for seed, number in choice.items()]
        own = validation[[run in runs_chosen for run in zip(validation["recipe"], validation["seed"], strict=True)]]
        found[CHOICE] = (*_cells(curve, runs, own, *parts), Cell(text="all"))
    return found


def _cells(
    curve: Curve, runs: pd.DataFrame, validation: pd.DataFrame, clean: pd.DataFrame, robust: pd.DataFrame
) -> tuple[Cell, ...]:
    """All but which seeds choose it. validation, clean, robust: of one row of the table."""
    percent = over_seeds(100 * validation["robust_accuracy"], 1, "%", validation["source"].unique())
    matched = of_attack(runs, curve.matched, REFERENCE) if curve.matched else runs.iloc[:0]
    same = set(robust["recipe"]) == {curve.matched}
    digits = accuracy_digits(int(robust["index"].nunique()) or None)
    difference = Cell() if same else difference_cell(robust, matched, digits)
    return percent, accuracy_cell(clean), accuracy_cell(robust), difference
