"""Where attacked images go: confusion matrices of all recipes, class by class and between groups of classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage

from robustlens.analysis.confusion import aggregated, confusion_rates
from robustlens.analysis.frames import one_dataset
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, GREY, TEXT_WIDTH, Drawing, drawn, styled
from studies.classwise.class_names import read_class_names
from studies.classwise.errors import groups_of, mean_rates
from studies.classwise.results import REFERENCE, best_runs, by_recipe

MOST = 30  # classes; of more, only their groups are shown
FEW = 8  # groups; of as few, twice as many panels fit in a row
LONG = 24  # letters of a cluster's title; if one has more, all are only numbered at the axes
NUMBERED = 12  # with more rows than that, cells have no numbers
COLOURS = "Blues"


@styled
def build(context: Context, *, evaluations: list[Path], names: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset; names: of its classes."""
    runs = best_runs(context, evaluations)
    dataset = one_dataset(runs)
    named, parts = read_class_names(names)[dataset], by_recipe(runs, REFERENCE)
    if not parts:
        raise RobustlensError(f"no {REFERENCE} on {dataset}; add it to the evaluation suite")
    classes = len(named.names)
    titles, groups = groups_of(named, parts)
    labels, listed = titles, titles
    if not named.superclasses and max(map(len, titles)) > LONG:
        labels = [f"cluster {number}" for number in range(1, len(titles) + 1)]
        listed = [f"{label}: {title}" for label, title in zip(labels, titles, strict=True)]
    rates = {recipe: mean_rates(part, classes) for recipe, part in parts.items()}
    between = {recipe: confusion_rates(aggregated(np.nan_to_num(matrix), groups)) for recipe, matrix in rates.items()}
    several = 1 < len(groups) < classes
    beside = min(4 if len(groups) < FEW else 2, len(parts))
    heights = [3.0 * -(-len(parts) // 2)] * (classes <= MOST)
    heights += [(2.1 if len(groups) < FEW else 3.3) * -(-len(parts) // beside)] * several
    width = TEXT_WIDTH if len(parts) > 1 else 0.7 * TEXT_WIDTH
    figure = Figure(figsize=(width, 0.3 + sum(heights)), layout="constrained")
    blocks = iter(np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights)))
    if classes <= MOST:
        order = [c for group in groups for c in group]
        ends = np.cumsum([len(group) for group in groups])[:-1]
        matrices = {recipe: matrix[np.ix_(order, order)] for recipe, matrix in rates.items()}
        _panels(next(blocks), context, matrices, [named.names[c] for c in order], min(2, len(parts)), ends)
    if several:
        _panels(next(blocks), context, between, labels, beside)
    kind = "superclasses" if named.superclasses else "clusters of the mean of these matrices (ours)"
    text = (
        f"Predictions on test images of {context.dataset_title(dataset)} under {context.attack_label(REFERENCE)}, best "
        "checkpoints: in % of the images of the true class (row), mean over the seeds. Colours show errors only."
    )
    if min(classes, len(groups)) <= NUMBERED:
        text += " Numbers on the diagonal are robust accuracies or, of groups, what stays inside."
    if several:
        text += f" {'Lines and the lower panels' if classes <= MOST else 'Panels'} show {kind}"
        text += "." if named.superclasses else f": {'; '.join(listed)}."
    return Drawing(figure, "Where attacked images go", context.caption(" ".join([text, *threats.notes(runs, context)])))


def _panels(
    part: SubFigure,
    context: Context,
    matrices: dict[str, np.ndarray],
    labels: Sequence[str],
    beside: int,
    ends: Sequence[int] = (),
) -> None:
    """One matrix per recipe, all in one scale, with lines before the classes `ends`. beside: panels in a row."""
    errors = [np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix) for matrix in matrices.values()]
    top = 100 * max(float(np.nanmax(matrix)) for matrix in errors)
    panels = part.subplots(-(-len(matrices) // beside), beside, squeeze=False)
    for axes in panels.flat[len(matrices) :]:
        axes.axis("off")
    for position, (axes, recipe) in enumerate(zip(panels.flat, matrices, strict=False)):
        image = _matrix(axes, 100 * matrices[recipe], top, labels)
        axes.set_title(drawn(context.recipe_label(recipe)))
        for end in ends:
            axes.axhline(end - 0.5, color=GREY, linewidth=0.8)
            axes.axvline(end - 0.5, color=GREY, linewidth=0.8)
        if position % beside:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("true class")
        if position < len(matrices) - beside:
            axes.set_xticklabels([])
        else:
            axes.set_xlabel("prediction")
    part.colorbar(image, ax=panels, shrink=0.6, aspect=30, label="errors (%)")


def _matrix(axes: Axes, percent: np.ndarray, top: float, labels: Sequence[str]) -> AxesImage:
    size = len(percent)
    diagonal = np.eye(size, dtype=bool)
    image = axes.imshow(np.where(diagonal, np.nan, percent), cmap=COLOURS, vmin=0, vmax=top)
    shown = [drawn(label) for label in labels]
    small = 7 if size <= NUMBERED else 4.5
    turned = {"rotation": 90} if max(map(len, labels)) > 2 else {}
    axes.set_xticks(range(size), shown, fontsize=small, **turned)
    axes.set_yticks(range(size), shown, fontsize=small)
    axes.tick_params(length=0)
    for i, j in np.argwhere(np.isfinite(percent)) if size <= NUMBERED else ():
        if i == j or percent[i, j] >= 0.5:
            shade = "white" if i != j and percent[i, j] > 0.6 * top else BLACK
            axes.text(j, i, f"{percent[i, j]:.0f}", ha="center", va="center", fontsize=6, color=shade)
    return image
