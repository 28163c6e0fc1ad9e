"""The share of weights whose gradients are in conflict, layer by layer."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import extremes
from studies.invariance.training import conflict_by_layer, read_statistics

MOST_PRINTED = 16  # columns of which each cell has its number


@styled
def build(context: Context, *, statistics: list[Path]) -> Drawing:
    """statistics: `statistics.parquet` files of one dataset."""
    runs = read_statistics(statistics)
    title, shares = context.dataset_title(one_dataset(runs)), 100 * conflict_by_layer(runs)
    if shares.empty:
        raise RobustlensError("no gradients were observed by layer; add gradient-conflict to a recipe's observers")
    figure = Figure(figsize=(TEXT_WIDTH, 1.5 + 0.26 * len(shares)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares.to_numpy(), cmap="cividis", aspect="auto", vmin=0)
    axes.set_yticks(range(len(shares)), [drawn(context.recipe_label(recipe)) for recipe in shares.index])
    axes.set_xticks(range(shares.shape[1]), shares.columns, rotation=45, ha="right", rotation_mode="anchor")
    if shares.shape[1] <= MOST_PRINTED:
        middle = shares.to_numpy().max() / 2
        for (row, column), value in np.ndenumerate(shares.to_numpy()):
            look = {"ha": "center", "va": "center", "color": "white" if value < middle else "black"}
            axes.text(column, row, f"{value:.0f}", **look)
    figure.colorbar(image, ax=axes, label="weights in conflict (%)", shrink=0.9)
    means = {context.recipe_label(recipe): row[row > 0].mean() for recipe, row in shares.iterrows() if (row > 0).any()}
    finding = (
        f"Over the layers that both losses reach, the mean share in conflict is {extremes(means, '%')}. "
        if means
        else ""
    )
    text = finding + (
        "Share of the weights of each layer whose gradients of classification and of invariance have opposite signs, "
        f"in training on {title}: means over the steps that were observed in the second half of the epochs, and over "
        "seeds. "
        "A weight that the invariance loss does not reach counts as not in conflict."
    )
    return Drawing(figure, "Weights in conflict, layer by layer", context.caption(text))
