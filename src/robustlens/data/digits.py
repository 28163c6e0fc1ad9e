"""scikit-learn's digits: 1,797 grey 8x8 images of hand-written digits (UCI Optical Recognition, test part)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from robustlens.data.source import Source


@dataclass(frozen=True)
class Digits:
    """Ships with scikit-learn: no download. Pixels count 0..16."""

    def read(self, folder: Path, scratch: Path) -> Source:
        bunch = load_digits()
        return Source(
            images=bunch.images[:, None].astype(np.uint8),
            labels=bunch.target.astype(np.int64),
            classes=[str(digit) for digit in range(10)],
            levels=16,
        )
