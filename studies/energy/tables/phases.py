"""The phases of training and robust overfitting, recipe by recipe (figure 1 a of the paper, as numbers)."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import with_points
from robustlens.analysis.frames import read_evaluations, read_runs
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import INTERVALS, difference_cell, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.energy.phases import Phases, three_phases

DIGITS = 1  # of accuracies, because ten columns are many
BORDERS, SLOPES = "Bends, epoch", "Slope of ΔE(x), nat in 10 epochs"
VALIDATION, TEST = "Robust accuracy, validation, %", "Test, PGD-20"
COLUMNS = (
    *(Column("first", BORDERS), Column("second", BORDERS)),
    *(Column("I", SLOPES), Column("II", SLOPES), Column("III", SLOPES)),
    *(Column("best", VALIDATION), Column("last", VALIDATION), Column("best \u2212 last", VALIDATION)),
    Column("train \u2212 val.", VALIDATION),
    Column("best \u2212 last", TEST),
)
NOTES = (
    "Bends: a continuous line of three straight pieces (I, II, III; each at least 15 % of the epochs) is fitted to the "
    "mean ΔE(x) of the training images by least squares, seed by seed; these are the epochs where it bends. Mean, and "
    "in brackets the smallest and the largest over the seeds.",
    "best: the highest robust accuracy of all epochs on the validation images. The epoch is chosen on the same images "
    "that it is judged on, so that best \u2212 last is never below 0 there. On test images, none of which was used to "
    "choose, it is the best checkpoint minus the last one.",
    "train \u2212 val.: robust accuracy on tracked training images minus that on validation images, last epoch.",
)


def build(context: Context, *, history: list[Path], evaluations: list[Path]) -> Table:
    """history: `history.parquet` files; evaluations: indexes of suites."""
    runs = read_runs(history, ["epoch", "split", "delta_marginal", "robust_accuracy"])
    test = read_evaluations(evaluations, ["checkpoint", "attack", "index", "label", "prediction_adversarial"])
    test = threats.of_training(with_points(test[test["attack"] == "pgd20"]), context)
    datasets = runs["dataset"].unique()
    rows = []
    for (dataset, recipe), of_recipe in runs.groupby(["dataset", "recipe"], sort=False):
        tested = test[(test["dataset"] == dataset) & (test["recipe"] == recipe)]
        cells = (*_phases(of_recipe), *_validation(of_recipe), _fall(tested))
        rows.append(
            Row(context.recipe_label(recipe), cells, context.dataset_title(dataset) if len(datasets) > 1 else "")
        )
    title = f"Phases of training and robust overfitting on {context.datasets_titles(datasets)}."
    notes = (*NOTES, *seeds_notes(runs["seed"], runs["recipe"], context), INTERVALS, *threats.notes(test, context))
    return Table(context.label, context.caption(title), "recipe", COLUMNS, tuple(rows), notes)


def _phases(runs: pd.DataFrame) -> tuple[Cell, ...]:
    """Two bends and three slopes, from the history of one recipe; empty where there are too few epochs."""
    train = runs[runs["split"] == "train"]
    found: list[Phases] = []
    for _, run in train.groupby("seed"):
        phases = three_phases(run["epoch"].to_numpy(), run["delta_marginal"].to_numpy())
        found += [phases] if phases else []
    sources = tuple(train["source"].unique())
    bends = [_range([phases.first for phases in found], sources), _range([phases.second for phases in found], sources)]
    slopes = [over_seeds([10 * p.slopes[i] for p in found], 2, "nat in 10 epochs", sources) for i in range(3)]
    return (*bends, *slopes)


def _range(values: list[float], sources: tuple[str, ...]) -> Cell:
    if not values:
        return Cell(unit="epoch")
    spread = {"low": min(values), "high": max(values)} if len(values) > 1 else {}
    return Cell(value=sum(values) / len(values), unit="epoch", n_seeds=len(values), sources=sources, **spread)


def _validation(runs: pd.DataFrame) -> list[Cell]:
    """Robust accuracy at the best and at the last epoch, their difference, and training minus validation images."""
    points = 100 * runs.set_index(["seed", "epoch", "split"])["robust_accuracy"].unstack("split")
    by_seed = points.sort_index().groupby("seed")
    best, last = by_seed["validation"].max(), by_seed["validation"].last()
    values = (best, last, best - last, by_seed["train"].last() - last)
    return [over_seeds(value, DIGITS, "%" if i < 2 else "points", runs["source"]) for i, value in enumerate(values)]


def _fall(tested: pd.DataFrame) -> Cell:
    best, last = (tested[tested["checkpoint"] == checkpoint] for checkpoint in ("best", "last"))
    return difference_cell(best, last, DIGITS)
