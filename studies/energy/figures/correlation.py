"""|ΔE(x)| at the end of training against robust overfitting: a point per recipe, and one per run."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from robustlens.analysis.frames import last_epoch, one_dataset, read_runs
from robustlens.analysis.statistics import correlation_interval
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, INK, TEXT_WIDTH, Drawing, drawn, label_points, styled
from robustlens.report.finding import counted, excludes_zero, printed

NOT_ROBUST = "standard"
FEWEST = 4  # pairs that a correlation is given for


@styled
def build(context: Context, *, history: list[Path]) -> Drawing:
    """history: `history.parquet` files of one dataset; standard training, which sees no attack, is left out."""
    runs = read_runs(history)
    title = context.dataset_title(one_dataset(runs))
    points = _points(runs[runs["recipe"] != NOT_ROBUST])
    if points.empty:
        raise RobustlensError(f"no adversarially trained run on {title}; add recipes other than {NOT_ROBUST}")
    figure = Figure(figsize=(TEXT_WIDTH, 3.1), layout="constrained")
    axes = figure.subplots()
    means = points.groupby("recipe", sort=False)[["gap", "delta"]].mean()
    axes.scatter(points["gap"], points["delta"], s=5, color=[context.colour(r) for r in points["recipe"]], linewidths=0)
    heads = [context.changes(recipe) is None for recipe in means.index]
    for (recipe, row), head in zip(means.iterrows(), heads, strict=True):
        shade = context.colour(recipe)
        look = {"marker": context.marker(recipe), "edgecolors": shade, "linewidths": 0.9}
        axes.scatter(*row, s=34 if head else 22, facecolors=shade if head else "white", **look, zorder=3)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("robust accuracy of training minus validation images (points)")
    axes.set_ylabel("$|$mean $\\Delta E(x)|$ of training images (nat)")
    axes.margins(x=0.1)
    names = {
        drawn(context.recipe_label(recipe)): (*row, BLACK if head else INK)
        for (recipe, row), head in zip(means.iterrows(), heads, strict=True)
    }
    label_points(axes, names, points[["gap", "delta"]].to_numpy())
    text = (
        f"{_finding(means[heads])} Last epoch on {title}, adversarially trained recipes: large, the mean of a recipe's "
        "runs, which are the dots; hollow, a recipe that varies another one. The correlation is Pearson's, of the "
        "overfitting with the logarithm of the gap, over the filled points alone: variants and runs of one recipe are "
        "not independent of each other. Its interval is at 95 %."
    )
    return Drawing(figure, "Energy gap and robust overfitting", context.caption(text))


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run: recipe, seed, gap (points) and delta, from the last epoch."""
    keys = ["recipe", "seed"]
    last = last_epoch(runs)
    train, validation = (last[last["split"] == split].set_index(keys) for split in ("train", "validation"))
    gap = 100 * (train["robust_accuracy"] - validation["robust_accuracy"])
    return pd.DataFrame({"gap": gap, "delta": train["delta_marginal"].abs()}).reset_index()


def _finding(means: pd.DataFrame) -> str:
    """means: gap and delta of the recipes that vary no other."""
    x, y = means["gap"].to_numpy(), np.log(means["delta"].to_numpy())
    if len(means) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return (
            f"Over {counted([len(means)], 'recipe')} no correlation is given: at least {FEWEST} that differ are needed."
        )
    r = correlation_interval(x, y)
    of = f"r = {printed(r)} over {len(means)} recipes"
    if not excludes_zero(r):
        return f"Whether recipes that overfit more end with a larger energy gap stays open: {of}."
    return (
        f"Recipes that overfit more end with a {'larger' if r.estimate > 0 else 'smaller'} energy gap by Pearson's "
        f"correlation with its logarithm, {of}; the claim is judged by the gap itself and by ranks."
    )
