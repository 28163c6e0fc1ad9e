"""Energies of natural and attacked images as ridgelines: a column per model, a ridge per attack (energy paper,
section 3)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.ndimage import gaussian_filter1d

from robustlens.analysis.frames import one_dataset, read_evaluations, seeds_by_images
from robustlens.analysis.statistics import Interval, crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import ADVERSARIAL, BLACK, TEXT_WIDTH, Drawing, drawn, legible, styled
from robustlens.report.finding import counted, printed
from robustlens.report.lists import listed

ENERGIES = {"marginal": "$E(x)$ (nat)", "joint": "$E(x, y)$ (nat)"}
GRID = 241  # points
MIDDLE = (0.005, 0.995)  # quantiles of a panel's values: a few extreme images must not squeeze the rest
RIDGE = 0.27  # inches
REACH = 0.92  # of the higher of two densities, in ridges
CHECKPOINTS = {"last": "last checkpoint", "published": "as published"}
NATURAL_FILL = "#C8C8C8"


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: suite indexes on one dataset; of each recipe the seeds are drawn together. Raises RobustlensError
    where the suite of a recipe has neither the last checkpoint nor a published one.
    """
    frame = threats.of_training(read_evaluations(evaluations), context)
    title = context.dataset_title(one_dataset(frame))
    recipes = list(frame["recipe"].unique())
    frame = frame[frame["checkpoint"].isin(CHECKPOINTS)]
    for recipe in recipes:
        if recipe not in set(frame["recipe"]):
            raise RobustlensError(
                f"no attacks on the last checkpoint of {recipe} on {title}; add `last` to the checkpoints of the suite"
            )
    attacks = list(frame["attack"].unique())
    figure = Figure(figsize=(TEXT_WIDTH, 2 * (0.6 + RIDGE * (len(attacks) + 1)) + 0.3), layout="constrained")
    panels = figure.subplots(len(ENERGIES), len(recipes), sharey=True, squeeze=False)
    for line, (energy, label) in zip(panels, ENERGIES.items(), strict=True):
        for axes, recipe in zip(line, recipes, strict=True):
            _ridges(axes, frame[frame["recipe"] == recipe], attacks, energy)
            axes.set_xlabel(label)
        line[0].set_yticks(range(len(attacks)), [drawn(context.attack_label(attack)) for attack in attacks])
    for axes, recipe in zip(panels[0], recipes, strict=True):
        axes.set_title(drawn(context.recipe_label(recipe)))
    figure.legend(handles=_handles(), loc="outside upper center", ncols=3)
    sizes, seeds = frame.groupby(["recipe", "seed", "attack"]).size(), frame.groupby("recipe")["seed"].nunique()
    checkpoints = listed([CHECKPOINTS[name] for name in frame["checkpoint"].unique()])
    text = (
        f"{_finding(frame, recipes, attacks, context)} Test images of {title}, {checkpoints}: "
        f"{counted(sizes.to_list(), 'image')} and {counted(seeds.to_list(), 'seed')} together. Densities by a "
        "Gaussian kernel over the middle 99 % of a panel's energies; the two of a pair are in one scale, and all "
        "pairs are equally high. y is the true label. CW is not bounded by ε. An attack that fails leaves the image "
        "as it is, except for the three PGDs. In brackets 95 % intervals."
    )
    text = " ".join([text, *threats.notes(frame, context)])
    return Drawing(figure, "Energies under attack", context.caption(text))


def _ridges(axes: Axes, rows: pd.DataFrame, attacks: list[str], energy: str) -> None:
    """One ridge per attack, the first at the top: natural images grey, attacked ones coloured, bars at the medians."""
    columns = {kind: f"{energy}_{kind}" for kind in ("natural", "adversarial")}
    low, high = np.quantile(rows[list(columns.values())].to_numpy(), MIDDLE)
    grid = np.linspace(low, high if high > low else low + 1.0, GRID)
    densities = {
        (attack, kind): density(rows[rows["attack"] == attack][column].to_numpy(), grid)
        for attack in attacks
        for kind, column in columns.items()
    }
    for place, attack in enumerate(attacks):
        of_attack = rows[rows["attack"] == attack]
        if of_attack.empty:
            continue
        pair = [densities[attack, kind] for kind in columns]
        natural, attacked = (place - REACH * one / max(max(both.max() for both in pair), 1e-12) for one in pair)
        layer = 10 + 4 * place  # a ridge lies in front of the one above it
        axes.fill_between(grid, place, natural, color=NATURAL_FILL, linewidth=0, zorder=layer)
        axes.fill_between(grid, place, attacked, color=ADVERSARIAL, alpha=0.2, linewidth=0, zorder=layer + 1)
        axes.plot(grid, attacked, color=ADVERSARIAL, linewidth=1.0, zorder=layer + 2)
        for kind, shade in (("natural", BLACK), ("adversarial", legible(ADVERSARIAL))):
            middle = np.clip(of_attack[columns[kind]].median(), grid[0], grid[-1])
            line = "-" if kind == "natural" else (0, (1.5, 0.7))
            axes.plot(
                [middle, middle], [place, place - 0.4], color=shade, linestyle=line, linewidth=1.3, zorder=layer + 3
            )
    axes.set_ylim(len(attacks) - 0.9, -REACH - 0.05)
    axes.set_xlim(grid[0], grid[-1])
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A kernel density estimate on an evenly spaced grid, with a Gaussian kernel of Silverman's width,
    0.9 min(s, IQR / 1.34) n^(-1/5), but not narrower than a step of the grid. What lies off the grid takes no part in
    it."""
    step = grid[1] - grid[0]
    inside = values[(values >= grid[0]) & (values <= grid[-1])]
    if inside.size == 0:
        return np.zeros_like(grid)
    low, high = np.quantile(inside, (0.25, 0.75))
    width = max(0.9 * min(inside.std(), (high - low) / 1.34) * inside.size**-0.2, step)
    counts = np.histogram(inside, np.append(grid - step / 2, grid[-1] + step / 2))[0]
    return gaussian_filter1d(counts / (values.size * step), width / step, mode="constant")


def _handles() -> list:
    return [
        Patch(color=NATURAL_FILL, label="natural images"),
        Line2D([], [], color=ADVERSARIAL, linewidth=1.0, label="attacked images"),
        Line2D([], [], color=BLACK, linestyle="none", marker="|", markersize=7, markeredgewidth=1.6, label="medians"),
    ]


def _finding(frame: pd.DataFrame, recipes: list[str], attacks: list[str], context: Context) -> str:
    """How far mean E(x) moves: under the attack that lowers it most, and under that which raises it most."""
    parts = []
    for recipe in recipes:
        rows = frame[frame["recipe"] == recipe]
        moves = {attack: _moved(rows[rows["attack"] == attack]) for attack in attacks if attack in set(rows["attack"])}
        order = sorted(moves, key=lambda attack: moves[attack].estimate)
        ends = [f"{printed(moves[a], 'nat')} ({context.attack_label(a)})" for a in dict.fromkeys((order[0], order[-1]))]
        parts.append(f"{' to '.join(ends)} for {context.recipe_label(recipe)}")
    return f"Attacks move mean E(x) by {listed(parts)}."


def _moved(rows: pd.DataFrame) -> Interval:
    moved = rows.assign(moved=rows["marginal_adversarial"] - rows["marginal_natural"])
    return crossed_interval(seeds_by_images(moved, "moved").to_numpy())
