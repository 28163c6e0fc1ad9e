"""Images of each generator, each above the training image that it is nearest to, so that copies can be seen."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from robustlens.data.pool import load_pool
from robustlens.data.prepared import PreparedDataset, Split, load
from robustlens.report.context import Context
from robustlens.report.figure import TEXT_WIDTH, Drawing, drawn, side_by_side, styled
from robustlens.report.finding import extremes

MOST_CLASSES, COLUMNS = 10, 20  # classes that are shown, and images side by side
VALUES = 2**24  # of training images that are compared at a time, at most
GAP = 0.15  # of white between a generator and the next one, in images


@styled
def build(context: Context, *, pools: list[Path], data: list[Path]) -> Drawing:
    """pools: `images.npy` of generators with their labels beside them, all fitted to one dataset. data: its sheet."""
    (sheet,) = data
    prepared = load(sheet.parent, ["train"])
    train = prepared.splits["train"]
    classes = range(min(MOST_CLASSES, prepared.classes))
    each = max(1, COLUMNS // len(classes))
    labels = _labels(context)
    distances: dict[str, float] = {}
    rows = {"training images": [side_by_side(train.pixels(_first(train, classes, each)))]}
    for path in pools:
        pool = load_pool(path.parent, prepared)
        shown = _first(pool, classes, each)
        nearest = np.array([_nearest(train, pool, position) for position in shown])
        label = labels.get(path.parent.name, path.parent.name)
        apart = np.square(pool.pixels(shown) - train.pixels(nearest)).sum(axis=(1, 2, 3))
        distances[label] = float(np.median(np.sqrt(apart)))
        rows[label] = [side_by_side(pool.pixels(shown)), side_by_side(train.pixels(nearest))]
    title = context.dataset_title(next(iter(context.datasets), prepared.sheet["name"]))
    fewer = "" if len(classes) == prepared.classes else f", the first {len(classes)} of {prepared.classes}"
    text = (
        f"{_finding(distances)}Images of {title}: the first {each} of each class{fewer}, not chosen. Of each "
        "generator, above: what it generated; below each image: the training image of its class that is nearest in "
        "L2. Where the two look alike, the generator copies."
    )
    return Drawing(_drawn(rows, prepared), "Generated images and what they are nearest to", context.caption(text))


def _finding(distances: dict[str, float]) -> str:
    """distances: of each generator, the median over the images shown."""
    if not distances:
        return ""
    return f"The median L2 distance of these images to the nearest training image is {extremes(distances)}. "


def _labels(context: Context) -> dict[str, str]:
    """Of generators, by their names."""
    mixes = [mix for recipe in context.recipes if (mix := context.mix(recipe))]
    return {mix["generator"]: mix["label"] for mix in mixes}


def _first(split: Split, classes: range, each: int) -> np.ndarray:
    """Positions of the first images of each class, class after class."""
    return np.concatenate([np.flatnonzero(split.labels == label)[:each] for label in classes])


def _nearest(train: Split, pool: Split, position: int) -> int:
    """The position of the training image of the same class that is nearest to an image of the pool, of equal ones the
    first. Differences are taken pixel by pixel, a block of training images at a time."""
    image = pool.pixels(np.array([position])).astype(np.float64)
    own = np.flatnonzero(train.labels == pool.labels[position])
    size = max(1, VALUES // image.size)
    squares = [
        np.square(train.pixels(own[start : start + size]) - image).sum(axis=(1, 2, 3))
        for start in range(0, len(own), size)
    ]
    return int(own[np.concatenate(squares).argmin()])


def _drawn(rows: dict[str, list[np.ndarray]], prepared: PreparedDataset) -> Figure:
    """One panel for each label, its strips one above the other."""
    widest = max(strip.shape[1] for strips in rows.values() for strip in strips)
    stacks = {label: _stacked(strips, widest) for label, strips in rows.items()}
    heights = [stack.shape[0] for stack in stacks.values()]
    inch = (TEXT_WIDTH - 1.3) / widest
    figure = Figure(figsize=(TEXT_WIDTH, math.fsum(heights) * inch * (1 + GAP) + 0.1), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.02, w_pad=0.02, hspace=0.0)
    panels = figure.subplots(len(stacks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (label, stack) in zip(panels, stacks.items(), strict=True):
        axes.imshow(stack.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
        axes.set_ylabel(drawn(label).replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure


def _stacked(strips: list[np.ndarray], width: int) -> np.ndarray:
    """One above the other, with a white line between and white to the right of shorter ones."""
    line = max(1, strips[0].shape[0] // 16)
    height, channels = strips[0].shape[0], strips[0].shape[2]
    stack = np.ones((len(strips) * (height + line) - line, width, channels), dtype=np.float32)
    for number, strip in enumerate(strips):
        top = number * (height + line)
        stack[top : top + height, : strip.shape[1]] = strip
    return stack
