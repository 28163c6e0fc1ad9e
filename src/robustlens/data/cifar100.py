"""CIFAR-100: colour images of 32x32 pixels in a hundred classes (Krizhevsky 2009)."""

from dataclasses import dataclass
from pathlib import Path

from robustlens.data.image_batches import read_cifar
from robustlens.data.source import Source


@dataclass(frozen=True)
class Cifar100:
    """Reads cifar-100-python.tar.gz: images (N, 3, 32, 32) with the labels of the hundred fine classes."""

    def read(self, folder: Path, scratch: Path) -> Source:
        inside = "cifar-100-python"
        return read_cifar(
            folder / "cifar-100-python.tar.gz",
            train=[f"{inside}/train"],
            test=f"{inside}/test",
            labels="fine_labels",
            meta=f"{inside}/meta",
            names="fine_label_names",
        )
