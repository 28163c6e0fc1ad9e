"""Images generated from each classifier, a few of each class."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from robustlens.analysis.frames import run_of
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import TEXT_WIDTH, Drawing, drawn, styled

MOST_CLASSES, PER_CLASS = 10, 3


@styled
def build(context: Context, *, samples: list[Path]) -> Drawing:
    """samples: one `samples.npz` per recipe, of one dataset, with images float32 (N, C, H, W) in [0, 1] and labels
    int64 (N,). At most the first ten classes are shown.
    """
    datasets = {run_of(path)[0] for path in samples}
    if len(datasets) != 1:
        raise RobustlensError(f"a figure shows one dataset, got samples of {', '.join(sorted(datasets)) or 'none'}")
    title = context.dataset_title(*datasets)
    figure = Figure(figsize=(TEXT_WIDTH, 0.2 + 0.22 * len(samples)), layout="constrained")
    mosaics = []
    for path in samples:
        with np.load(path, allow_pickle=False) as arrays:
            mosaics.append(_mosaic(arrays["images"], arrays["labels"]))
    columns = min(2, len(samples))
    rows = -(-len(samples) // columns)
    height = TEXT_WIDTH / columns * mosaics[0].shape[0] / mosaics[0].shape[1] + 0.25
    figure.set_size_inches(TEXT_WIDTH, rows * height)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, path, mosaic in zip(panels, samples, mosaics, strict=False):
        axes.imshow(mosaic.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(drawn(context.recipe_label(run_of(path)[1])))
    for axes in panels:
        axes.axis("off")
    text = (
        f"Images generated from each classifier trained on {title}, one column per class; the first {PER_CLASS} "
        "of each class, not chosen."
    )
    return Drawing(figure, "Generated images", context.caption(text))


def _mosaic(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(H', W', C): one column per class, its first images from top to bottom, white lines between."""
    classes = np.unique(labels)[:MOST_CLASSES]
    channels, height, width = images.shape[1:]
    mosaic = np.ones((PER_CLASS * (height + 1) - 1, len(classes) * (width + 1) - 1, channels), dtype=np.float32)
    for column, y in enumerate(classes):
        for row, image in enumerate(images[labels == y][:PER_CLASS]):
            top, left = row * (height + 1), column * (width + 1)
            mosaic[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return mosaic
