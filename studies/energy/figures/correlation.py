"""|ΔE(x)| at the end of training against robust overfitting, one point per run."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from robustlens.analysis.frames import last_epoch, one_dataset, read_runs
from robustlens.analysis.statistics import correlation_interval
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import TEXT_WIDTH, Drawing, drawn, styled

NOT_ROBUST = "standard"


@styled
def build(context: Context, *, history: list[Path]) -> Drawing:
    """history: `history.parquet` files of one dataset; standard training, which sees no attack, is left out."""
    runs = read_runs(history)
    title = context.dataset_title(one_dataset(runs))
    points = _points(runs[runs["recipe"] != NOT_ROBUST])
    if points.empty:
        raise RobustlensError(f"no adversarially trained run on {title}; add recipes other than {NOT_ROBUST}")
    recipes = list(points["recipe"].unique())
    figure = Figure(figsize=(TEXT_WIDTH, max(3.2, 0.8 + 0.165 * len(recipes))), layout="constrained")
    axes = figure.subplots()
    for recipe in recipes:
        own = points[points["recipe"] == recipe]
        axes.scatter(
            own["gap"],
            own["delta"],
            s=30,
            marker=context.marker(recipe),
            color=context.colour(recipe),
            edgecolors="white",
            linewidths=0.4,
            label=drawn(context.recipe_label(recipe)),
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("robust accuracy of training minus validation images (points)")
    axes.set_ylabel("$|$mean $\\Delta E(x)|$, training images")
    figure.legend(loc="outside right upper", fontsize=7, handletextpad=0.2)
    heads = points[[context.changes(recipe) is None for recipe in points["recipe"]]]
    means = heads.groupby("recipe", sort=False)[["gap", "delta"]].mean()
    text = (
        f"Energy gap against robust overfitting at the last epoch on {title}, one point per run of an "
        f"adversarially trained recipe. Pearson's r {_correlation(points, 'runs')}; "
        f"{_correlation(means, 'means of recipes that vary no other')}. "
        "Runs and variants of one recipe are not independent of each other, so the first interval is too narrow."
    )
    return Drawing(figure, "Energy gap and robust overfitting", context.caption(text))


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run: recipe, seed, gap (points) and delta, from the last epoch."""
    keys = ["recipe", "seed"]
    last = last_epoch(runs)
    train, validation = (last[last["split"] == split].set_index(keys) for split in ("train", "validation"))
    gap = 100 * (train["robust_accuracy"] - validation["robust_accuracy"])
    return pd.DataFrame({"gap": gap, "delta": train["delta_marginal"].abs()}).reset_index()


def _correlation(pairs: pd.DataFrame, what: str) -> str:
    x, y = pairs["gap"].to_numpy(), pairs["delta"].to_numpy()
    if len(pairs) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return f"over {len(pairs)} {what} is not given: at least 4 that differ are needed"
    r = correlation_interval(x, y)
    return f"over {len(pairs)} {what} is {_signed(r.estimate)} (95 % interval {_signed(r.low)} to {_signed(r.high)})"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "\u2212")
