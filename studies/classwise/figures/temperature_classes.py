"""Robust accuracy of each class against the temperature of Temperature-PGD, defence by defence."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy.optimize import isotonic_regression

from robustlens.analysis.frames import one_dataset
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import short
from studies.classwise.class_names import read_class_names
from studies.classwise.results import span
from studies.classwise.temperature import read_sweeps, swept

IN_A_ROW = 2
MOST, FEW = 12, 3  # classes that all have a name; of more, as many of the worst, the middle and the best
APART = 5.5  # points between the names of two classes
COLOURS = "viridis"


@styled
def build(context: Context, *, evaluations: list[Path], names: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset; names: of its classes."""
    runs = read_sweeps(evaluations)
    temperatures = swept(runs["attack"].unique())
    runs = runs[runs["attack"].isin(list(temperatures))]
    dataset = one_dataset(runs)
    named = read_class_names(names)[dataset].names
    lines = {key: _accuracies(part, temperatures) for key, part in runs.groupby(["threat", "recipe"], sort=False)}
    order = _by_accuracy(list(lines.values()))
    shown = _named(order)
    colours = dict(zip(shown, colormaps[COLOURS](np.linspace(0, 0.85, len(shown))), strict=True))
    rows = -(-len(lines) // IN_A_ROW)
    figure = Figure(figsize=(TEXT_WIDTH, 0.4 + 2.2 * rows), layout="constrained")
    panels = figure.subplots(rows, IN_A_ROW, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(lines) :]:
        axes.axis("off")
    for axes, ((threat, recipe), rates) in zip(panels.flat, lines.items(), strict=False):
        other = [threats.label(threat, context)] * (threat != runs["threat"].iloc[0])
        axes.set_title(drawn(", ".join([context.recipe_label(recipe), *other])), loc="left")
        _draw(axes, rates, {c: named[c] for c in shown}, colours)
    values = list(temperatures.values())
    panels[0, 0].set_xscale("log")
    panels[0, 0].set_xticks(values, [f"{value:g}" for value in values])
    panels[0, 0].xaxis.set_minor_locator(NullLocator())
    panels[0, 0].set_ylim(0, 100)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy (%)")
    for axes in panels.flat[max(len(lines) - IN_A_ROW, 0) : len(lines)]:
        axes.set_xlabel("1/T")
        axes.tick_params(labelbottom=True)
    counts = span(runs.groupby(["threat", "recipe"])["seed"].nunique())
    seeds = "one seed" if counts == "1" else f"means over the seeds ({counts} of each recipe)"
    text = (
        f"{_finding(lines, named, context)} Accuracy of each class of {context.dataset_title(dataset)} under "
        f"Temperature-PGD with 20 steps, against 1/T, best checkpoints, {seeds}, without intervals."
    )
    if len(shown) < len(order):
        text += (
            f" Named are the {FEW} classes with the lowest, the middle and the highest accuracy over all recipes and "
            "1/T; the others are grey."
        )
    caption = context.caption(" ".join([text, *threats.notes(runs, context)]))
    return Drawing(figure, "Accuracy of each class by temperature", caption)


def _finding(lines: Mapping[tuple[str, str], pd.DataFrame], named: Sequence[str], context: Context) -> str:
    """The class whose accuracies over 1/T are furthest apart. lines: (threat, recipe) -> accuracies."""
    spans = {key: rates.max() - rates.min() for key, rates in lines.items()}
    threat, recipe = max(spans, key=lambda key: spans[key].max())
    rates = lines[threat, recipe][spans[threat, recipe].idxmax()].dropna()
    most, least = rates.idxmax(), rates.idxmin()
    return (
        f"The largest span of a class over 1/T is that of class {named[int(rates.name)]} with "
        f"{context.recipe_label(recipe)}, from {short(rates[least])} % at 1/T = {least:g} to {short(rates[most])} % at "
        f"{most:g}; it has no interval, and the largest of many is rather too large."
    )


def _accuracies(runs: pd.DataFrame, temperatures: Mapping[str, float]) -> pd.DataFrame:
    """In %, averaged over the seeds: a row for each 1/T that there is, a column for each class. runs: one recipe under
    one threat."""
    right = 100.0 * (runs["prediction_adversarial"] == runs["label"])
    of_seed = right.groupby([runs["attack"].map(temperatures), runs["seed"], runs["label"]]).mean()
    return of_seed.groupby(level=[0, 2]).mean().unstack()


def _by_accuracy(lines: Sequence[pd.DataFrame]) -> list[int]:
    """The classes from the worst to the best one, on average over all panels and 1/T."""
    means = pd.concat([rates.mean() for rates in lines], axis=1).mean(axis=1)
    return [int(c) for c in means.sort_values(kind="stable").index]


def _named(order: Sequence[int]) -> list[int]:
    """Of the classes, from the worst to the best, those that have a name in the figure."""
    if len(order) <= MOST:
        return list(order)
    middle = (len(order) - FEW) // 2
    return [*order[:FEW], *order[middle : middle + FEW], *order[-FEW:]]


def _draw(axes: Axes, rates: pd.DataFrame, named: Mapping[int, str], colours: Mapping[int, np.ndarray]) -> None:
    for c in rates.columns.difference(list(named)):
        axes.plot(rates.index, rates[c], color=GREY, linewidth=0.4, alpha=0.3)
    lines = {c: line for c in named if c in rates and len(line := rates[c].dropna())}  # few images, not of all classes
    for (c, line), place in zip(lines.items(), label_places([line.iloc[-1] for line in lines.values()]), strict=True):
        axes.plot(line.index, line, color=colours[c], linewidth=0.9, marker=".", markersize=3)
        leader = {"arrowstyle": "-", "color": colours[c], "linewidth": 0.4, "shrinkA": 0, "shrinkB": 1}
        axes.annotate(
            drawn(named[c]),
            (line.index[-1], line.iloc[-1]),
            (1.03, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=7,
            color=colours[c],
            arrowprops=leader | {"relpos": (0, 0.5)},
        )


def label_places(ends: Sequence[float]) -> np.ndarray:
    """Heights of labels, in the order of the lines, from 0 to 100 and at least APART from each other, that are as near
    to the ends of their lines as can be (least squares; the limits may move them further)."""
    order = np.argsort(ends, kind="stable")
    steps = APART * np.arange(len(ends))
    moved = isotonic_regression(np.asarray(ends, dtype=np.float64)[order] - steps).x + steps
    places = np.empty(len(ends))
    places[order] = np.clip(moved, steps, 100 - steps[::-1])
    return places
