"""Accuracy against how many generated images there are."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from robustlens.analysis.frames import one_dataset, paired
from robustlens.analysis.statistics import crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import printed
from robustlens.report.lists import listed
from studies.proxy.curves import Curve, of_shared_seeds, size_curves
from studies.proxy.drawing import COLOURS, accuracies, legend, matched_line
from studies.proxy.results import CLEAN, REFERENCE, of_attack, read_points


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset."""
    runs = read_points(context, evaluations)
    dataset = one_dataset(runs)
    curves = size_curves(context, runs["recipe"].unique())
    if not curves:
        raise RobustlensError(f"no two recipes on {dataset} differ in the number of generated images; add one")
    figure = Figure(figsize=(TEXT_WIDTH, 2.5), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, attack in zip(panels, (CLEAN, REFERENCE), strict=True):
        for curve, colour in zip(curves, COLOURS * len(curves), strict=False):
            part = of_shared_seeds(runs, curve)
            accuracies(axes, part, curve, attack, colour, drawn(curve.label))
            matched_line(axes, part, [curve], attack)
        sizes = sorted({size for curve in curves for size in curve.recipes})
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("generated images of each class")
        axes.set_ylabel(f"{drawn(context.attack_label(attack))} (%)")
    figure.legend(*legend(panels[0]), loc="outside lower center", ncols=3)
    text = (
        f"{_finding(context, runs, curves)} Clean accuracy and accuracy under {context.attack_label(REFERENCE)} on "
        f"{context.dataset_title(dataset)} against the number of generated images of each class, best checkpoints, on "
        "the seeds that all points have, with 95 % intervals over images and, where there are several, seeds. The line "
        "across: real images alone, as many a step and as many steps."
    )
    caption = context.caption(" ".join([text, *threats.notes(runs, context)]))
    return Drawing(figure, "How many images are generated", caption)


def _finding(context: Context, runs: pd.DataFrame, curves: list[Curve]) -> str:
    """What the most generated images change against the fewest, curve by curve."""
    parts, attack = [], context.attack_label(REFERENCE)
    for curve in curves:
        ends = [of_attack(runs, curve.recipes[size], REFERENCE) for size in (min(curve.recipes), max(curve.recipes))]
        change = paired(ends[1], ends[0], "points")
        if change.size:
            said = printed(crossed_interval(change), "points")
            parts.append(
                f"{said} with {curve.label}, from {min(curve.recipes):,} to {max(curve.recipes):,} of each class"
            )
    if not parts:
        return f"How accuracy under {attack} changes with more generated images can't be compared."
    return f"With more generated images accuracy under {attack} changes by {listed(parts)}."
