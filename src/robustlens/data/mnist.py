"""MNIST: grey images of hand-written digits, 28x28 pixels (LeCun, Cortes and Burges 1998)."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robustlens.data.archives import RENEW, blamed_on
from robustlens.data.labels import checked_labels
from robustlens.data.source import Source
from robustlens.errors import RobustlensError


@dataclass(frozen=True)
class Mnist:
    """Reads the four idx files, {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz: images (N, 1, 28, 28)."""

    def read(self, folder: Path, scratch: Path) -> Source:
        (train, train_labels), (test, test_labels) = (_split(folder, name) for name in ("train", "t10k"))
        return Source(
            images=np.concatenate([train, test]),
            labels=np.concatenate([train_labels, test_labels]),
            classes=[str(digit) for digit in range(10)],
            test=len(test),
        )


def _split(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    images = _idx(folder / f"{name}-images-idx3-ubyte.gz", (28, 28))
    path = folder / f"{name}-labels-idx1-ubyte.gz"
    return images[:, None], checked_labels(_idx(path, ()), len(images), 10, str(path))


def _idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The uint8 array (N, *shape) of an idx file: two zero bytes, type, number of axes, the axes' lengths, the values.

    The lengths are big-endian 32-bit numbers; type 8 is uint8.
    """
    with blamed_on(str(path)), gzip.open(path) as file:
        content = file.read()
    axes = 1 + len(shape)
    start = 4 + 4 * axes
    if len(content) < start or content[:4] != bytes([0, 0, 8, axes]):
        raise RobustlensError(f"{path}: not an idx file of bytes with {axes} axes; {RENEW}")
    lengths = np.frombuffer(content, ">u4", axes, offset=4).tolist()
    if tuple(lengths[1:]) != shape or len(content) - start != np.prod(lengths):
        raise RobustlensError(
            f"{path}: says that it holds {lengths}, holds {len(content) - start} bytes, "
            f"and should hold (N, {', '.join(map(str, shape))}); {RENEW}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(lengths)
