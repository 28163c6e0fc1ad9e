"""Some images of a published set, as a pool of a dataset."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustlens.data.array_file import array_file
from robustlens.data.pool import FILES
from robustlens.errors import RobustlensError

LABEL_BYTES = 8
REPORT_EVERY = 1000  # images


def classes_of(sheet: dict) -> tuple[list[str], list[int]]:
    """The names of a dataset's classes, and the numbers of those that the prepared dataset with this sheet keeps."""
    whole = sheet.get("classes_of_source", {"names": sheet["classes"], "kept": list(range(len(sheet["classes"])))})
    return whole["names"], whole["kept"]


def import_set(
    published: Any,
    folder: Path,
    shape: tuple[int, int, int],
    kept: Sequence[int],
    per_class: int | None,
    seed: int,
    report: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Write images of a set (see the package) and their labels as a pool, in the order of the set: images.npy, uint8
    (N, C, H, W), and labels.npy, int64 (N,).

    kept: the numbers of the set's classes that the dataset has, ascending; they become 0, 1, ... per_class: so many
    images of each, drawn at random without one coming twice; None: all there are. report: called with (images written,
    images in all) now and then. Images are copied block by block, so that a set need not fit into memory.
    Raises RobustlensError for a class with too few images, and, with how much is needed, where the pool doesn't fit on
    the disk.
    """
    chosen = balanced(published.labels, kept, per_class, seed, published.path)
    labels = np.searchsorted(kept, published.labels[chosen])
    size, written, told = int(np.prod(shape)), 0, 0
    with array_file(folder / FILES[0], (len(chosen), *shape), np.uint8, len(chosen) * (size + LABEL_BYTES)) as file:
        start = file.tell()
        for first, images in published.images(chosen):
            file.seek(start + first * size)
            file.write(np.ascontiguousarray(images))
            written += len(images)
            if written >= min(told + REPORT_EVERY, len(chosen)):
                report(written, len(chosen))
                told = written
    with array_file(folder / FILES[1], labels.shape, np.int64, len(chosen) * LABEL_BYTES) as file:
        file.write(np.ascontiguousarray(labels, np.int64))


def balanced(labels: np.ndarray, kept: Sequence[int], per_class: int | None, seed: int, path: Path) -> np.ndarray:
    """Ascending positions of `per_class` images of each class in `kept`; None: of all of them. labels: int (N,).

    Never the first ones: published files are sorted by class, and some within a class by how sure a classifier is.
    Every class has a random stream of its own. Raises RobustlensError, naming `path`, for a class with too few images.
    """
    chosen = []
    for label in kept:
        positions = np.flatnonzero(labels == label)
        if len(positions) == 0:
            raise RobustlensError(f"{path}: no image of class {label}; take a set with all classes of the dataset")
        if per_class is not None:
            if len(positions) < per_class:
                raise RobustlensError(
                    f"{path}: class {label} has {len(positions)} image{'' if len(positions) == 1 else 's'}, fewer than "
                    f"{per_class}; lower `per_class` of the generator"
                )
            positions = np.random.default_rng([seed, label]).choice(positions, per_class, replace=False, shuffle=False)
        chosen.append(positions)
    return np.sort(np.concatenate(chosen))
