"""Certified accuracy against the radius."""

from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from robustlens.analysis.certified import certified_accuracy, read_certified
from robustlens.analysis.frames import one_dataset
from robustlens.analysis.statistics import crossed_interval
from robustlens.certification.bounds import linf_radius
from robustlens.report.context import Context
from robustlens.report.figure import LINES, TEXT_WIDTH, Drawing, band, drawn, styled
from robustlens.report.finding import extremes, short
from studies.proxy.tables.certified import settings

POINTS = 101


@styled
def build(context: Context, *, certified: list[Path]) -> Drawing:
    """certified: one file per run, of one dataset, from the stage `certify`."""
    proven = read_certified(certified)
    dataset = one_dataset(proven)
    radii = np.linspace(0, float(proven["radius"].max()), POINTS)
    figure = Figure(figsize=(0.75 * TEXT_WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    for recipe, line in zip(proven["recipe"].unique(), cycle(LINES)):
        curves = certified_accuracy(proven[proven["recipe"] == recipe], radii)
        values = 100 * curves.pivot(index="seed", columns="radius", values="accuracy").to_numpy()
        band(axes, radii, values, context.colour(recipe), linestyle=line, label=drawn(context.recipe_label(recipe)))
    axes.set_xlabel("radius (L2)")
    axes.set_ylabel("certified accuracy (%)")
    axes.set_ylim(bottom=0)
    axes.legend()
    values = context.values(dataset)
    factor = linf_radius(1.0, values)
    above = axes.secondary_xaxis("top", functions=(lambda l2: l2 * factor, lambda linf: linf / factor))
    above.spines["top"].set_visible(True)
    above.set_xlabel("implied radius (L\u221e)")
    text = (
        f"{_finding(proven, context)} Share of test images of {context.dataset_title(dataset)} on which a smoothed "
        "classifier is proven to be right within a radius: means over seeds, with a band of one standard deviation. "
        "The drop at the end is at the largest radius that the number of draws of noise can certify. Upper axis: the "
        f"radius of the L\u221e ball within the L2 ball, which is smaller by the square root of the {values:,} values "
        f"of an image. {settings(proven)}"
    )
    return Drawing(figure, "Certified accuracy", context.caption(text))


def _finding(proven: pd.DataFrame, context: Context) -> str:
    """Certified accuracy at half of the largest radius."""
    radius, found = float(proven["radius"].max()) / 2, {}
    for recipe in proven["recipe"].unique():
        seeds = certified_accuracy(proven[proven["recipe"] == recipe], [radius]).groupby("seed")["accuracy"].mean()
        found[context.recipe_label(recipe)] = crossed_interval(100 * seeds.to_numpy()[:, None])
    return f"Certified accuracy at a radius of {short(radius)} is {extremes(found, '%')}."
