"""What becomes of images that were attacked into a class that is not trained on, and of the accuracy of the others."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from robustlens.analysis.class_removal import (
    ROBUST_WITHOUT_B,
    ROBUST_WITHOUT_C,
    accuracy_changes,
    fates,
    share_interval,
)
from robustlens.analysis.frames import one_dataset
from robustlens.analysis.statistics import crossed_interval
from robustlens.report import threats
from robustlens.report.cells import number
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, BLUE, ORANGE, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import printed, short
from studies.classwise.class_names import read_class_names
from studies.classwise.removal import RULE, Removal, read_removal, removals
from studies.classwise.results import REFERENCE

SIDES = ((ROBUST_WITHOUT_B, "without B", BLUE, "o", -0.12), (ROBUST_WITHOUT_C, "without C", ORANGE, "s", 0.12))
COLOURS = "RdBu"


@styled
def build(context: Context, *, evaluations: list[Path], history: list[Path], names: list[Path]) -> Drawing:
    """evaluations, history: of recipes and of those that train like them without a class, on one dataset; names: of its
    classes."""
    runs = read_removal(context, evaluations, history)
    dataset = one_dataset(runs)
    named, found = read_class_names(names)[dataset].names, removals(context, runs)
    figure = Figure(figsize=(TEXT_WIDTH, 3.1 * len(found)), layout="constrained")
    panels = figure.subplots(len(found), 2, squeeze=False, width_ratios=[1.2, 1])
    for (left, right), (base, removal) in zip(panels, found.items(), strict=True):
        left.set_title(drawn(context.recipe_label(base)), loc="left")
        _robust_again(left, removal, named)
        _changes(right, removal, named)
    attack = context.attack_label(REFERENCE)
    text = "".join(_context_effect(context, base, removal) for base, removal in found.items())
    text += (
        f"Training without one class of {context.dataset_title(dataset)}. Left: the images of class A that {attack} "
        "turns into B (their number is below), and the share of them that is robust when B, or the control C, is not "
        "trained on; with 95 % intervals. Right: by how many points the robust accuracy of each class (row) changes "
        f"when another one (column) is not trained on; the frame marks its B. {RULE}"
    )
    caption = context.caption(" ".join([text, *threats.notes(runs, context)]))
    return Drawing(figure, "Training without one class", caption)


def _context_effect(context: Context, base: str, removal: Removal) -> str:
    """The mean of the framed numbers, and that of the others in the same rows, with intervals over the rows."""
    compared, changes = removal.compared(), 100 * accuracy_changes(removal.answers, removal.classes)
    if not compared:
        return ""
    confusers = [changes[one.attacked, one.confuser] for one in compared]
    others = [np.nanmean(np.delete(changes[one.attacked], one.confuser)) for one in compared]
    without_b, without_others = (_mean(part) for part in (confusers, others))
    return (
        f"When {context.recipe_label(base)} is not trained on the class B that a class A is mostly taken for, the "
        f"robust accuracy of A changes by {without_b}; when it is not trained on another class, by {without_others} "
        "(means over the classes A, with 95 % intervals over these). "
    )


def _mean(points: list[float]) -> str:
    """Over classes, with its interval where there are several."""
    return printed(crossed_interval(np.array([points])), "points") if len(points) > 1 else f"{short(points[0])} points"


def _robust_again(axes: Axes, removal: Removal, named: tuple[str, ...]) -> None:
    compared = removal.compared()
    parts = {f"{named[one.attacked]}\u2192{named[one.confuser]}": [one] for one in compared} | {"all": compared}
    labels = []
    for place, (title, part) in enumerate(parts.items() if compared else ()):
        found = fates(removal.answers, part)
        labels.append(f"{drawn(title)}\n{found.count}")
        for kind, label, colour, marker, shift in SIDES:
            interval = share_interval(found, kind)
            points = {"color": colour, "marker": marker, "markersize": 4, "linestyle": ""}
            axes.plot(place + shift, 100 * interval.estimate, label=label if place == 0 else "", **points)
            axes.vlines(place + shift, 100 * interval.low, 100 * interval.high, color=colour, linewidth=0.8)
    turned = {"rotation": 90} if max(map(len, named)) > 2 else {}
    axes.set_xticks(range(len(labels)), labels, fontsize=7, **turned)
    axes.set_ylim(-2, 102)
    axes.set_ylabel("robust (%)")
    axes.set_xlabel("A\u2192B, and number of images")
    if labels:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=2)


def _changes(axes: Axes, removal: Removal, named: tuple[str, ...]) -> None:
    changes, removed = 100 * accuracy_changes(removal.answers, removal.classes), sorted(removal.answers.without)
    shown = changes[:, removed]
    top = max(float(np.nanmax(np.abs(shown))), 1.0)
    image = axes.imshow(shown, cmap=COLOURS, vmin=-top, vmax=top)
    for row, column in np.argwhere(np.isfinite(shown)):
        shade = "white" if abs(shown[row, column]) > 0.6 * top else BLACK
        axes.text(column, row, number(shown[row, column], 0), ha="center", va="center", fontsize=7, color=shade)
    for comparison in removal.compared():
        corner = removed.index(comparison.confuser) - 0.5, comparison.attacked - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=BLACK, linewidth=1))
    turned = {"rotation": 90} if max(map(len, named)) > 2 else {}
    axes.set_xticks(range(len(removed)), [drawn(named[k]) for k in removed], fontsize=7, **turned)
    axes.set_yticks(range(removal.classes), [drawn(name) for name in named], fontsize=7)
    axes.tick_params(length=0)
    axes.set_xlabel("class that is not trained on")
    axes.set_ylabel("class")
    axes.figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, label="change of robust accuracy (points)")
