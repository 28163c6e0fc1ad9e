"""Images generated from each classifier, a few of each class, beside real ones and those they are nearest to."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from robustlens.analysis.frames import read_scores, run_of
from robustlens.data.prepared import Split, load
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import INK, TEXT_WIDTH, Drawing, drawn, side_by_side, styled
from robustlens.report.finding import short
from robustlens.report.lists import listed

MOST_CLASSES, COLUMNS = 10, 20  # classes that are shown, and images side by side
VALUES = 2**24  # of training images that are compared at a time, at most
LABELS = 1.05  # inches, to the left of the images


@styled
def build(context: Context, *, samples: list[Path], scores: list[Path], data: list[Path]) -> Drawing:
    """samples: one `samples.npz` per recipe, of one dataset, with images float32 (N, C, H, W) in [0, 1] and labels
    int64 (N,). scores: the `scores.json` beside each. data: the dataset's sheet, its arrays beside it. At most the
    first ten classes are shown.
    """
    datasets = {run_of(path)[0] for path in samples}
    if len(datasets) != 1:
        raise RobustlensError(f"a figure shows one dataset, got samples of {', '.join(sorted(datasets)) or 'none'}")
    title = context.dataset_title(*datasets)
    generated = {}
    for path in samples:
        with np.load(path, allow_pickle=False) as arrays:
            generated[run_of(path)[1]] = arrays["images"], arrays["labels"]
    images, labels = next(iter(generated.values()))
    (sheet,) = data
    prepared = load(sheet.parent, ["train"])
    shape = images.shape[-1]
    if shape < min(prepared.sheet["shape"][1:]):
        prepared = load(sheet.parent, ["train"], crop=shape)
    train = prepared.splits["train"]
    classes = np.unique(labels)[:MOST_CLASSES]
    each = max(1, COLUMNS // len(classes))
    rows = {"real images": train.pixels(_first(np.asarray(train.labels), classes, each))}
    for recipe, (pictures, of_class) in generated.items():
        shown = _first(of_class, classes, each)
        rows[context.recipe_label(recipe)] = pictures[shown]
        rows[f"nearest to {context.recipe_label(recipe)}"] = train.pixels(
            np.array([nearest(train, pictures[position], of_class[position]) for position in shown])
        )
    fewer = "" if len(classes) == prepared.classes else f", the first {len(classes)} of {prepared.classes}"
    text = (
        f"{_finding(scores, context)} Top row: real training images of {title}. Below: images generated from each "
        f"classifier, the first {each} of each class{fewer}, not chosen, and under each image the training image of "
        "its class that is nearest in L2. Where the two look alike, the generated image is a copy."
    )
    return Drawing(_drawn(rows), "Generated images", context.caption(text))


def _finding(scores: list[Path], context: Context) -> str:
    """How far the generated images of each recipe are from the training images, in the median over seeds."""
    runs = read_scores(scores)
    known = runs.dropna(subset=["nearest_training_distance_median"])
    if known.empty:
        return "How far the generated images are from the training images was not measured."
    middle = known.groupby("recipe", sort=False)["nearest_training_distance_median"].median()
    parts = [f"{short(value, 3)} for {context.recipe_label(recipe)}" for recipe, value in middle.items()]
    return (
        f"The median distance of a generated image to the nearest training image is {listed(parts)} (L2, pixels from 0 "
        "to 1)."
    )


def _first(labels: np.ndarray, classes: np.ndarray, each: int) -> np.ndarray:
    """Positions of the first images of each class, class after class."""
    return np.concatenate([np.flatnonzero(labels == label)[:each] for label in classes])


def nearest(train: Split, image: np.ndarray, label: int) -> int:
    """The position of the training image of a class that is nearest in L2 to an image (C, H, W), of equal ones the
    first. Differences are taken pixel by pixel, a block of training images at a time."""
    own = np.flatnonzero(np.asarray(train.labels) == label)
    size = max(1, VALUES // image.size)
    squares = [
        np.square(train.pixels(own[start : start + size]) - image.astype(np.float64)).sum(axis=(1, 2, 3))
        for start in range(0, len(own), size)
    ]
    return int(own[np.concatenate(squares).argmin()])


def _drawn(rows: dict[str, np.ndarray]) -> Figure:
    """A strip of images for each label; real images and each recipe, with what it is nearest to, stand apart."""
    strips = {label: side_by_side(images) for label, images in rows.items()}
    height, width = next(iter(strips.values())).shape[:2]
    inch = (TEXT_WIDTH - LABELS) / width * height
    tops, top = [], 0.0
    for number in range(len(strips)):
        top += 0.06 if number == 0 or number % 2 == 0 else 0.14
        tops.append(top)
        top += inch
    total = top + 0.06
    figure = Figure(figsize=(TEXT_WIDTH, total))
    for (label, pictures), above in zip(strips.items(), tops, strict=True):
        box = (LABELS / TEXT_WIDTH, 1 - (above + inch) / total, 1 - LABELS / TEXT_WIDTH, inch / total)
        axes = figure.add_axes(box)
        axes.imshow(pictures.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        axes.axis("off")
        text = "nearest" if label.startswith("nearest to ") else label
        shade, size = (INK, 7.5) if text == "nearest" else ("black", 8.5)
        axes.text(
            -0.01, 0.5, drawn(text), transform=axes.transAxes, ha="right", va="center", color=shade, fontsize=size
        )
    return figure
