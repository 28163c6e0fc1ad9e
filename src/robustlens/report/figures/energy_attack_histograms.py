"""Histograms of E(x) and E(x, y) of natural and attacked images, an attack a column (energy paper, section 3)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, read_runs
from robustlens.errors import RobustlensError
from robustlens.report import names
from robustlens.report.figure import ADVERSARIAL, NATURAL, Drawing, styled
from robustlens.report.scale import caption

ENERGIES = {"marginal": "$E(x)$", "joint": "$E(x, y)$"}
BINS = 40


@styled
def build(evaluations: list[Path], recipe: str, scale: str) -> Drawing:
    """evaluations: `attack-energies.parquet` files of one dataset; all seeds of `recipe` are drawn together."""
    frame = read_runs(evaluations)
    dataset = one_dataset(frame)
    frame = frame[(frame["recipe"] == recipe) & (frame["checkpoint"] == "last")]
    if frame.empty:
        raise RobustlensError(
            f"no attack energies of the recipe {recipe!r} on {dataset}; add it to the suite's recipes"
        )
    attacks = list(frame["attack"].unique())
    figure = Figure(figsize=(1.15 * len(attacks) + 0.6, 3.0), layout="constrained")
    panels = figure.subplots(2, len(attacks), sharex="row", sharey="row", squeeze=False)
    for row, (energy, label) in zip(panels, ENERGIES.items(), strict=True):
        bins = _bins(frame[[f"{energy}_natural", f"{energy}_adversarial"]].to_numpy())
        for axes, attack in zip(row, attacks, strict=True):
            part = frame[frame["attack"] == attack]
            for kind, shade in (("natural", NATURAL), ("adversarial", ADVERSARIAL)):
                values = part[f"{energy}_{kind}"].clip(bins[0], bins[-1])
                axes.hist(
                    values, bins, weights=np.full(len(values), 100 / len(values)), color=shade, alpha=0.6, label=kind
                )
            axes.set_xlabel(label)
            axes.locator_params(axis="x", nbins=3)
        row[0].set_ylabel("images (%)")
    for axes, attack in zip(panels[0], attacks, strict=True):
        axes.set_title(names.attack(attack))
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    seeds, images = frame["seed"].nunique(), int(frame.groupby(["seed", "attack"]).size().min())
    text = (
        f"Energies of natural and attacked test images of {dataset} under {names.recipe(recipe)}, last checkpoint: "
        f"{images} images and {seeds} seed{'s' * (seeds > 1)} together. y is the true label; CW is not bounded by ε. "
        "The outermost bins also hold what lies beyond them."
    )
    return Drawing(figure, f"Energies under attack: {names.recipe(recipe)}", caption(text, scale))


def _bins(values: np.ndarray) -> np.ndarray:
    """Edges over the middle 99.8 % of all values of a row, so that a few extreme images do not squeeze the rest."""
    low, high = np.quantile(values, (0.001, 0.999))
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)
