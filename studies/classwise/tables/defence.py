"""Defences of the worst class and corrections of the last layer: what they do to the average and to the worst class."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import read_runs
from robustlens.analysis.statistics import Interval
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import BEST, attacks_shown
from robustlens.report.context import Context
from robustlens.report.table import Table
from studies.classwise.defence import (
    METRICS,
    bases,
    best_entries,
    entry_label,
    level,
    mean_gain,
    of_shared_seeds,
    read_defence,
)
from studies.classwise.results import RESAMPLED, by_dataset, group_title, interval_cell, seeds_told

COLUMNS = tuple(Column(name, metric) for metric in METRICS for name in ("%", "gain, points"))
NOTES = (
    "Computed from the accuracies of the classes in each run, and averaged over the seeds that all rows have under "
    "that attack; best checkpoints. gain: over the row that this one changes (SAT or TRADES), on the same seeds and "
    "images. The worst class of one run may be another one than that of the other run.",
    RESAMPLED,
)


def build(context: Context, *, evaluations: list[Path], corrections: list[Path]) -> Table:
    """evaluations: indexes of suites, of recipes and of those that change them; corrections: what each strength of a
    correction gave on validation images."""
    runs = read_defence(context, evaluations)
    datasets, rows, seeds = list(runs["dataset"].unique()), [], {}
    for dataset, of_dataset in by_dataset(runs):
        for attack in attacks_shown(of_dataset, context):
            group = group_title(context, datasets, dataset, context.attack_label(attack))
            parts = of_shared_seeds(of_dataset[of_dataset["attack"] == attack])
            counts = seeds.setdefault(context.attack_label(attack), [])
            counts += [part["seed"].nunique() for part in parts.values()]
            levels = {
                name: {entry: level(part, metric) for entry, part in parts.items()} for name, metric in METRICS.items()
            }
            best = {name: best_entries(parts, metric) for name, metric in METRICS.items()}
            for entry, base in bases(of_dataset).items():
                if entry in parts:
                    cells = _cells(entry, parts, parts.get(base), levels, best)
                    rows.append(Row(entry_label(context, entry), cells, group))
    title = f"Defences of the worst class on {context.datasets_titles(datasets)}."
    strengths = _strengths(context, corrections, len(datasets) > 1)
    bold = [BEST] * any(cell.best for row in rows for cell in row.cells)
    notes = (*NOTES, *bold, *seeds_told(seeds), *strengths, *threats.notes(runs, context))
    return Table(context.label, context.caption(title), "recipe", COLUMNS, tuple(rows), notes)


def _cells(
    entry: str,
    parts: Mapping[str, pd.DataFrame],
    base: pd.DataFrame | None,
    levels: Mapping[str, Mapping[str, Interval]],
    best: Mapping[str, set[str]],
) -> tuple[Cell, ...]:
    part, cells = parts[entry], []
    for name, metric in METRICS.items():
        own = interval_cell(levels[name][entry], 1, "%", [part])
        cells.append(replace(own, best=entry in best[name]))
        gain = None if base is None else mean_gain([(part, base)], metric)
        cells.append(Cell(unit="points") if gain is None else interval_cell(gain, 1, "points", [part, base]))
    return tuple(cells)


def _strengths(context: Context, corrections: list[Path], several: bool) -> list[str]:
    """A sentence on the strengths of all corrections. several: whether there are several datasets, to be named."""
    if not corrections:
        return []
    tried, told = read_runs(corrections), []
    for (dataset, recipe, correction), runs in tried.groupby(["dataset", "recipe", "correction"], sort=False):
        chosen = runs[runs["chosen"]].sort_values("seed")["strength"]
        where = f" on {context.dataset_title(dataset)}" if several else ""
        strengths = ", ".join(f"{strength:g}" for strength in chosen)
        told.append(f"{context.recipe_label(recipe)}, {correction}{where}: {strengths}")
    return [
        "Strengths of the corrections, seed by seed, chosen by the worst class of the validation images (0: none, "
        "except that tau-normalisation always leaves the bias out): "
        f"{'; '.join(told)}."
    ]
