"""A pool: images of every class from a generator, on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robustlens.data.array_file import array_file
from robustlens.data.pool import FILES, LEVELS
from robustlens.errors import RobustlensError

CHUNK_VALUES = 2**20  # of images that are drawn together; in float64 they take 8 MiB


def write_pool(
    folder: Path,
    fitted: Any,
    shape: tuple[int, ...],
    classes: int,
    per_class: int,
    seed: int,
    report: Callable[[int], None] = lambda _: None,
    labelled: Callable[[np.ndarray], np.ndarray] | None = None,
) -> None:
    """Write images of a fitted generator (see the package): images.npy, uint8 (N, C, H, W) with values 0..LEVELS, and
    labels.npy, int64 (N,).

    Of each class `per_class` images, one class after another, or as many in all where `labelled` gives them their
    labels: it gets images float32 (n, C, H, W) in [0, 1] as they are in the file. shape: (C, H, W).
    Images are drawn and written in chunks, so that a pool need not fit into memory. Each class has a random stream of
    its own. report: called with the number of images written now and then.
    Raises RobustlensError for images that are not finite, not in [0, 1] or of another shape, and, with how much is
    needed, where the pool doesn't fit on the disk.
    """
    total, size = classes * per_class, int(np.prod(shape))
    parts = [(None, total, 1)] if labelled else [(label, per_class, 1 + label) for label in range(classes)]
    chunk, labels, written = max(1, CHUNK_VALUES // size), np.empty(total, np.int64), 0
    with array_file(folder / FILES[0], (total, *shape), np.uint8, total * (size + 8)) as file:
        for label, count, stream in parts:
            random = np.random.default_rng([seed, stream])
            for start in range(0, count, chunk):
                images = _drawn(fitted, label, min(chunk, count - start), shape, random)
                values = np.ascontiguousarray(np.rint(images * LEVELS), np.uint8)
                file.write(values)
                seen = labelled(values.astype(np.float32) / LEVELS) if labelled else label
                labels[written : written + len(values)] = seen
                written += len(values)
                report(written)
    with array_file(folder / FILES[1], (total,), np.int64, total * 8) as file:
        file.write(labels)


def _drawn(
    fitted: Any, label: int | None, count: int, shape: tuple[int, ...], random: np.random.Generator
) -> np.ndarray:
    images = fitted.sample(label, count, random)
    if images.shape != (count, *shape) or not (images.min() >= 0 and images.max() <= 1):  # NaN is neither
        of = "unlabelled images" if label is None else f"class {label}"
        raise RobustlensError(
            f"{of}: the generator drew images of shape {images.shape} from {images.min():.3g} to "
            f"{images.max():.3g}, where {(count, *shape)} in [0, 1] belong; correct its `sample`"
        )
    return images
