"""What each part of a method adds, as bars."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, paired
from robustlens.analysis.statistics import Interval, crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, BLUE, GREY, RED, TEXT_WIDTH, Drawing, drawn, styled
from studies.invariance.results import CLEAN, REFERENCE, best, read_points, under

SHOWN = {CLEAN: BLUE, REFERENCE: RED}
HEIGHT = 0.36  # of a bar; recipes are 1 apart


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset, of recipes and of those that they change."""
    runs = best(read_points(context, evaluations))
    dataset = one_dataset(runs)
    changed = {recipe: context.changes(recipe) for recipe in runs["recipe"].unique()}
    pairs = {recipe: base for recipe, base in changed.items() if base in changed}
    if not pairs:
        raise RobustlensError(f"no recipe on {dataset} changes another one of this figure; add one to the cohort")
    figure = Figure(figsize=(TEXT_WIDTH, 0.9 + 0.34 * len(pairs)), layout="constrained")
    axes = figure.subplots()
    for number, (attack, colour) in enumerate(SHOWN.items()):
        _bars(axes, under(runs, attack), pairs, (number - 0.5) * HEIGHT, colour, drawn(context.attack_label(attack)))
    axes.axvline(0, color=BLACK, linewidth=0.6)
    labels = [f"{context.recipe_label(recipe)}, minus {context.recipe_label(base)}" for recipe, base in pairs.items()]
    axes.set_yticks(range(len(pairs)), [drawn(label) for label in labels])
    axes.invert_yaxis()
    axes.set_xlabel("difference of accuracies (points)")
    axes.legend(frameon=True, edgecolor=GREY, framealpha=1)
    text = (
        f"What each change of a method does to accuracy on {context.dataset_title(dataset)}, without an attack and "
        "under PGD-20: the changed recipe minus the one that it changes, best checkpoints, with 95 % intervals paired "
        "by seed and image (over images alone where one seed is compared)."
    )
    return Drawing(
        figure,
        "What each part of a method does",
        context.caption(" ".join([text, *threats.notes(runs, context)])),
    )


def _bars(
    axes: Axes, parts: dict[str, pd.DataFrame], pairs: dict[str, str], shift: float, colour: str, label: str
) -> None:
    for place, (recipe, base) in enumerate(pairs.items()):
        if recipe in parts and base in parts:
            interval = _difference(parts[recipe], parts[base])
            if interval is not None:
                axes.barh(place + shift, interval.estimate, height=HEIGHT, color=colour, alpha=0.7, linewidth=0)
                axes.hlines(place + shift, interval.low, interval.high, color=BLACK, linewidth=0.8)
    axes.barh(0, 0, color=colour, alpha=0.7, label=label)


def _difference(first: pd.DataFrame, second: pd.DataFrame) -> Interval | None:
    differences = paired(first, second, "points")
    return crossed_interval(differences) if differences.size else None
