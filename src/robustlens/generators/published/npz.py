"""Sets in a .npz file, with an array of images and one of labels. Such a file is a zip archive of .npy files."""

import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from robustlens.data.archives import RENEW, blamed_on
from robustlens.errors import RobustlensError
from robustlens.generators.published.arrays import (
    BLOCK_BYTES,
    Header,
    channels_first,
    channels_of,
    read_header,
    read_labels,
)
from robustlens.parameters import nearest

SUFFIX = ".npy"


def opened(settings: dict, folder: Path, shape: tuple[int, int, int], classes: list[str]) -> "Npz":
    return Npz(settings, folder / settings["file"], shape, len(classes))


class Npz:
    """The names of its arrays are `images` and `labels` of the settings, by default image and label.

    numpy maps no array of a .npz file into memory, and reads all of it at once: so the images are read here, block by
    block.
    """

    def __init__(self, settings: dict, path: Path, shape: tuple[int, int, int], classes: int):
        self.path, self.name = path, settings.get("images", "image")
        labels = settings.get("labels", "label")
        with blamed_on(str(path)), zipfile.ZipFile(path) as archive:
            self._check_name(archive, "images", self.name)
            self._check_name(archive, "labels", labels)
            with archive.open(self.name + SUFFIX) as stream:
                self.header = self._header(archive, self.name, stream)
            self.channels = channels_of(self.header, shape, settings.get("channels"))
            with archive.open(labels + SUFFIX) as stream:
                header = self._header(archive, labels, stream)
                self.labels = read_labels(stream, header, self.header.shape[0], classes)

    def images(self, chosen: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        count, *stored = self.header.shape
        size, done = prod(stored), 0
        block = max(1, BLOCK_BYTES // size)
        where = self.header.where
        with blamed_on(where), zipfile.ZipFile(self.path) as archive, archive.open(self.name + SUFFIX) as stream:
            stream.read(self.header.start)
            for start in range(0, count, block):
                values = stream.read(size * min(block, count - start))
                if len(values) < size * min(block, count - start):
                    raise RobustlensError(f"{where}: ends too early; {RENEW}")
                end = int(np.searchsorted(chosen, start + block))
                if end > done:
                    images = np.frombuffer(values, np.uint8).reshape(-1, *stored)[chosen[done:end] - start]
                    yield done, channels_first(images, self.channels)
                    done = end
                if done == len(chosen):
                    return

    def _check_name(self, archive: zipfile.ZipFile, key: str, name: str) -> None:
        names = [member.removesuffix(SUFFIX) for member in archive.namelist() if member.endswith(SUFFIX)]
        if name not in names:
            raise RobustlensError(
                f"{self.path}: no array {name!r} in it{nearest(name, names)}; say what it is called: `{key}: NAME`"
            )

    def _header(self, archive: zipfile.ZipFile, name: str, stream: zipfile.ZipExtFile) -> Header:
        return read_header(stream, archive.getinfo(name + SUFFIX).file_size, f"{self.path}: {name}")
