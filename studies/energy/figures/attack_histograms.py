"""Histograms of E(x) and E(x, y) of natural and attacked images, one column per attack (energy paper, section 3)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, one_recipe, read_evaluations
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import ADVERSARIAL, NATURAL, Drawing, drawn, styled

ENERGIES = {"marginal": "$E(x)$", "joint": "$E(x, y)$"}
BINS = 40
CHECKPOINTS = {"last": "last checkpoint", "published": "as published"}
FILLED = {"histtype": "stepfilled", "linewidth": 0}


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: suite indexes of one recipe on one dataset, whose seeds are drawn together. Raises RobustlensError
    for several recipes, and where the suite has neither the last checkpoint nor a published one.
    """
    frame = threats.of_training(read_evaluations(evaluations), context)
    title, recipe = context.dataset_title(one_dataset(frame)), one_recipe(frame)
    frame = frame[frame["checkpoint"].isin(CHECKPOINTS)]
    if frame.empty:
        raise RobustlensError(
            f"no attacks on the last checkpoint of {recipe} on {title}; add `last` to the checkpoints of the suite"
        )
    name = context.recipe_label(recipe)
    attacks = list(frame["attack"].unique())
    figure = Figure(figsize=(max(0.85 * len(attacks), 3.0), 3.2), layout="constrained")
    for part, (energy, label) in zip(figure.subfigures(2, 1, height_ratios=(1.2, 1)), ENERGIES.items(), strict=True):
        panels = part.subplots(1, len(attacks), sharex=True, sharey=True, squeeze=False)[0]
        bins = _bins(frame[[f"{energy}_natural", f"{energy}_adversarial"]].to_numpy())
        for axes, attack in zip(panels, attacks, strict=True):
            _histograms(axes, frame[frame["attack"] == attack], energy, bins)
            if energy == "marginal":
                axes.set_title(drawn(context.attack_label(attack)), fontsize=8)
        panels[0].set_ylabel("images (%)")
        part.supxlabel(label, fontsize=9)
        if energy == "marginal":
            part.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    sizes = frame.groupby(["seed", "attack"]).size()
    seeds, images = frame["seed"].nunique(), " to ".join(str(n) for n in sorted({sizes.min(), sizes.max()}))
    text = (
        f"Energies of natural and attacked test images of {title} under {name}, "
        f"{CHECKPOINTS[frame['checkpoint'].iloc[0]]}: "
        f"{images} images and {seeds} seed{'s' * (seeds > 1)} together. y is the true label; CW is not bounded by ε; "
        "where an attack other than the three PGDs fails, the image is left as it is. "
        "The outermost bins also hold what lies beyond them."
    )
    text = " ".join([text, *threats.notes(frame, context)])
    return Drawing(figure, f"Energies under attack: {name}", context.caption(text))


def _histograms(axes: Axes, rows: pd.DataFrame, energy: str, bins: np.ndarray) -> None:
    for kind, shade in (("natural", NATURAL), ("adversarial", ADVERSARIAL)):
        values = rows[f"{energy}_{kind}"].clip(bins[0], bins[-1])
        axes.hist(
            values, bins, weights=np.full(len(values), 100 / len(values)), color=shade, alpha=0.6, label=kind, **FILLED
        )
    axes.locator_params(axis="x", nbins=3)
    axes.tick_params(labelsize=7)


def _bins(values: np.ndarray) -> np.ndarray:
    """Edges over the middle 99.8 % of all values in a row of panels: a few extreme images must not squeeze the rest."""
    low, high = np.quantile(values, (0.001, 0.999))
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)
