"""Heat maps of the rank correlation of class robustness: between attacks, and between defences."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from robustlens.analysis.classwise import spearman
from robustlens.analysis.frames import one_dataset
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.cells import number
from robustlens.report.comparison import attacks_shown
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.lists import listed
from studies.classwise.consistency import matrix, mean_defined
from studies.classwise.results import CLEAN, REFERENCE, best_runs, by_recipe

COLOURS = "RdBu"  # red: opposite orders; blue: the same


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset."""
    runs = best_runs(context, evaluations)
    dataset = one_dataset(runs)
    recipes = by_recipe(runs, REFERENCE)
    attacks = [attack for attack in attacks_shown(runs, context) if attack != CLEAN]
    between = {"between attacks": (_of_attacks(runs, attacks), [context.attack_label(attack) for attack in attacks])}
    defences = matrix(recipes, spearman) if len(recipes) > 1 else None
    title = f"between defences under {context.attack_label(REFERENCE)}"
    between[title] = (defences, [context.recipe_label(recipe) for recipe in recipes])
    shown = {name: found for name, found in between.items() if found[0] is not None}
    if not shown:
        raise RobustlensError(f"neither several attacks nor several recipes with {REFERENCE} on {dataset}")
    width = TEXT_WIDTH if len(shown) > 1 else 0.7 * TEXT_WIDTH
    figure = Figure(figsize=(width, 3.2), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (name, (correlations, labels)) in zip(panels, shown.items(), strict=True):
        image = _heat_map(axes, correlations, labels)
        axes.set_title(drawn(name))
    figure.colorbar(image, ax=panels, shrink=0.7, aspect=30, label="Spearman's correlation")
    text = (
        f"{_finding(shown)} Spearman's correlation, over the classes of "
        f"{context.dataset_title(dataset)}, of their accuracies, which are averaged over the seeds; best checkpoints. "
        "Between attacks: mean over the recipes, on the images that all attacks were tried on. Between defences: "
        f"of the accuracy under {context.attack_label(REFERENCE)}. The table of this name has intervals."
    )
    text = " ".join([text, *threats.notes(runs, context)])
    return Drawing(figure, "Consistency of class robustness", context.caption(text))


def _finding(shown: dict[str, tuple[np.ndarray, Sequence[str]]]) -> str:
    """The smallest correlation between two attacks, and between two defences. shown: title -> matrix and labels."""
    parts = []
    for title, (correlations, labels) in shown.items():
        between = np.where(np.eye(len(labels), dtype=bool), np.nan, correlations)
        if np.isfinite(between).any():
            one, other = np.unravel_index(np.nanargmin(between), between.shape)
            parts.append(f"{number(between[one, other], 2)} {title} ({labels[one]}; {labels[other]})")
    if not parts:
        return "No correlation of the robustness of the classes is defined."
    return f"The smallest rank correlation of the robustness of the classes is {listed(parts)}."


def _of_attacks(runs: pd.DataFrame, attacks: Sequence[str]) -> np.ndarray | None:
    """The mean over the recipes that have all attacks, of correlations that are defined; None without any."""
    if len(attacks) < 2:
        return None
    found = []
    for _, of_recipe in runs.groupby("recipe", sort=False):
        parts = {attack: of_recipe[of_recipe["attack"] == attack] for attack in attacks}
        if all(len(part) for part in parts.values()):
            found.append(matrix(parts, spearman))
    found = [correlations for correlations in found if correlations is not None]
    return mean_defined(np.array(found), axis=0) if found else None


def _heat_map(axes: Axes, correlations: np.ndarray, labels: Sequence[str]) -> AxesImage:
    image = axes.imshow(correlations, cmap=COLOURS, vmin=-1, vmax=1)
    places, shown = range(len(labels)), [drawn(label) for label in labels]
    axes.set_xticks(places, shown, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, shown)
    axes.tick_params(length=0)
    for i, j in np.argwhere(np.isfinite(correlations)):
        shade = "white" if abs(correlations[i, j]) > 0.7 else BLACK
        text = number(correlations[i, j], 2).replace("0.", ".") if abs(correlations[i, j]) < 0.995 else "1"
        axes.text(j, i, text, ha="center", va="center", fontsize=7, color=shade)
    return image
