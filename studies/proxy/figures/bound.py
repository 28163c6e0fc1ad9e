"""The transfer bound where both of its sides are known, and on images."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, read_runs
from robustlens.closeness import gaussian_world
from robustlens.report.context import Context
from robustlens.report.figure import BLUE, GREEN, GREY, LINES, ORANGE, RED, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import short
from studies.proxy.analytic import CLASSIFIER, MOVES, proxy_world, real_world

COLOURS = dict(zip(MOVES, (RED, BLUE, ORANGE, GREEN), strict=True))
SHIFTS = np.linspace(0, 4, 41)


@styled
def build(context: Context, *, closeness: list[Path]) -> Drawing:
    """closeness: one file per run, of one dataset, from the stage `measure_closeness`."""
    rows = read_runs(closeness)
    dataset = one_dataset(rows)
    figure = Figure(figsize=(TEXT_WIDTH, 5.4), layout="constrained")
    (gap, arc), (images, _) = figure.subplots(2, 2, height_ratios=(1, 1.15))
    _gaps(gap)
    _arcs(arc)
    _.remove()
    images.set_subplotspec(images.get_subplotspec().get_gridspec()[1, :])
    _images(images, rows[rows["norm"] == "l2"], context)
    means = rows[rows["norm"] == "l2"].groupby("measure")["value"].mean()
    empty = (
        "; the bound is larger than the robustness itself, even between real and other real images (floor)"
        if means["floor"] > means["robustness-real"]
        else ""
    )
    text = (
        f"{_finding(rows[rows['norm'] == 'l2'])} The bound: the robustness of a classifier (mean distance to a wrong "
        "class) differs between two distributions by at most their conditional Wasserstein distance (cwd). Above, two "
        "Gaussian classes and the same two moved, where everything is known. Left: the difference for four ways to "
        "move them; away from the boundary it nearly reaches the bound. Right: 4 ARC, from the area under the best "
        "discriminator's curve, which is at most the distance. Below: a linear classifier in L2 on test images of "
        f"{context.dataset_title(dataset)} and on generated ones; both sides are exact{empty}."
    )
    return Drawing(figure, "The transfer bound", context.caption(text))


def _finding(rows: pd.DataFrame) -> str:
    """On images: how large the difference is, and how large the bound, over the generators; for how many the bound
    holds, and for how many it holds whatever is measured: neither robustness is below 0, so their difference is never
    above the larger one."""
    means = rows.groupby(["recipe", "measure"])["value"].mean().unstack()
    gaps, bounds = ([short(f(means[name])) for f in (min, max)] for name in ("gap", "wasserstein"))
    within = int((means["gap"] <= means["wasserstein"]).sum())
    largest = means[["robustness-real", "robustness-generated"]].max(axis=1)
    vacuous = int((means["wasserstein"] >= largest).sum())
    said = f"; for {vacuous} it is vacuous: larger than the difference could ever be" if vacuous else ""
    return (
        f"On images the difference of robustness is {gaps[0]} to {gaps[1]} and the bound {bounds[0]} to {bounds[1]}; "
        f"it holds for {within} of {len(means)} generators{said}."
    )


def _gaps(axes: Axes) -> None:
    here = gaussian_world.robustness(real_world(), CLASSIFIER, "l2")
    axes.plot(SHIFTS, SHIFTS, color=GREY, linewidth=0.8, linestyle="--", label="bound: cwd")
    for (name, colour), line in zip(COLOURS.items(), LINES, strict=False):
        there = [gaussian_world.robustness(proxy_world(name, shift), CLASSIFIER, "l2") for shift in SHIFTS]
        axes.plot(SHIFTS, np.abs(here - np.array(there)), color=colour, linestyle=line, label=name)
    axes.set_xlabel("cwd, the length of the move")
    axes.set_ylabel("difference of robustness")
    axes.legend(fontsize=7)


def _arcs(axes: Axes) -> None:
    axes.plot(SHIFTS, SHIFTS, color=GREY, linewidth=0.8, linestyle="--", label="distance")
    for (deviation, colour), line in zip(((1.0, BLUE), (0.25, GREEN), (0.1, ORANGE)), LINES, strict=False):
        found = [
            gaussian_world.least_distance(gaussian_world.arc(np.array([shift, 0.0]), deviation, "l2")) if shift else 0.0
            for shift in SHIFTS
        ]
        axes.plot(SHIFTS, found, color=colour, linestyle=line, label=f"4 ARC, deviation {deviation:g}")
    axes.set_xlabel("distance of two Gaussians")
    axes.set_ylabel("lower bound")
    axes.legend(fontsize=7, loc="upper left")


def _images(axes: Axes, rows: pd.DataFrame, context: Context) -> None:
    recipes = list(rows["recipe"].unique())
    for position, recipe in enumerate(recipes):
        means = rows[rows["recipe"] == recipe].groupby("measure")["value"].mean()
        for measure, colour, marker in (("gap", RED, "o"), ("wasserstein", BLUE, "s")):
            axes.plot(means[measure], position, color=colour, marker=marker, markersize=5, linestyle="")
    means = rows.groupby("measure")["value"].mean()
    axes.axvline(means["floor"], color=GREY, linewidth=0.8, linestyle="--")
    axes.axvline(means["robustness-real"], color=GREY, linewidth=0.8, linestyle=":")
    labels = [drawn(context.recipe_label(recipe)) for recipe in recipes]
    axes.set_yticks(range(len(recipes)), labels)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("distance (L2)")
    for measure, colour, text in (("gap", RED, "difference"), ("wasserstein", BLUE, "bound (cwd)")):
        axes.plot([], [], color=colour, marker="o" if measure == "gap" else "s", linestyle="", label=text)
    axes.plot([], [], color=GREY, linestyle="--", linewidth=0.8, label="floor: real and other real images")
    axes.plot([], [], color=GREY, linestyle=":", linewidth=0.8, label="robustness itself")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
