"""The three phases of adversarial training: robust error and ΔE(x) against epochs (energy paper, figure 1 a)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, read_runs
from robustlens.analysis.statistics import Interval, crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import GREY, INK, LINES, TEXT_WIDTH, Drawing, band, drawn, label_ends, styled
from robustlens.report.finding import counted, excludes_zero, printed
from robustlens.report.lists import listed
from studies.energy.phases import Phases, three_phases

RECIPES = ("sat", "trades")
HEIGHT = 1.75  # inches, of a panel


@styled
def build(context: Context, *, history: list[Path]) -> Drawing:
    """history: the `history.parquet` files of SAT and TRADES on one dataset (others are ignored)."""
    runs = read_runs(history)
    title = context.dataset_title(one_dataset(runs))
    shown = [recipe for recipe in RECIPES if recipe in set(runs["recipe"])]
    if "sat" not in shown:
        raise RobustlensError("the figure of the phases needs runs of the recipe sat; train it or leave the figure out")
    epochs, delta = _curves(runs, "sat", "train", "delta_marginal")
    phases = three_phases(epochs, delta.mean(axis=0))
    figure = Figure(figsize=(TEXT_WIDTH, 2 * HEIGHT + 0.6), layout="constrained")
    error, energy = figure.subplots(2, 1, sharex=True)
    for axes, split, value in ((error, "validation", "robust_accuracy"), (energy, "train", "delta_marginal")):
        ends = {}
        for recipe, line in zip(shown, LINES, strict=False):
            of_run, values = _curves(runs, recipe, split, value)
            values = 100 * (1 - values) if axes is error else values
            band(axes, of_run, values, context.colour(recipe), linestyle=line)
            ends[drawn(context.recipe_label(recipe))] = (values[:, -1].mean(), context.colour(recipe))
        label_ends(axes, epochs[-1], ends, HEIGHT)
    energy.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    error.set_ylabel("robust error (%)\nvalidation images")
    energy.set_ylabel("mean $\\Delta E(x)$ (nat)\ntraining images")
    energy.set_xlabel("epoch")
    energy.set_xlim(epochs[0], epochs[-1])
    if phases:
        _name_phases(error, epochs, phases)
    found = _draw_bends(epochs, delta, phases, (error, energy))
    text = (
        f"{_finding(runs, shown, phases, context)} Robust error under PGD and mean ΔE(x) = E(x) \u2212 E(x*) on "
        f"{title} during training: mean and standard deviation over {counted([len(delta)], 'seed')}; in brackets 95 % "
        f"intervals. {found}"
    )
    return Drawing(figure, "Phases of adversarial training", context.caption(text))


def _curves(runs: pd.DataFrame, recipe: str, split: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs (n,) and values (seeds, n)."""
    rows = runs[(runs["recipe"] == recipe) & (runs["split"] == split)]
    table = rows.pivot(index="seed", columns="epoch", values=value)
    return table.columns.to_numpy(), table.to_numpy()


def _finding(runs: pd.DataFrame, shown: list[str], phases: Phases | None, context: Context) -> str:
    """How much |mean ΔE(x)| of each recipe grows from the first bend of SAT on, without bends from the first epoch."""
    growths, start, end = {}, None, None
    for recipe in shown:
        epochs, delta = _curves(runs, recipe, "train", "delta_marginal")
        start = int(phases.first) if phases else int(epochs[0])
        end = int(epochs[-1])
        change = np.abs(delta[:, -1]) - np.abs(delta[:, np.searchsorted(epochs, start)])
        growths[context.recipe_label(recipe)] = crossed_interval(change[:, None])
    (first, grown), *others = growths.items()
    parts = [f"the gap |ΔE(x)| of {first} {_changes(grown)}", *(f"that of {name} {_changes(g)}" for name, g in others)]
    return f"From epoch {start} to epoch {end} {listed(parts)}."


def _changes(growth: Interval) -> str:
    if not excludes_zero(growth):
        return f"changes by {printed(growth, 'nat')}, so that it stays open whether it grows"
    return f"{'grows' if growth.estimate > 0 else 'shrinks'} by {printed(_size(growth), 'nat')}"


def _size(change: Interval) -> Interval:
    """Of a change whose sign is said in words."""
    if change.estimate > 0:
        return change
    return Interval(-change.estimate, -change.high, -change.low, change.factors)


def _name_phases(axes: Axes, epochs: np.ndarray, phases: Phases) -> None:
    edges = (epochs[0], phases.first, phases.second, epochs[-1])
    for number in range(3):
        middle = (edges[number] + edges[number + 1]) / 2
        place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text(middle, 1.02, f"phase {number + 1}", **place, color=INK, fontsize=8)


def _draw_bends(epochs: np.ndarray, delta: np.ndarray, phases: Phases | None, panels: tuple[Axes, Axes]) -> str:
    """Marks the bends of SAT's curve; returns the sentence that explains them. delta: (seeds, epochs)."""
    if phases is None:
        return "There are too few epochs to tell phases apart."
    alone = [three_phases(epochs, one) for one in delta]
    ranges = []
    for border, of_seeds in (
        (phases.first, [found.first for found in alone]),
        (phases.second, [found.second for found in alone]),
    ):
        low, high = min(of_seeds), max(of_seeds)
        ranges.append(f"{low:g} to {high:g}" if low < high else f"{low:g}")
        for axes in panels:
            axes.axvline(border, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
            if low < high:
                axes.axvspan(low, high, color=GREY, alpha=0.12, linewidth=0, zorder=-1)
        panels[1].annotate(
            f"bend at {border:g}",
            (border, 0),
            xycoords=panels[1].get_xaxis_transform(),
            xytext=(-3, 4),
            textcoords="offset points",
            ha="right",
            color=INK,
            fontsize=8,
        )
    rule = (
        f"Dashed: epochs {phases.first:g} and {phases.second:g}, where the continuous line of three straight pieces "
        "that fits the mean ΔE(x) of SAT best (least squares) bends."
    )
    if len(alone) == 1:
        return f"{rule} One seed does not show how much these borders vary."
    return f"{rule} Shaded: the range of these borders when each seed is fitted alone, {ranges[0]} and {ranges[1]}."
