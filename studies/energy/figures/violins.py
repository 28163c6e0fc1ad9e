"""How smooth classifiers are: ΔE(x) and ΔE(x, y) of every test image, ordered by robust accuracy."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from robustlens.analysis.frames import accuracies, one_dataset, read_evaluations, with_deltas
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, BLUE, GREY, ORANGE, TEXT_WIDTH, Drawing, drawn, styled

ATTACK = "pgd20"
OURS = "best"  # third-party models have one checkpoint, `published`
CHECKPOINTS = (OURS, "published")
HALVES = {"delta_marginal": ("low", BLUE, "$\\Delta E(x)$"), "delta_joint": ("high", ORANGE, "$\\Delta E(x, y)$")}
MIDDLE = (0.005, 0.995)
OWN_AXIS = 6.0  # a classifier that reaches this many times as far as the median one gets its own vertical axis
IN_A_ROW = 9


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
    rows = _rows(values)
    figure, shared = Figure(figsize=(TEXT_WIDTH, 0.4 + 2.5 * len(rows)), layout="constrained"), []
    for part, groups in zip(np.atleast_1d(figure.subfigures(len(rows), 1)), rows, strict=True):
        widths = [len(group) + 0.6 for group in groups]
        panels = part.subplots(1, len(groups), squeeze=False, width_ratios=widths)[0]
        for axes, group in zip(panels, groups, strict=True):
            _violins(axes, {recipe: values[recipe] for recipe in group}, context, ranking)
        shared.append(panels[-1])
        panels[0].set_ylabel("$\\Delta E$")
    for axes in shared[1:]:
        axes.sharey(shared[0])
    handles = [Patch(color=shade, label=label, alpha=0.8) for _, shade, label in HALVES.values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    images, seeds = deltas.groupby("recipe")["index"].nunique(), deltas.groupby("recipe")["seed"].nunique()
    text = (
        f"ΔE(x) = E(x) \u2212 E(x*) and ΔE(x, y) of the test images of {title} under {attack}, best "
        f"checkpoint (or the published one): {_range(images)} images and {_range(seeds)} "
        f"seed{'s' * bool(seeds.max() > 1)} together, the middle 99 % of the values; short lines are medians. "
        f"Ordered by, and above each, the accuracy (%) under {accuracy}, the mean over the seeds of each."
    )
    first = [context.recipe_label(group[0]) for group in rows[0][:-1]]
    if first:
        text += f" Off the scale of the others, and on axes of their own: {'; '.join(first)}."
    if runs["threat"].nunique() > 1:
        text += " Threats differ: each classifier is attacked under that of its training, unless stated otherwise."
    text = " ".join([text, *threats.notes(runs, context)])
    return Drawing(figure, "Energy gaps of all classifiers", context.caption(text))


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


def _rows(values: dict[str, dict[str, np.ndarray]]) -> list[list[list[str]]]:
    """Rows of panels of classifiers: those off the scale of the others alone, at the front, the others together."""
    reach = {recipe: max(np.abs(part).max() for part in parts.values()) for recipe, parts in values.items()}
    own = [recipe for recipe in values if reach[recipe] > OWN_AXIS * np.median(list(reach.values()))]
    others = [recipe for recipe in values if recipe not in own]
    count = -(-len(values) // IN_A_ROW)
    first = max(-(-len(values) // count) - len(own), 1)
    rest = others[first:]
    rows = [[*([recipe] for recipe in own), others[:first]]]
    return rows + [[list(chunk)] for chunk in np.array_split(rest, -(-len(rest) // IN_A_ROW) or 1) if len(chunk)]


def _violins(axes: Axes, values: dict[str, dict[str, np.ndarray]], context: Context, accuracy: pd.Series) -> None:
    places = np.arange(len(values))
    for name, (side, shade, _) in HALVES.items():
        parts = [halves[name] for halves in values.values()]
        violins = axes.violinplot(parts, places, side=side, widths=0.85, showextrema=False, points=200)
        for body in violins["bodies"]:
            body.set(facecolor=shade, alpha=0.8, linewidth=0)
        for place, part in zip(places, parts, strict=True):
            ends = (place - 0.25, place) if side == "low" else (place, place + 0.25)
            axes.hlines(np.median(part), *ends, color=BLACK, linewidth=0.8)
    axes.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    labels = [drawn("\n".join(textwrap.wrap(context.recipe_label(recipe), 18))) for recipe in values]
    axes.set_xticks(places, labels, fontsize=7, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(values) - 0.4)
    above = {"transform": axes.get_xaxis_transform(), "ha": "center", "fontsize": 7}
    for place, recipe in zip(places, values, strict=True):
        axes.text(place, 1.01, f"{100 * accuracy[recipe]:.1f}", **above)


def _range(counts: pd.Series) -> str:
    return " to ".join(str(n) for n in sorted({counts.min(), counts.max()}))
