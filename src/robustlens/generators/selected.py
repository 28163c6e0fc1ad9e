"""A pool that has some of the images of another pool."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.atomic import replacing
from robustlens.data.array_file import array_file
from robustlens.data.pool import FILES
from robustlens.data.prepared import Split
from robustlens.generators.pool import CHUNK_VALUES

TABLE = "selection.parquet"
LABEL_BYTES = 8


def write_selected(folder: Path, pool: Split, kept: np.ndarray, report: Callable[[int], None] = lambda _: None) -> None:
    """Write the images of a pool at the positions `kept` (n,), and their labels, in the order of the pool: images.npy,
    uint8 (n, C, H, W), and labels.npy, int64 (n,).

    Images are copied in chunks, so that a pool need not fit into memory. report: called with the number of images
    written now and then. Raises RobustlensError, with how much is needed, where they don't fit on the disk.
    """
    where, shape = np.sort(kept), pool.images.shape[1:]
    size = int(np.prod(shape))
    chunk = max(1, CHUNK_VALUES // size)
    with array_file(folder / FILES[0], (len(where), *shape), np.uint8, len(where) * (size + LABEL_BYTES)) as file:
        for start in range(0, len(where), chunk):
            file.write(np.ascontiguousarray(pool.images[where[start : start + chunk]]))
            report(min(start + chunk, len(where)))
    with array_file(folder / FILES[1], (len(where),), np.int64, len(where) * LABEL_BYTES) as file:
        file.write(np.ascontiguousarray(pool.labels[where], np.int64))


def write_table(path: Path, pool: Split, kept: np.ndarray, scores: np.ndarray | None) -> None:
    """One row per image of the pool that was selected from, in its order: index (from 0), label, score (missing where
    images were taken by chance) and kept.

    kept: positions (n,). scores: (N,); None: there are none.
    """
    chosen = np.zeros(len(pool.labels), bool)
    chosen[kept] = True
    columns = {
        "index": np.arange(len(pool.labels)),
        "label": pool.labels,
        "score": np.full(len(pool.labels), np.nan) if scores is None else scores,
        "kept": chosen,
    }
    with replacing(path) as temporary:
        pd.DataFrame(columns).to_parquet(temporary, index=False)
