"""Where attacked images go: confusion matrices of a recipe, attack by attack, of classes and of groups of classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage

from robustlens.analysis.confusion import aggregated, confusion_rates
from robustlens.analysis.frames import one_dataset, one_recipe
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.cells import number
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.lists import listed
from studies.classwise.class_names import read_class_names
from studies.classwise.errors import ATTACKS, CASCADE, groups_of, mean_rates
from studies.classwise.results import best_runs

MOST = 30  # classes; of more, only their groups are shown
FEW = 8  # groups; fewer take less room
LONG = 24  # letters of a cluster's title; if one has more, all are only numbered at the axes
TICKS = 20  # classes or groups at the axes; of more, every second one, or every third
NUMBERED = 12  # with more rows than that, cells have no numbers
COLOURS = "Blues"


@styled
def build(context: Context, *, evaluations: list[Path], names: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one recipe on one dataset; names: of its classes."""
    runs = best_runs(context, evaluations)
    dataset, recipe = one_dataset(runs), one_recipe(runs)
    named, parts = read_class_names(names)[dataset], dict(iter(runs.groupby("attack", sort=False)))
    parts = {attack: parts[attack] for attack in ATTACKS if attack in parts}
    if not parts:
        raise RobustlensError(f"no {' or '.join(ATTACKS)} on {dataset}; add one to the evaluation suite")
    classes = len(named.names)
    rates = {_title(context, attack, part): mean_rates(part, classes) for attack, part in parts.items()}
    titles, groups = groups_of(named, parts)
    labels, told = titles, titles
    if not named.superclasses and max(map(len, titles)) > LONG:
        labels = [f"cluster {number}" for number in range(1, len(titles) + 1)]
        told = [f"{label}: {title}" for label, title in zip(labels, titles, strict=True)]
    between = {title: confusion_rates(aggregated(np.nan_to_num(matrix), groups)) for title, matrix in rates.items()}
    several = 1 < len(groups) < classes
    heights = [3.0] * (classes <= MOST) + [2.1 if len(groups) < FEW else 3.3] * several
    width = TEXT_WIDTH if len(parts) > 1 else 0.7 * TEXT_WIDTH
    figure = Figure(figsize=(width, 0.4 + sum(heights)), layout="constrained")
    label = context.recipe_label(recipe)
    figure.suptitle(drawn(label), fontsize=10)
    blocks = iter(np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights)))
    if classes <= MOST:
        # Clusters differ between recipes, and the classes of their figures are to be in the same order.
        order = [c for group in groups for c in group] if named.superclasses else list(range(classes))
        ends = np.cumsum([len(group) for group in groups])[:-1] if named.superclasses else ()
        matrices = {title: matrix[np.ix_(order, order)] for title, matrix in rates.items()}
        _panels(next(blocks), matrices, [named.names[c] for c in order], ends)
    if several:
        _panels(next(blocks), between, labels)
    text = (
        f"{_finding(rates, named.names, label)} Predictions of {label} on attacked test images of "
        f"{context.dataset_title(dataset)}, best checkpoint, in % of the images of the true class (row): mean over the "
        "seeds. Only errors are coloured."
    )
    if len({part["index"].nunique() for part in parts.values()}) > 1:
        text += " Where an attack has fewer images, these are among those of the other attacks."
    if min(classes, len(groups)) <= NUMBERED:
        text += " The diagonal has robust accuracies or, of groups of classes, the share that stays in its group."
    if several and named.superclasses:
        text += f" {'Lines and the lower' if classes <= MOST else 'The'} panels show superclasses."
    elif several:
        lower = "The lower panels" if classes <= MOST else "The panels"
        text += f" {lower} show clusters of the mean of these matrices (ours): {'; '.join(told)}."
    text += f" {CASCADE}" * ("autoattack" in parts)
    caption = context.caption(" ".join([text, *threats.notes(runs, context)]))
    return Drawing(figure, f"Where attacked images go: {label}", caption)


def _finding(rates: dict[str, np.ndarray], named: Sequence[str], label: str) -> str:
    """Where the largest share of a class goes, attack by attack."""
    parts = []
    for title, matrix in rates.items():
        errors = np.where(np.eye(len(matrix), dtype=bool), -1.0, np.nan_to_num(matrix))
        true, prediction = np.unravel_index(errors.argmax(), errors.shape)
        share = number(100 * errors[true, prediction], 0)
        parts.append(
            f"{share} % of class {named[true]} are taken for {named[prediction]} under {title.rpartition(', ')[0]}"
        )
    return f"The largest error of {label}, picked as the largest and so rather too high: {listed(parts)}."


def _title(context: Context, attack: str, part: pd.DataFrame) -> str:
    return f"{context.attack_label(attack)}, {part['index'].nunique():,} images"


def _panels(part: SubFigure, matrices: dict[str, np.ndarray], labels: Sequence[str], ends: Sequence[int] = ()) -> None:
    """The matrices, by their titles, beside one another in one scale, with lines before the classes `ends`."""
    errors = [np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix) for matrix in matrices.values()]
    top = 100 * max(float(np.nanmax(matrix)) for matrix in errors)
    panels = part.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (title, matrix) in zip(panels, matrices.items(), strict=True):
        image = _matrix(axes, 100 * matrix, top, labels)
        axes.set_title(drawn(title))
        axes.set_xlabel("prediction")
        for end in ends:
            axes.axhline(end - 0.5, color=GREY, linewidth=0.8)
            axes.axvline(end - 0.5, color=GREY, linewidth=0.8)
    panels[0].set_ylabel("true class")
    for axes in panels[1:]:
        axes.set_yticklabels([])
    part.colorbar(image, ax=panels, shrink=0.6, aspect=30, label="errors (%)")


def _matrix(axes: Axes, percent: np.ndarray, top: float, labels: Sequence[str]) -> AxesImage:
    size = len(percent)
    diagonal = np.eye(size, dtype=bool)
    image = axes.imshow(np.where(diagonal, np.nan, percent), cmap=COLOURS, vmin=0, vmax=top)
    shown = [drawn(label) for label in labels]
    each = -(-size // TICKS)
    turned = {"rotation": 90} if max(map(len, labels)) > 2 else {}
    axes.set_xticks(range(0, size, each), shown[::each], fontsize=7, **turned)
    axes.set_yticks(range(0, size, each), shown[::each], fontsize=7)
    axes.tick_params(length=0)
    for i, j in np.argwhere(np.isfinite(percent)) if size <= NUMBERED else ():
        if i == j or percent[i, j] >= 0.5:
            shade = "white" if i != j and percent[i, j] > 0.6 * top else BLACK
            axes.text(j, i, f"{percent[i, j]:.0f}", ha="center", va="center", fontsize=7, color=shade)
    return image
