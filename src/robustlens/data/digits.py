"""scikit-learn's digits: 1,797 grey 8x8 images of hand-written digits (UCI Optical Recognition, test part)."""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

from robustlens.data.source import Source


@dataclass(frozen=True)
class Digits:
    """Ships with scikit-learn: no download. Pixels count 0..16 and are divided by 16."""

    def read(self) -> Source:
        bunch = load_digits()
        return Source(
            images=(bunch.images[:, None] / 16.0).astype(np.float32),
            labels=bunch.target.astype(np.int64),
            classes=[str(digit) for digit in range(10)],
            origin="scikit-learn load_digits (E. Alpaydin and C. Kaynak, UCI ML repository, 1998)",
            licence="CC BY 4.0",
        )
