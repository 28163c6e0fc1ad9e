"""Robust accuracy, average and worst class, against the temperature of Temperature-PGD."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from robustlens.analysis.classwise import per_run, resampled_interval, shared_answers, worst_class
from robustlens.analysis.evaluations import with_points
from robustlens.analysis.frames import one_dataset, paired
from robustlens.analysis.statistics import Interval, crossed_interval
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import short
from robustlens.report.lists import listed
from studies.classwise.results import over_what
from studies.classwise.temperature import broken_by_any, compared, inverse_temperature, read_sweeps, swept

Metric = Callable[[np.ndarray], np.ndarray]
METRICS = {"average": lambda rates: rates.mean(axis=-1), "worst class": worst_class}
ANY = "any 1/T"
APART = 1.04  # factor between the places of two recipes' points at one 1/T, so that intervals don't cover each other


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset."""
    runs = read_sweeps(evaluations)
    title = context.dataset_title(one_dataset(runs))
    recipes, values = list(runs["recipe"].unique()), list(swept(runs["attack"].unique()).values())
    others = [*compared(runs["attack"].unique()), ANY]
    told = {threat: threats.label(threat, context) for threat in runs["threat"].unique()}
    rows = [(threat, name) for threat in told for name in METRICS]
    figure = Figure(figsize=(TEXT_WIDTH, 1.2 + (2.0 if len(told) == 1 else 1.4) * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 2, sharex="col", sharey="row", squeeze=False, width_ratios=(3, 2))
    for (left, right), (threat, name) in zip(panels, rows, strict=True):
        for number, recipe in enumerate(recipes):
            of_recipe = runs[(runs["threat"] == threat) & (runs["recipe"] == recipe)]
            parts = dict(iter(of_recipe.groupby("attack", sort=False)))
            shift, look = number - (len(recipes) - 1) / 2, {"color": context.colour(recipe)}
            _line(left, parts, METRICS[name], APART**shift, {**look, "marker": context.marker(recipe)})
            _marks(right, parts, METRICS[name], others, shift * 0.8 / len(recipes), 0.8 / len(recipes), look)
        left.set_ylabel(f"{name} (%)")
        left.set_ylim(bottom=0)
        left.set_title(drawn(told[threat]) if len(told) > 1 and name == next(iter(METRICS)) else "", loc="left")
    last, beside = panels[-1]
    last.set_xscale("log")
    last.set_xticks(values, [f"{value:g}" for value in values])
    last.xaxis.set_minor_locator(NullLocator())
    last.set_xlabel("1/T")
    labels = [name if name == ANY else context.attack_label(name) for name in others]
    beside.set_xticks(range(len(others)), map(drawn, labels), rotation=40, ha="right", rotation_mode="anchor")
    handles = [
        Line2D([], [], color=context.colour(recipe), marker=context.marker(recipe), markersize=3.5, label=label)
        for recipe in recipes
        if (label := drawn(context.recipe_label(recipe)))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6))
    caption = context.caption(" ".join([_finding(runs, context), _text(runs, title), *threats.notes(runs, context)]))
    return Drawing(figure, "Temperature-PGD by temperature", caption)


def _finding(runs: pd.DataFrame, context: Context) -> str:
    """Of each recipe, under the first threat, the 1/T under which it is least accurate, and those that paired intervals
    don't tell apart from it."""
    first, parts = runs["threat"].iloc[0], []
    for recipe, rows in with_points(runs[runs["threat"] == first]).groupby("recipe", sort=False):
        found = {value: rows[rows["attack"] == attack] for attack, value in swept(rows["attack"].unique()).items()}
        if not found:
            continue
        worst = min(found, key=lambda value: found[value]["points"].mean())
        differences = {value: paired(part, found[worst], "points") for value, part in found.items()}
        near = [f"{value:g}" for value, of in differences.items() if of.size and crossed_interval(of).low <= 0]
        lowest = f"{short(found[worst]['points'].mean(), 3)} % at {worst:g}"
        parts.append(f"{listed(near)} for {context.recipe_label(recipe)} ({lowest})")
    return (
        "The accuracy is lowest, or by paired 95 % intervals can't be told apart from the lowest, at 1/T = "
        f"{'; '.join(parts)}."
    )


def _text(runs: pd.DataFrame, title: str) -> str:
    seeds = runs.groupby(["threat", "recipe"])["seed"].nunique()
    return (
        f"Accuracy on {title} under Temperature-PGD with 20 steps, average and worst class, against 1/T, with 95 % "
        f"intervals over {over_what(seeds)}, best checkpoints. Right: other attacks with 20 steps, and the share of "
        "images that no 1/T breaks: an attack with as many steps as all of them together."
    )


def _line(axes: Axes, parts: Mapping[str, pd.DataFrame], metric: Metric, shift: float, look: dict) -> None:
    attacks = swept(parts)
    if not attacks:
        return
    heights, ends = _percent([_interval([parts[attack]], metric) for attack in attacks])
    places = shift * np.array([inverse_temperature(attack) for attack in attacks])
    axes.errorbar(places, heights, yerr=ends, markersize=3.5, linewidth=1, elinewidth=0.6, **look)


def _marks(
    axes: Axes,
    parts: Mapping[str, pd.DataFrame],
    metric: Metric,
    others: Sequence[str],
    shift: float,
    width: float,
    look: dict,
) -> None:
    """A horizontal mark with its interval for each attack that the recipe was tried under."""
    behind = {name: [parts[name]] for name in others if name in parts}
    if len(attacks := swept(parts)) > 1:
        behind[ANY] = [parts[attack] for attack in attacks]
    if not behind:
        return
    heights, ends = _percent([_interval(rows, metric) for rows in behind.values()])
    places = shift + np.array([others.index(name) for name in behind])
    axes.hlines(heights, places - width / 2, places + width / 2, linewidth=1.6, **look)
    axes.errorbar(places, heights, yerr=ends, fmt="none", elinewidth=0.6, ecolor=look.get("color", GREY))


def _interval(behind: Sequence[pd.DataFrame], metric: Metric) -> Interval:
    right, labels = shared_answers([behind[0] if len(behind) == 1 else broken_by_any(behind)])
    return resampled_interval(right[:, 0], labels, per_run(metric), (0, 1))


def _percent(intervals: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """The estimates, and how far the intervals reach below and above them: never below 0, although an interval that
    allows for bias may lie beside its estimate."""
    heights, low, high = (100 * np.array([getattr(i, end) for i in intervals]) for end in ("estimate", "low", "high"))
    return heights, np.maximum([heights - low, high - heights], 0)
