"""CIFAR-10: colour images of 32x32 pixels in ten classes (Krizhevsky 2009)."""

from dataclasses import dataclass
from pathlib import Path

from robustlens.data.image_batches import read_cifar
from robustlens.data.source import Source


@dataclass(frozen=True)
class Cifar10:
    """Reads cifar-10-python.tar.gz: images (N, 3, 32, 32), the five training batches, then the test batch.

    A batch may hold fewer images than the official 10,000.
    """

    def read(self, folder: Path, scratch: Path) -> Source:
        inside = "cifar-10-batches-py"
        return read_cifar(
            folder / "cifar-10-python.tar.gz",
            train=[f"{inside}/data_batch_{number}" for number in range(1, 6)],
            test=f"{inside}/test_batch",
            labels="labels",
            meta=f"{inside}/batches.meta",
            names="label_names",
        )
