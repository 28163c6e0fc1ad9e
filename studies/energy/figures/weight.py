"""The weight that WEAT gives to an image against the image's energy (energy paper, section 4)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from robustlens.analysis.frames import last_epoch, one_dataset, one_recipe, read_runs
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, GREY, TEXT_WIDTH, Drawing, styled


def weight(energy: np.ndarray) -> np.ndarray:
    """w = 1 / log(1 + exp(|E|)), without overflow."""
    return 1.0 / np.logaddexp(0.0, np.abs(energy))


@styled
def build(context: Context, *, energies: list[Path]) -> Drawing:
    """energies: the `energies.parquet` files of one WEAT recipe on one dataset."""
    tracked = last_epoch(read_runs(energies))
    title = context.dataset_title(one_dataset(tracked))
    recipe = one_recipe(tracked)
    values = tracked[tracked["split"] == "train"]["marginal_natural"].to_numpy(dtype=np.float64)
    figure = Figure(figsize=(0.7 * TEXT_WIDTH, 3.4), layout="constrained")
    curve, histogram = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    margin = 0.1 * (values.max() - min(values.min(), 0.0)) + 0.5
    grid = np.linspace(values.min() - margin, max(values.max(), 0.0) + margin, 400)
    curve.plot(grid, weight(grid), color=BLACK)
    curve.set_ylabel("weight $w(x)$")
    curve.set_ylim(bottom=0)
    mean = weight(values).mean()
    curve.axhline(mean, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    curve.annotate(
        f"mean {mean:.3f}", (grid[0], mean), xytext=(2, 3), textcoords="offset points", color=GREY, fontsize=8
    )
    histogram.hist(values, 40, color=context.colour(recipe), weights=np.full(len(values), 100 / len(values)))
    histogram.set_ylabel("images (%)")
    histogram.set_xlabel("marginal energy $E(x)$ of natural training images")
    text = (
        f"Above: w(x) = 1 / log(1 + exp(|E(x)|)), and its mean over the training images of {title}. Below: their "
        f"energies in the runs of {context.recipe_label(recipe)}, epoch {tracked['epoch'].iloc[0]}."
    )
    return Drawing(figure, f"The weight of {context.recipe_label(recipe)}", context.caption(text))
