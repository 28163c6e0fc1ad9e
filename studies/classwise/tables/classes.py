"""Average, worst classes, variance and gap of the accuracies of all classes, without and under attack."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import (
    class_gap,
    class_variance,
    mean_of_worst,
    per_run,
    resampled_interval,
    shared_answers,
    worst_class,
    worst_tenth,
)
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row, number
from robustlens.report.comparison import BEST
from robustlens.report.context import Context
from robustlens.report.published import ANY_ARCHITECTURE, PublishedNumbers
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table
from studies.classwise.class_names import read_class_names
from studies.classwise.defence import Metric, best_entries
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

FEW, MANY = 3, 20  # the worst classes of which the mean is shown; from how many classes on there is a worst tenth
ATTACKS = (CLEAN, REFERENCE, "autoattack")
FOLLOW_UPS = ("preact-resnet18", ANY_ARCHITECTURE)  # of the published numbers: CFA's, and DAFA's, which doesn't say
LOWER = ("CV", "MCD")  # columns whose lower numbers are the better ones
UNNAMED = "robust"  # under an attack that is not named
NOTES = (
    "Computed from the accuracies of the classes in each run, and averaged over the seeds. CV is the variance over "
    "classes (divisor C) of accuracies between 0 and 1; MCD the best class minus the worst. weakest: the class of the "
    "lowest accuracy averaged over the seeds, and that accuracy in %. Images of a subset have equally many of each "
    "class. Best checkpoints.",
    RESAMPLED,
)


def build(context: Context, *, evaluations: list[Path], names: list[Path], published: Path) -> Table:
    """evaluations: indexes of suites; names: of the classes of each dataset; published: numbers of follow-ups, as rows
    of their own at a scale that has no caveat."""
    runs, named = best_runs(context, evaluations), read_class_names(names)
    numbers = PublishedNumbers(published if context.as_published else None)
    datasets = list(runs["dataset"].unique())
    metrics = _metrics(bool((runs.groupby("dataset")["label"].nunique() >= MANY).any()))
    rows = []
    for dataset, of_dataset in by_dataset(runs):
        for attack in (attack for attack in ATTACKS if attack in set(of_dataset["attack"])):
            group = group_title(context, datasets, dataset, context.attack_label(attack))
            parts = by_recipe(of_dataset, attack)
            best = [best_entries(parts, _the_higher_the_better(name, of)) for name, (of, *_) in metrics.items()]
            for recipe, part in parts.items():
                own = zip(_cells(part, metrics), best, strict=True)
                cells = (
                    *(replace(cell, best=recipe in of_column) for cell, of_column in own),
                    Cell(text=_weakest(part, named[dataset].names)),
                )
                rows.append(Row(context.recipe_label(recipe), cells, group))
            rows += [Row(label, cells, group) for label, cells in _follow_ups(numbers, dataset, attack, metrics)]
        group = group_title(context, datasets, dataset, "under an attack that is not named")
        rows += [Row(label, cells, group) for label, cells in _follow_ups(numbers, dataset, UNNAMED, metrics)]
    title = f"Average and worst classes on {context.datasets_titles(datasets)}, without and under attack."
    bold = [BEST] * any(cell.best for row in rows for cell in row.cells)
    notes = (*NOTES, *bold, *seeds_of(runs, context), *threats.notes(runs, context))
    columns = (*map(Column, metrics), Column("weakest"))
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _metrics(many: bool) -> dict:
    """Column -> (metric, unit, the values that it can take)."""
    metrics = {
        "average": (partial(np.mean, axis=-1), "%", (0, 1)),
        "worst class": (worst_class, "%", (0, 1)),
        f"worst {FEW}": (lambda rates: mean_of_worst(rates, min(FEW, rates.shape[-1])), "%", (0, 1)),
    }
    if many:
        metrics["worst tenth"] = (worst_tenth, "%", (0, 1))
    return metrics | {"CV": (class_variance, "", (0, 0.25)), "MCD": (class_gap, "points", (0, 1))}


def _cells(part: pd.DataFrame, metrics: dict) -> tuple[Cell, ...]:
    right, labels = shared_answers([part])
    digits, cells = accuracy_digits(len(labels)), []
    for metric, unit, within in metrics.values():
        interval = resampled_interval(right[:, 0], labels, per_run(metric), within)
        cells.append(interval_cell(interval, digits if unit else 4, unit, [part]))
    return tuple(cells)


def _the_higher_the_better(name: str, metric: Metric) -> Metric:
    """A metric, or minus it where the lower is the better one."""
    return (lambda rates: -metric(rates)) if name in LOWER else metric


def _weakest(part: pd.DataFrame, names: Sequence[str]) -> str:
    """The class of the lowest accuracy, averaged over the seeds, with it in %."""
    right = (part["prediction_adversarial"] == part["label"]).groupby(part["label"]).mean()
    return f"{names[right.idxmin()]} ({number(100 * right.min(), 0)})"


def _follow_ups(numbers: PublishedNumbers, dataset: str, attack: str, metrics: dict) -> Iterator[tuple[str, tuple]]:
    """Label and cells of each published row; average and worst class are all that these papers print."""
    named = {"average": attack, "worst class": f"{attack}_worst"}
    for network in FOLLOW_UPS:
        for recipe in numbers.recipes(dataset, network, attack):
            found = {
                name: numbers.find(dataset, network, recipe, named[name]) if name in named else None for name in metrics
            }
            cells = [Cell(digits=1, unit=unit, published=found[name]) for name, (_, unit, _) in metrics.items()]
            yield f"{numbers.label(recipe)}, published", (*cells, Cell())
