"""Sets in a file of 8-bit values alone, image after image, with their labels in a .npy file."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from robustlens.data.archives import blamed_on
from robustlens.errors import RobustlensError
from robustlens.generators.published.arrays import (
    BLOCK_BYTES,
    LAST,
    channels_first,
    channels_last,
    read_header,
    read_labels,
)


def opened(settings: dict, folder: Path, shape: tuple[int, int, int], classes: list[str]) -> "Raw":
    return Raw(settings, folder, shape, len(classes))


class Raw:
    """Nothing in the file says what it holds: images have the size of the dataset's, and their channels are last unless
    the settings say otherwise."""

    def __init__(self, settings: dict, folder: Path, shape: tuple[int, int, int], classes: int):
        self.path, labels = folder / settings["file"], folder / settings["labels_file"]
        self.channels = settings.get("channels", LAST)
        self.stored = channels_last(shape) if self.channels == LAST else shape
        with blamed_on(str(self.path)):
            size = self.path.stat().st_size
        if size == 0 or size % prod(shape):
            raise RobustlensError(
                f"{self.path}: {size} bytes are no whole images of {prod(shape)} ({'x'.join(map(str, self.stored))}); "
                "take a set of this dataset, at the size of its images"
            )
        self.count = size // prod(shape)
        with blamed_on(str(labels)), open(labels, "rb") as stream:
            header = read_header(stream, labels.stat().st_size, str(labels))
            self.labels = read_labels(stream, header, self.count, classes)

    def images(self, chosen: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        stored = np.memmap(self.path, np.uint8, "r", shape=(self.count, *self.stored))
        block = max(1, BLOCK_BYTES // prod(self.stored))
        for start in range(0, len(chosen), block):
            yield start, channels_first(stored[chosen[start : start + block]], self.channels)
