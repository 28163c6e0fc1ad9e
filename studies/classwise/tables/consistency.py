"""Whether the same classes are robust under other attacks, and with other defences: rank correlations."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from robustlens.analysis.classwise import kendall, spearman
from robustlens.analysis.statistics import Interval
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import attacks_shown
from robustlens.report.context import Context
from robustlens.report.table import Table
from studies.classwise.consistency import attack_pairs, between_attacks, between_recipes
from studies.classwise.results import (
    CLEAN,
    REFERENCE,
    RESAMPLED,
    best_runs,
    by_dataset,
    by_recipe,
    group_title,
    interval_cell,
    seeds_of,
)

MEASURES = {"Spearman": spearman, "Kendall": kendall}
NOTES = (
    "Rank correlation, over classes, of accuracies under attack that are averaged over the seeds. Between attacks: "
    "mean over the recipes. Between defences: mean over the pairs of a recipe with each of the others. A recipe whose "
    "classes all have the same accuracy has no correlation and does not count.",
    RESAMPLED,
)


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites."""
    runs = best_runs(context, evaluations)
    datasets = list(runs["dataset"].unique())
    rows = []
    for dataset, of_dataset in by_dataset(runs):
        attacks = [attack for attack in attacks_shown(of_dataset, context) if attack != CLEAN]
        parts = {attack: by_recipe(of_dataset, attack) for attack in attacks}
        group = group_title(context, datasets, dataset, "between attacks")
        for first, second in attack_pairs(parts):
            shown = [*parts[first].values(), *parts[second].values()]
            cells = _cells(partial(between_attacks, parts[first], parts[second]), shown)
            rows.append(Row(f"{context.attack_label(first)} and {context.attack_label(second)}", cells, group))
        tested = parts.get(REFERENCE, {})
        group = group_title(context, datasets, dataset, f"between defences, under {context.attack_label(REFERENCE)}")
        for recipe in tested if len(tested) > 1 else ():
            cells = _cells(partial(between_recipes, tested, of=recipe), list(tested.values()))
            rows.append(Row(f"{context.recipe_label(recipe)} and the others", cells, group))
    title = f"Consistency of class robustness on {context.datasets_titles(datasets)}."
    columns = tuple(Column(name) for name in MEASURES)
    notes = (*NOTES, *seeds_of(runs, context), *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "between", columns, tuple(rows), notes)


def _cells(interval_of: Callable[[Callable], Interval | None], rows: list[pd.DataFrame]) -> tuple[Cell, ...]:
    found = (interval_of(measure) for measure in MEASURES.values())
    return tuple(Cell() if interval is None else interval_cell(interval, 2, "", rows) for interval in found)
