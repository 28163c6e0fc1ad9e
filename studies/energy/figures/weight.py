"""The weight that WEAT gives to an image against the image's energy (energy paper, section 4)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from robustlens.analysis.frames import last_epoch, one_dataset, read_runs
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, INK, LINES, TEXT_WIDTH, Drawing, drawn, legible, styled
from robustlens.report.finding import counted, short
from robustlens.report.lists import listed

BINS = 32


def weight(energy: np.ndarray) -> np.ndarray:
    """w = 1 / log(1 + exp(|E|)), without overflow."""
    return 1.0 / np.logaddexp(0.0, np.abs(energy))


@styled
def build(context: Context, *, energies: list[Path]) -> Drawing:
    """energies: the `energies.parquet` files of the recipes on one dataset that weight images by their energy."""
    tracked = last_epoch(read_runs(energies))
    title = context.dataset_title(one_dataset(tracked))
    rows = tracked[tracked["split"] == "train"]
    values = {
        recipe: of_recipe["marginal_natural"].to_numpy(dtype=np.float64)
        for recipe, of_recipe in rows.groupby("recipe", sort=False)
    }
    figure = Figure(figsize=(TEXT_WIDTH, 3.0 + 0.1 * len(values)), layout="constrained")
    curve, histogram = figure.subplots(2, 1, sharex=True, height_ratios=(1.2, 1))
    low, high = min(map(np.min, values.values())), max(map(np.max, values.values()))
    margin = 0.08 * (max(high, 0.0) - min(low, 0.0)) + 0.1
    grid = np.linspace(min(low, 0.0) - margin, max(high, 0.0) + margin, 401)
    curve.plot(grid, weight(grid), color=BLACK, linewidth=1.0)
    bins = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    for number, (recipe, found) in enumerate(values.items()):
        shade, line, name = context.colour(recipe), LINES[number % len(LINES)], drawn(context.recipe_label(recipe))
        ends = np.quantile(found, (0.05, 0.95))
        part = np.linspace(*ends, 50)
        curve.plot(part, weight(part), color=shade, linestyle=line, linewidth=3.5, solid_capstyle="butt", zorder=0)
        share = np.full(len(found), 100 / len(found))
        histogram.hist(
            found, bins, weights=share, histtype="step", color=legible(shade), linestyle=line, linewidth=1.2, label=name
        )
    curve.set_ylabel("weight $w(x)$")
    curve.set_ylim(0, 1.08 / np.log(2))
    curve.text(0.02, 0.82, "$w(x) = 1\\,/\\,\\log(1 + e^{|E(x)|})$", transform=curve.transAxes, color=INK)
    histogram.set_ylabel("images (%)")
    histogram.set_xlabel("marginal energy $E(x)$ of natural training images (nat)")
    histogram.legend(loc="upper right")
    histogram.set_xlim(grid[0], grid[-1])
    seeds = rows.groupby("recipe")["seed"].nunique().to_list()
    text = (
        f"{_finding(values, context)} Above: the weight of an image against its energy; the thick parts are the range "
        f"of 90 % of the training images of {title}. Below: the energies of these images, epoch {_epochs(rows)}, "
        f"{counted(seeds, 'seed')} together."
    )
    return Drawing(figure, "The weights of WEAT", context.caption(text))


def _finding(values: dict[str, np.ndarray], context: Context) -> str:
    parts = []
    for recipe, energies in values.items():
        weights = weight(energies)
        low, high = (short(end) for end in np.quantile(weights, (0.05, 0.95)))
        parts.append(f"{low} to {high} for {context.recipe_label(recipe)} (mean {short(weights.mean(), 3)})")
    return f"90 % of the training images have weights of {listed(parts)}."


def _epochs(rows: pd.DataFrame) -> str:
    return listed([f"{epoch:g}" for epoch in sorted(rows["epoch"].unique())])
