"""A pool: images of every class from a generator, on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robustlens.data.array_file import array_file
from robustlens.data.pool import FILES, LEVELS
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError

CHUNK_VALUES = 2**20  # of images that are drawn together; in float64 they take 8 MiB


def write_pool(
    folder: Path,
    generator: Any,
    train: Split,
    classes: int,
    per_class: int,
    seed: int,
    report: Callable[[int], None] = lambda _: None,
) -> None:
    """Fit a generator (see the package) to the training split, and write `per_class` images of each class: images.npy,
    uint8 (N, C, H, W) with values 0..LEVELS, and labels.npy, int64 (N,), one class after another.

    Images are drawn and written in chunks, so that a pool need not fit into memory. The fit and each class have a
    random stream of their own. report: called with the number of images written now and then.
    Raises RobustlensError for a class without enough training images, for images that are not finite, not in [0, 1] or
    of another shape, and, with how much is needed, where the pool doesn't fit on the disk.
    """
    shape = train.images.shape[1:]
    fitted = generator.fit(train.pixels(), train.labels, classes, np.random.default_rng([seed, 0]))
    labels = np.repeat(np.arange(classes, dtype=np.int64), per_class)
    size = int(np.prod(shape))
    chunk, written = max(1, CHUNK_VALUES // size), 0
    with array_file(folder / FILES[0], (len(labels), *shape), np.uint8, labels.size * size + labels.nbytes) as file:
        for label in range(classes):
            random = np.random.default_rng([seed, 1 + label])
            for start in range(0, per_class, chunk):
                images = _drawn(fitted, label, min(chunk, per_class - start), shape, random)
                file.write(np.ascontiguousarray(np.rint(images * LEVELS), np.uint8))
                written += len(images)
                report(written)
    with array_file(folder / FILES[1], labels.shape, np.int64, labels.nbytes) as file:
        file.write(labels)


def _drawn(fitted: Any, label: int, count: int, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    images = fitted.sample(label, count, random)
    if images.shape != (count, *shape) or not (images.min() >= 0 and images.max() <= 1):  # NaN is neither
        raise RobustlensError(
            f"class {label}: the generator drew images of shape {images.shape} from {images.min():.3g} to "
            f"{images.max():.3g}, where {(count, *shape)} in [0, 1] belong; correct its `sample`"
        )
    return images
