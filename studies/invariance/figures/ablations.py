"""What each change of a method does, as bars."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, paired
from robustlens.analysis.statistics import Interval, crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.cells import number
from robustlens.report.comparison import not_learned, not_learned_notes
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, BLUE, GREY, RED, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import counted, excludes_zero, printed
from robustlens.report.lists import listed
from studies.invariance.results import CLEAN, REFERENCE, best, read_points, under

SHOWN = {CLEAN: BLUE, REFERENCE: RED}
HATCHES = {CLEAN: "", REFERENCE: "/////"}  # told apart in grey, too
HEIGHT = 0.36  # of a bar; lines are 1 apart
FARTHEST = 40.0  # points; a bar that goes on is cut there, and has its number


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset, of recipes and of those that they change."""
    runs = best(read_points(context, evaluations))
    dataset = one_dataset(runs)
    changed = {recipe: context.changes(recipe) for recipe in runs["recipe"].unique()}
    pairs = {recipe: base for recipe, base in changed.items() if base in changed}
    if not pairs:
        raise RobustlensError(f"no recipe on {dataset} changes another one of this figure; add one to the cohort")
    lines = _lines(pairs)
    figure = Figure(figsize=(TEXT_WIDTH, 0.9 + 0.24 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for shift, (attack, colour) in zip((-HEIGHT / 2, HEIGHT / 2), SHOWN.items(), strict=True):
        found = _differences(under(runs, attack), pairs)
        hatch = HATCHES[attack]
        _bars(axes, {lines.index(recipe) + shift: interval for recipe, interval in found.items()}, colour, hatch)
        axes.barh(
            0,
            0,
            color=colour,
            alpha=0.7,
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
            label=drawn(context.attack_label(attack)),
        )
    axes.axvline(0, color=BLACK, linewidth=0.6)
    labels = [
        context.recipe_label(line) if line in pairs else f"minus {context.recipe_label(line.strip())}:"
        for line in lines
    ]
    axes.set_yticks(range(len(lines)), [drawn(label) for label in labels])
    for tick, line in zip(axes.get_yticklabels(), lines, strict=True):
        tick.set_style("normal" if line in pairs else "italic")
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel("difference of accuracies (points)")
    axes.legend(loc="best", frameon=True, edgecolor=GREY, framealpha=1)
    without_learning = not_learned(runs, pairs)
    learned = {recipe: base for recipe, base in pairs.items() if recipe not in without_learning}
    text = (
        f"{_finding(_differences(under(runs, REFERENCE), learned), context)} Accuracy of a changed recipe minus that "
        f"of the one that it changes, on {context.dataset_title(dataset)}, without an attack and under PGD-20: best "
        "checkpoints, with 95 % intervals paired by seed and image (over images alone where one seed is compared). A "
        f"bar of more than {FARTHEST:g} points is cut, and has its number in it."
    )
    failed = [context.recipe_label(recipe) for recipe in without_learning]
    notes = [*not_learned_notes(failed), *threats.notes(runs, context)]
    return Drawing(figure, "What each part of a method does", context.caption(" ".join([text, *notes])))


def _finding(found: Mapping[str, Interval], context: Context) -> str:
    """Of trainings that learned: how many changes lower, and how many raise, accuracy under PGD-20, and which one does
    the most of either."""
    parts = []
    for verb, sign in (("lower", -1), ("raise", 1)):
        sure = {recipe: i for recipe, i in found.items() if excludes_zero(i) and i.estimate * sign > 0}
        part = f"{len(sure)} {verb} accuracy under {context.attack_label(REFERENCE)}"
        if sure:
            most = max(sure, key=lambda recipe: abs(sure[recipe].estimate))
            part += f" (most: {context.recipe_label(most)}, {printed(sure[most], 'points')})"
        parts.append(part)
    return f"Of {counted([len(found)], 'change')}, by intervals that exclude 0, {listed(parts)}."


def _lines(pairs: Mapping[str, str]) -> list[str]:
    """From top to bottom: each recipe that is changed, as a heading, and below it those that change it. One that is
    changed and changes another one is a heading and a line: the heading has a space behind it, which no name has."""
    found = []
    for base in dict.fromkeys(pairs.values()):
        found += [f"{base} " if base in pairs else base, *(recipe for recipe, other in pairs.items() if other == base)]
    return found


def _differences(parts: Mapping[str, pd.DataFrame], pairs: Mapping[str, str]) -> dict[str, Interval]:
    """Recipe -> its accuracy minus that of what it changes, where both have a seed and image. parts: rows by recipe."""
    both = {recipe: base for recipe, base in pairs.items() if recipe in parts and base in parts}
    values = {recipe: paired(parts[recipe], parts[base], "points") for recipe, base in both.items()}
    return {recipe: crossed_interval(of_pair) for recipe, of_pair in values.items() if of_pair.size}


def _bars(axes: Axes, intervals: Mapping[float, Interval], colour: str, hatch: str) -> None:
    """intervals: by their places."""
    for place, interval in intervals.items():
        shown = max(-FARTHEST, min(FARTHEST, interval.estimate))
        axes.barh(place, shown, height=HEIGHT, color=colour, alpha=0.7, linewidth=0, hatch=hatch, edgecolor="white")
        if shown == interval.estimate:
            ends = (max(-FARTHEST, interval.low), min(FARTHEST, interval.high))
            axes.hlines(place, *ends, color=BLACK, linewidth=0.8)
        else:
            look = {"va": "center", "ha": "left" if shown < 0 else "right", "fontsize": 7, "color": "white"}
            axes.text(shown, place, f" {number(interval.estimate, 0)} ", **look)
