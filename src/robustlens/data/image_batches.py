"""Batches in the layout of CIFAR: one row of channel-major pixels per image, and a list of labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustlens.data import restricted_pickle
from robustlens.data.archives import RENEW, files
from robustlens.data.labels import checked_labels
from robustlens.data.source import Source
from robustlens.errors import RobustlensError


def images_of(rows: Any, where: str, side: int) -> np.ndarray:
    """The images uint8 (N, 3, side, side) of a batch's `data`.

    Raises RobustlensError, naming `where`, for `data` of any other type or shape.
    """
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape[1:] != (3 * side * side,):
        found = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise RobustlensError(f"{where}: its `data` is {found}, not uint8 (N, {3 * side * side}); {RENEW}")
    return rows.reshape(-1, 3, side, side)


def read_cifar(path: Path, train: Sequence[str], test: str, labels: str, meta: str, names: str) -> Source:
    """The images of the batches `train`, in their order, then those of `test`.

    labels: the key of the labels in a batch; names: the key of the classes' names in the member `meta`.
    Raises RobustlensError for a pickle that is damaged or asks for more than arrays, and for a batch that is wrong.
    """
    members = [*train, test]
    batches = {
        member: restricted_pickle.load(stream, f"{path}: {member}") for member, stream in files(path, [*members, meta])
    }
    classes = batches[meta].get(names)
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise RobustlensError(f"{path}: {meta}: has no list of class names `{names}`; {RENEW}")
    images = [images_of(batches[member].get("data"), f"{path}: {member}", 32) for member in members]
    checked = [
        checked_labels(batches[member].get(labels, ()), len(found), len(classes), f"{path}: {member}")
        for member, found in zip(members, images, strict=True)
    ]
    return Source(np.concatenate(images), np.concatenate(checked), classes, test=len(images[-1]))
