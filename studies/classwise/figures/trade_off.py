"""Robust accuracy of the worst class against the average, for defences of the worst class and what they change."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset
from robustlens.analysis.statistics import Interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import extremes
from studies.classwise.defence import METRICS, bases, entry_label, level, of_shared_seeds, read_defence
from studies.classwise.results import REFERENCE

ATTACKS = (REFERENCE, "autoattack")
HOLLOW = ("o", "s", "D", "^")  # markers of corrections, in the colour of the recipe


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset, of recipes and of those that change them."""
    runs = read_defence(context, evaluations)
    dataset = one_dataset(runs)
    attacks = [attack for attack in ATTACKS if (runs["attack"] == attack).any()]
    if not attacks:
        raise RobustlensError(f"no {REFERENCE} on {dataset}; add it to the evaluation suite")
    looks = _looks(context, bases(runs))
    figure = Figure(figsize=(TEXT_WIDTH, 3.0 + 0.17 * -(-len(looks) // 3)), layout="constrained")
    panels = figure.subplots(1, len(attacks), squeeze=False)[0]
    for axes, attack in zip(panels, attacks, strict=True):
        parts = of_shared_seeds(runs[runs["attack"] == attack])
        _points(axes, parts, bases(runs), looks)
        count = max((part["seed"].nunique() for part in parts.values()), default=0)
        axes.set_title(f"under {drawn(context.attack_label(attack))}, {count} seed{'s' * (count != 1)}", loc="left")
        axes.set_xlabel("average (%)")
    panels[0].set_ylabel("worst class (%)")
    handles = [Line2D([], [], label=drawn(entry_label(context, entry)), **look) for entry, look in looks.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    text = (
        f"{_finding(context, runs, attacks[0], looks)} Robust accuracy of the worst class of "
        f"{context.dataset_title(dataset)} against the average of all classes, "
        "best checkpoints, with 95 % intervals over images and, where there are several, seeds. They allow for the "
        "bias of the worst class and need not have the point in their middle. All points under an attack are of the "
        "same seeds. A line leads from each recipe to what it changes."
    )
    return Drawing(
        figure, "Worst class against average", context.caption(" ".join([text, *threats.notes(runs, context)]))
    )


def _finding(context: Context, runs: pd.DataFrame, attack: str, looks: dict[str, dict]) -> str:
    """Of which entry the worst class is the least and the most robust, under the first attack shown."""
    parts, worst = of_shared_seeds(runs[runs["attack"] == attack]), list(METRICS.values())[1]
    levels = {entry_label(context, entry): level(parts[entry], worst) for entry in looks if entry in parts}
    known = {name: in_percent(interval) for name, interval in levels.items() if interval is not None}
    if not known:
        return "No worst class can be compared."
    return f"Under {context.attack_label(attack)} the accuracy of the worst class is {extremes(known, '%')}."


def in_percent(interval: Interval) -> Interval:
    return Interval(*(100 * value for value in (interval.estimate, interval.low, interval.high)), interval.factors)


def _looks(context: Context, changed: dict[str, str]) -> dict[str, dict]:
    """Entry -> how its point is drawn, as Line2D takes it."""
    corrections = list(dict.fromkeys(entry.partition("/")[2] for entry in changed if "/" in entry))
    looks = {}
    for entry in changed:
        recipe, _, checkpoint = entry.partition("/")
        hollow = {"markerfacecolor": "none", "marker": HOLLOW[corrections.index(checkpoint)]} if checkpoint else {}
        marker = hollow if checkpoint else {"marker": context.marker(recipe)}
        looks[entry] = {"color": context.colour(recipe), "markersize": 5, "linestyle": "", **marker}
    return looks


def _points(axes: Axes, parts: dict[str, pd.DataFrame], changed: dict[str, str], looks: dict[str, dict]) -> None:
    """parts: by entry, the rows under one attack. changed: entry -> its base."""
    places = {entry: [level(parts[entry], metric) for metric in METRICS.values()] for entry in looks if entry in parts}
    for entry, base in changed.items():
        if entry in places and base in places:
            ends = np.array([[100 * i.estimate for i in places[name]] for name in (base, entry)])
            axes.plot(ends[:, 0], ends[:, 1], color=GREY, linewidth=0.6, zorder=0)
    for entry, (average, worst) in places.items():
        x, y = 100 * average.estimate, 100 * worst.estimate
        bars = {"color": looks[entry]["color"], "linewidth": 0.7, "alpha": 0.5}
        axes.plot(x, y, **looks[entry])
        axes.hlines(y, 100 * average.low, 100 * average.high, **bars)
        axes.vlines(x, 100 * worst.low, 100 * worst.high, **bars)
