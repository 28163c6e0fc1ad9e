"""SVHN, format 2: house numbers cropped to 32x32 pixels around a digit (Netzer et al. 2011)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from robustlens.data.archives import RENEW, blamed_on
from robustlens.data.labels import checked_labels
from robustlens.data.source import Source
from robustlens.errors import RobustlensError


@dataclass(frozen=True)
class Svhn:
    """Reads train_32x32.mat and test_32x32.mat: images (N, 3, 32, 32), class d is the digit d.

    The `extra` images are left out, as in the papers.
    """

    def read(self, folder: Path, scratch: Path) -> Source:
        (train, train_labels), (test, test_labels) = (
            _split(folder / f"{name}_32x32.mat") for name in ("train", "test")
        )
        return Source(
            images=np.concatenate([train, test]),
            labels=np.concatenate([train_labels, test_labels]),
            classes=[str(digit) for digit in range(10)],
            test=len(test),
        )


def _split(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with blamed_on(str(path)), open(path, "rb") as file:
        try:
            found = loadmat(file, variable_names=["X", "y"])
        except OSError:
            raise
        except Exception as error:  # scipy raises whatever the damaged part makes fail
            raise RobustlensError(f"{path}: not a whole MATLAB file ({error}); {RENEW}") from error
    images, labels = found.get("X"), found.get("y")
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[:-1] != (32, 32, 3):
        raise RobustlensError(f"{path}: has no `X` of uint8 (32, 32, 3, N); {RENEW}")
    if not isinstance(labels, np.ndarray) or labels.shape[1:] != (1,):
        raise RobustlensError(f"{path}: has no `y` of (N, 1); {RENEW}")
    # The file counts the digits 1..9 and then 10, which stands for 0.
    digits = (checked_labels(labels[:, 0], images.shape[3], 10, f"{path}: y", first=1) + 1) % 10
    return images.transpose(3, 2, 0, 1), digits
