"""How smooth classifiers are: ΔE(x) and ΔE(x, y) of every test image, ordered by robust accuracy."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from robustlens.analysis.frames import accuracies, one_dataset, read_evaluations, seeds_by_images, with_deltas
from robustlens.analysis.statistics import crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, BLUE, GREY, INK, ORANGE, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import counted, printed
from robustlens.report.lists import listed

ATTACK = "pgd20"
OURS = "best"  # third-party models have one checkpoint, `published`
CHECKPOINTS = (OURS, "published")
HALVES = {  # side, colour, hatching, label
    "delta_marginal": ("low", BLUE, "", "$\\Delta E(x)$"),
    "delta_joint": ("high", ORANGE, "/////", "$\\Delta E(x, y)$"),
}
MIDDLE = (0.005, 0.995)
OWN_AXIS = 6.0  # a classifier that reaches this many times as far as the median one gets its own vertical axis
ROW = 0.27  # inches, of a classifier


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: indexes of suites with PGD-20, of recipes and third-party models on one dataset."""
    runs = threats.of_training(read_evaluations(evaluations), context)
    title, attack = context.dataset_title(one_dataset(runs)), context.attack_label(ATTACK)
    runs = runs[runs["checkpoint"].isin(CHECKPOINTS)]
    deltas = with_deltas(runs[runs["attack"] == ATTACK])
    if deltas.empty:
        raise RobustlensError(f"no {attack} on {title}; add {ATTACK!r} to the evaluation suite")
    ranking, accuracy = _robustness(runs, set(deltas["recipe"]), context)
    values = {recipe: _middle(deltas[deltas["recipe"] == recipe]) for recipe in ranking.sort_values().index}
    panels = _panels(values)
    heights = [0.32 + ROW * len(panel) for panel in panels]
    figure = Figure(figsize=(TEXT_WIDTH, sum(heights) + 0.5), layout="constrained")
    lines = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(lines, panels, strict=True):
        _violins(axes, {recipe: values[recipe] for recipe in panel}, context, ranking)
    lines[-1].set_xlabel("$\\Delta E$ (nat)")
    lines[0].text(
        1.01, 1.0, "accuracy (%)", transform=lines[0].transAxes, ha="right", va="bottom", color=INK, fontsize=8
    )
    handles = [
        Patch(facecolor=shade, edgecolor="white", hatch=hatch, linewidth=0, label=label, alpha=0.85)
        for _, shade, hatch, label in HALVES.values()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    images, seeds = deltas.groupby("recipe")["index"].nunique(), deltas.groupby("recipe")["seed"].nunique()
    text = (
        f"{_finding(deltas, ranking, context)} ΔE(x) = E(x) \u2212 E(x*) and ΔE(x, y) of the test images of {title} "
        f"under {attack}, best checkpoint (or the published one): {counted(images.to_list(), 'image')} and "
        f"{counted(seeds.to_list(), 'seed')} together, the middle 99 % of the values; short lines are medians. Rows "
        f"are in the order of the accuracy under {accuracy}, the mean over the seeds, which stands beside each."
    )
    first = [context.recipe_label(panel[0]) for panel in panels[:-1]]
    if first:
        text += f" On axes of their own, because they are off the scale of the others: {'; '.join(first)}."
    if runs["threat"].nunique() > 1:
        text += " Threats differ: each classifier is attacked under that of its training, unless stated otherwise."
    text = " ".join([text, *threats.notes(runs, context)])
    return Drawing(figure, "Energy gaps of all classifiers", context.caption(text))


def _finding(deltas: pd.DataFrame, ranking: pd.Series, context: Context) -> str:
    """How far PGD moves E(x) of the classifiers with the lowest and with the highest robust accuracy, of those with the
    most seeds: one seed is more often far above or below its mean."""
    seeds = deltas.groupby("recipe")["seed"].nunique()[ranking.index]
    order, parts = ranking[seeds == seeds.max()].sort_values().index, []
    for recipe, which in ((order[0], "lowest"), (order[-1], "highest")):
        moved = crossed_interval(seeds_by_images(deltas[deltas["recipe"] == recipe], "delta_marginal").to_numpy())
        parts.append(f"{printed(moved, 'nat')} for {context.recipe_label(recipe)} (the {which} mean robust accuracy)")
    return f"Mean ΔE(x), with its 95 % interval, is {listed(parts if len(order) > 1 else parts[:1])}."


def _robustness(runs: pd.DataFrame, recipes: set[str], context: Context) -> tuple[pd.Series, str]:
    """Accuracy (0..1) of each recipe, the mean over its seeds, and the name of the attack: AutoAttack if all of its
    seeds have it, for all recipes."""
    table = accuracies(runs[runs["recipe"].isin(recipes)])
    tested, strongest = (table[table["attack"] == attack] for attack in (ATTACK, "autoattack"))
    name = context.attack_label("autoattack")
    if len(strongest) < len(tested):
        strongest, name = tested, f"{context.attack_label(ATTACK)} (not every classifier was tested with AutoAttack)"
    return strongest.groupby("recipe")["accuracy"].mean(), name


def _middle(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    found = {}
    for name in HALVES:
        values = rows[name].to_numpy(dtype=np.float64)
        low, high = np.quantile(values, MIDDLE)
        found[name] = values[(values >= low) & (values <= high)]
    return found


def _panels(values: dict[str, dict[str, np.ndarray]]) -> list[list[str]]:
    """The classifiers of each panel, from the top: those off the scale of the others alone, and the others."""
    reach = {recipe: max(np.abs(part).max() for part in parts.values()) for recipe, parts in values.items()}
    own = [recipe for recipe in values if reach[recipe] > OWN_AXIS * np.median(list(reach.values()))]
    return [[recipe] for recipe in own] + [[recipe for recipe in values if recipe not in own]]


def _violins(axes: Axes, values: dict[str, dict[str, np.ndarray]], context: Context, accuracy: pd.Series) -> None:
    """One row per classifier: above its line ΔE(x), below it ΔE(x, y)."""
    places = np.arange(len(values))
    for name, (side, shade, hatch, _) in HALVES.items():
        parts = [halves[name] for halves in values.values()]
        violins = axes.violinplot(
            parts, places, side=side, widths=0.92, showextrema=False, points=200, orientation="horizontal"
        )
        for body in violins["bodies"]:
            body.set(facecolor=shade, edgecolor="white", alpha=0.85, linewidth=0, hatch=hatch)
        for place, part in zip(places, parts, strict=True):
            ends = (place - 0.3, place) if side == "low" else (place, place + 0.3)
            axes.vlines(np.median(part), *ends, color=BLACK, linewidth=1.0)
    axes.axvline(0, color=GREY, linewidth=0.6, zorder=0)
    axes.hlines(places, 0, 1, transform=axes.get_yaxis_transform(), color=GREY, linewidth=0.2, zorder=0)
    axes.set_yticks(places, [drawn(context.recipe_label(recipe)) for recipe in values])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(values) - 0.4, -0.6)
    beside = {"transform": axes.get_yaxis_transform(), "ha": "left", "va": "center", "fontsize": 8}
    for place, recipe in zip(places, values, strict=True):
        axes.text(1.01, place, f"{100 * accuracy[recipe]:.1f}", **beside)
