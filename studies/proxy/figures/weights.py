"""Accuracy against the weight of the real images, with the published curve beside ours."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, paired
from robustlens.analysis.statistics import crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import BLUE, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import printed
from robustlens.report.lists import listed
from robustlens.report.published import PublishedNumbers
from studies.proxy.curves import MATCHED, Curve, weight_curves
from studies.proxy.drawing import COLOURS, accuracies, interval, legend, matched_line
from studies.proxy.results import CLEAN, REFERENCE, of_attack, read_points

# Where the published curve is in published.yaml: its rows are weights.
PUBLISHED = ("cifar100", "resnet18")
PUBLISHED_METRICS = {CLEAN: "clean-by-gamma", REFERENCE: "robust-by-gamma"}


@styled
def build(context: Context, *, evaluations: list[Path], published: Path) -> Drawing:
    """evaluations: indexes of suites, of one dataset. published: with the curve of the authors."""
    runs = read_points(context, evaluations)
    dataset, numbers = one_dataset(runs), PublishedNumbers(published)
    curves = weight_curves(context, runs["recipe"].unique())
    if not curves:
        raise RobustlensError(f"no two recipes on {dataset} differ in the weight of the real images; add one")
    figure = Figure(figsize=(TEXT_WIDTH, 4.0), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    for (own, theirs), attack in zip(panels, (CLEAN, REFERENCE), strict=True):
        for curve, colour in zip(curves, COLOURS * len(curves), strict=False):
            accuracies(own, runs, curve, attack, colour, drawn(curve.label))
        matched_line(own, runs, curves, attack)
        _published(theirs, numbers, PUBLISHED_METRICS[attack])
        own.set_ylabel(f"{drawn(context.attack_label(attack))} (%)")
    panels[0, 0].set_title(drawn(context.dataset_title(dataset)), loc="left")
    panels[0, 1].set_title("published: CIFAR-100, ResNet-18", loc="left")
    panels[1, 1].set_ylabel("robust (%)")
    panels[0, 1].set_ylabel("clean (%)")
    for axes in panels[1]:
        axes.set_xlabel("weight gamma of the real images")
        axes.set_xlim(-0.05, 1.05)
    figure.legend(*legend(panels[0, 0]), loc="outside lower center", ncols=3)
    figure.align_ylabels()
    return Drawing(
        figure,
        "Weight of the real images",
        context.caption(f"{_finding(context, runs, curves)} {_caption(context, runs, dataset)}"),
    )


def _published(axes: Axes, numbers: PublishedNumbers, metric: str) -> None:
    """The rows of the block are weights."""
    found = [(float(row), numbers.find(*PUBLISHED, row, metric)) for row in numbers.recipes(*PUBLISHED, metric)]
    axes.plot(
        [weight for weight, _ in found], [number.value for _, number in found], color=BLUE, marker="o", markersize=4
    )


def _finding(context: Context, runs: pd.DataFrame, curves: list[Curve]) -> str:
    """Of each curve, the weights whose accuracy under attack is the highest, or can't be told apart from it by paired
    intervals, and how the highest compares with matched real images."""
    parts, attack = [], context.attack_label(REFERENCE)
    for curve in curves:
        levels = {
            weight: interval(rows)
            for weight, name in curve.recipes.items()
            if len(rows := of_attack(runs, name, REFERENCE))
        }
        if not levels:
            continue
        best = max(levels, key=lambda weight: levels[weight].estimate)
        top = of_attack(runs, curve.recipes[best], REFERENCE)
        less = {weight: paired(top, of_attack(runs, curve.recipes[weight], REFERENCE), "points") for weight in levels}
        near = [f"{weight:g}" for weight, values in less.items() if values.size and crossed_interval(values).low <= 0]
        part = f"{listed(near)} with {curve.label} ({printed(levels[best], '%')} at {best:g}"
        matched = of_attack(runs, curve.matched, REFERENCE) if curve.matched else runs.iloc[:0]
        more = paired(top, matched, "points") if len(matched) else matched
        if more.size:
            part += f"; minus {MATCHED}: {printed(crossed_interval(more), 'points')}"
        parts.append(f"{part})")
    if not parts:
        return f"No accuracy under {attack} is known."
    return (
        f"Accuracy under {attack} is highest, or by paired 95 % intervals can't be told apart from the highest, at "
        f"weights of {'; '.join(parts)}. The highest is picked by these numbers, and so rather too high."
    )


def _caption(context: Context, runs: pd.DataFrame, dataset: str) -> str:
    text = (
        f"Left: clean accuracy and accuracy under {context.attack_label(REFERENCE)} on "
        f"{context.dataset_title(dataset)} against the weight gamma of the real images in the loss, best checkpoints, "
        "with 95 % intervals over seeds and images. Do not compare two points of a curve by these intervals: both "
        "points are of the same images, and their difference is known better. Weight 0: generated images alone; "
        "weight 1: real ones alone; both with half as many images a step as the mixtures between. The line across: "
        "real images alone, as many a step and as many steps as a mixture has, with its interval. Right: what the "
        "authors reported to their reviewers (one run each, another dataset and network; the attack is not named), on "
        "axes of their own."
    )
    return " ".join([text, *threats.notes(runs, context)])
