"""Tables of what accuracies of classes come to under Temperature-PGD, and under other attacks with as many steps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import per_run, resampled_interval, shared_answers
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table
from studies.classwise.results import CLEAN, RESAMPLED, by_dataset, interval_cell, seeds_of
from studies.classwise.temperature import broken_by_any, compared, read_sweeps, swept

# A metric of the accuracies of the classes, its unit, and the values that it can take
Metric = tuple[Callable[[np.ndarray], np.ndarray], str, tuple[float, float]]

ANY, BESIDE = "any 1/T", 5  # columns beside one another
SWEEP, OTHERS, NONE = "Temperature-PGD by 1/T", "Other attacks, 20 steps", "No attack"
NOTES = (
    "All attacks have 20 steps; APGD computes one gradient more than it has steps. Computed from the accuracies of the "
    "classes in each run, and averaged over the seeds. Best checkpoints.",
    f"{ANY}: an image counts as broken if one of these 1/T breaks it. Their steps add up, and each test image has the "
    "1/T that suits it, so this is not an attack of 20 steps.",
    RESAMPLED,
)


def temperature_table(
    context: Context, evaluations: Sequence[Path], metrics: Mapping[str, Metric], title: str, notes: Sequence[str] = ()
) -> Table:
    """A group of rows for each metric and dataset, a row for each recipe and threat. evaluations: indexes of suites."""
    runs = read_sweeps(evaluations)
    columns, datasets = _columns(runs["attack"].unique(), context), list(runs["dataset"].unique())
    rows = []
    for name, metric in metrics.items():
        for dataset, of_dataset in by_dataset(runs):
            group = ", ".join([name, *([context.dataset_title(dataset)] if len(datasets) > 1 else [])])
            first = of_dataset["threat"].iloc[0]
            for (threat, recipe), of_recipe in of_dataset.groupby(["threat", "recipe"], sort=False):
                other = [threats.label(threat, context)] * (threat != first)
                label = ", ".join([context.recipe_label(recipe), *other])
                rows.append(Row(label, _cells(of_recipe, columns.values(), metric), group))
    text = f"{title} on {context.datasets_titles(datasets)}."
    notes = (*notes, *NOTES, *seeds_of(runs, context), *_subsets(runs, context), *threats.notes(runs, context))
    return Table(context.label, context.caption(text), "recipe", tuple(columns), tuple(rows), notes)


def _columns(attacks: Sequence[str], context: Context) -> dict[Column, list[str]]:
    """Each with its attacks, one or, for ANY, several."""
    temperatures = swept(attacks)
    sweep = {f"{value:g}": [attack] for attack, value in temperatures.items()}
    if len(sweep) > 1:
        sweep[ANY] = list(temperatures)
    names = list(sweep)
    found = {
        Column(name, SWEEP + ", continued" * (start > 0)): sweep[name]
        for start in range(0, len(names), BESIDE)
        for name in names[start : start + BESIDE]
    }
    found |= {Column(context.attack_label(attack), OTHERS): [attack] for attack in compared(attacks)}
    return found | {Column(context.attack_label(attack), NONE): [attack] for attack in attacks if attack == CLEAN}


def _cells(of_recipe: pd.DataFrame, columns: Iterable[Sequence[str]], metric: Metric) -> tuple[Cell, ...]:
    parts = dict(iter(of_recipe.groupby("attack", sort=False)))
    return tuple(_cell([parts[attack] for attack in attacks if attack in parts], *metric) for attacks in columns)


def _cell(
    behind: Sequence[pd.DataFrame], metric: Callable[[np.ndarray], np.ndarray], unit: str, within: tuple[float, float]
) -> Cell:
    """behind: one recipe under one attack, or under several of which each image gets the one that fools it."""
    if not behind:
        return Cell(unit=unit)
    right, labels = shared_answers([behind[0] if len(behind) == 1 else broken_by_any(behind)])
    interval = resampled_interval(right[:, 0], labels, per_run(metric), within)
    return interval_cell(interval, accuracy_digits(len(labels)) if unit else 4, unit, behind)


def _subsets(runs: pd.DataFrame, context: Context) -> list[str]:
    """A sentence for each dataset of whose images some attacks were tried on a subset."""
    notes = []
    for dataset, of_dataset in by_dataset(runs):
        counts = of_dataset.groupby("attack", sort=False)["index"].nunique()
        fewer = counts[counts < counts.max()]
        if len(fewer):
            listed = "; ".join(f"{context.attack_label(attack)} {count}" for attack, count in fewer.items())
            notes.append(f"{context.dataset_title(dataset)}: {counts.max()} test images, but {listed}.")
    return notes
