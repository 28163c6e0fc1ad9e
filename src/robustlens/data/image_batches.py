"""Pickled batches in the layout of CIFAR: a row of channel-major pixels an image, and a list of labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from robustlens.data import restricted_pickle
from robustlens.data.archives import RENEW, files
from robustlens.data.labels import checked_labels
from robustlens.data.source import Source
from robustlens.errors import RobustlensError


def read_batch(stream: BinaryIO, where: str, side: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The images of a pickled batch, uint8 (N, 3, side, side), and all that the batch holds, by key.

    Raises RobustlensError, naming `where`, for a pickle that is damaged or asks for more than arrays, and for `data`
    of any other type or shape.
    """
    batch = restricted_pickle.load(stream, where)
    rows = batch.get("data")
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape[1:] != (3 * side * side,):
        found = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise RobustlensError(f"{where}: its `data` is {found}, not uint8 (N, {3 * side * side}); {RENEW}")
    return rows.reshape(-1, 3, side, side), batch


def read_cifar(path: Path, train: Sequence[str], test: str, labels: str, meta: str, names: str) -> Source:
    """The images of the batches `train`, in their order, then those of `test`.

    labels: the key of the labels in a batch; names: the key of the classes' names in the member `meta`.
    """
    batches = {}
    for member, stream in files(path, [*train, test, meta]):
        where = f"{path}: {member}"
        batches[member] = restricted_pickle.load(stream, where) if member == meta else read_batch(stream, where, 32)
    classes = batches[meta].get(names)
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise RobustlensError(f"{path}: {meta}: has no list of class names `{names}`; {RENEW}")
    images = [batches[member][0] for member in (*train, test)]
    checked = [
        checked_labels(batches[member][1].get(labels, ()), len(batches[member][0]), len(classes), f"{path}: {member}")
        for member in (*train, test)
    ]
    return Source(np.concatenate(images), np.concatenate(checked), classes, test=len(images[-1]))
