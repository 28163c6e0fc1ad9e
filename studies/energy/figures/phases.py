"""The three phases of adversarial training: robust error and ΔE(x) against epochs (energy paper, figure 1 a)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, read_runs
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, band, drawn, styled
from studies.energy.phases import three_phases

RECIPES = ("sat", "trades")


@styled
def build(context: Context, *, history: list[Path]) -> Drawing:
    """history: the `history.parquet` files of SAT and TRADES on one dataset (others are ignored)."""
    runs = read_runs(history)
    title = context.dataset_title(one_dataset(runs))
    shown = [recipe for recipe in RECIPES if recipe in set(runs["recipe"])]
    if "sat" not in shown:
        raise RobustlensError("the figure of the phases needs runs of the recipe sat; train it or leave the figure out")
    figure = Figure(figsize=(TEXT_WIDTH, 4.2), layout="constrained")
    error, energy = figure.subplots(2, 1, sharex=True)
    for recipe in shown:
        epochs, accuracy = _curves(runs, recipe, "validation", "robust_accuracy")
        band(error, epochs, 100 * (1 - accuracy), context.colour(recipe), label=drawn(context.recipe_label(recipe)))
        epochs, delta = _curves(runs, recipe, "train", "delta_marginal")
        band(energy, epochs, delta, context.colour(recipe), label=drawn(context.recipe_label(recipe)))
    energy.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    error.set_ylabel("robust error (%)\nvalidation images")
    energy.set_ylabel("mean $\\Delta E(x)$\ntraining images")
    energy.set_xlabel("epoch")
    error.legend(loc="upper right", ncols=len(shown))
    found = _draw_phases(runs, (error, energy))
    seeds = runs[runs["recipe"] == "sat"]["seed"].nunique()
    text = (
        f"Robust error under PGD and mean ΔE(x) = E(x) \u2212 E(x*) on {title} during training; mean and standard "
        f"deviation over {seeds} seed{'s' * (seeds > 1)}. {found}"
    )
    return Drawing(figure, "Phases of adversarial training", context.caption(text))


def _curves(runs: pd.DataFrame, recipe: str, split: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs (n,) and values (seeds, n)."""
    rows = runs[(runs["recipe"] == recipe) & (runs["split"] == split)]
    table = rows.pivot(index="seed", columns="epoch", values=value)
    return table.columns.to_numpy(), table.to_numpy()


def _draw_phases(runs: pd.DataFrame, panels: tuple) -> str:
    """Marks the borders of the phases of SAT; returns the sentence that explains them."""
    epochs, delta = _curves(runs, "sat", "train", "delta_marginal")
    phases = three_phases(epochs, delta.mean(axis=0))
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
                axes.axvspan(low, high, color=GREY, alpha=0.15, linewidth=0, zorder=-1)
    rule = (
        f"Dashed: epochs {phases.first:g} and {phases.second:g}, where the continuous line of three straight pieces "
        "that fits the mean ΔE(x) of SAT best (least squares) bends."
    )
    if len(alone) == 1:
        return f"{rule} One seed does not show how much these borders vary."
    return f"{rule} Shaded: the range of these borders when each seed is fitted alone, {ranges[0]} and {ranges[1]}."
