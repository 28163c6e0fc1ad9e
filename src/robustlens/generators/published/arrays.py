"""Arrays in published files: what their headers say, and whether they are images or labels of a dataset."""

from dataclasses import dataclass
from math import prod
from typing import BinaryIO

import numpy as np

from robustlens.data.archives import RENEW, blamed_on
from robustlens.errors import RobustlensError

BLOCK_BYTES = 2**22  # of images that are read together
FIRST, LAST = "first", "last"  # of an image's axes: where the channels are
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Header:
    """Of an array in the .npy format. where: file and array, for messages. start: bytes in front of its values."""

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    start: int

    @property
    def bytes(self) -> int:
        """Of the array's values."""
        return prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


def read_header(stream: BinaryIO, size: int, where: str) -> Header:
    """The header of an array that begins here; afterwards the stream is at its values.

    size: bytes of header and values. Raises RobustlensError for anything but a whole array of numbers.
    """
    with blamed_on(where):
        version = np.lib.format.read_magic(stream)
        if version not in HEADERS:
            raise RobustlensError(f"{where}: an array in version {version} of the .npy format; save it with numpy.save")
        shape, fortran, dtype = HEADERS[version](stream)
        header = Header(where, shape, dtype, fortran, stream.tell())
    if dtype.hasobject:
        raise RobustlensError(
            f"{where}: an array of pickled objects, and a pickle is code that runs when it is read; convert it to an "
            "array of whole numbers"
        )
    if size - header.start != header.bytes:
        raise RobustlensError(
            f"{where}: {size - header.start} bytes of values where {header} has {header.bytes}; {RENEW}"
        )
    return header


def read_labels(stream: BinaryIO, header: Header, images: int, classes: int) -> np.ndarray:
    """int64 (images,): the whole numbers from 0 to classes - 1 that follow their header.

    Raises RobustlensError for anything else.
    """
    if header.dtype.kind not in "iu" or len(header.shape) != 1 or header.shape[0] == 0:
        raise RobustlensError(f"{header.where}: {header}, where labels are whole numbers (N,); convert them")
    if header.shape[0] != images:
        raise RobustlensError(
            f"{header.where}: {header.shape[0]} labels of {images} images; take images and labels of one set"
        )
    with blamed_on(header.where):
        labels = np.frombuffer(stream.read(header.bytes), header.dtype)
    if labels.min() < 0 or labels.max() >= classes:
        raise RobustlensError(
            f"{header.where}: labels from {labels.min()} to {labels.max()}, and the dataset's classes are 0 to "
            f"{classes - 1}; take a set of this dataset"
        )
    return labels.astype(np.int64)


def channels_of(header: Header, shape: tuple[int, int, int], stated: str | None) -> str:
    """Where the channels of images are, FIRST or LAST: as their shape says, or as is stated where both are possible.

    shape: (C, H, W) of the dataset's images. Raises RobustlensError for anything but 8-bit images of that size.
    """
    if header.dtype != np.uint8:
        raise RobustlensError(
            f"{header.where}: {header}, where images are uint8 from 0 to 255; convert them, and their checksum is then "
            "another one"
        )
    if header.fortran:
        raise RobustlensError(
            f"{header.where}: its values are in the order of Fortran, image by image they can't be read; save it with "
            "numpy.ascontiguousarray"
        )
    expected = {FIRST: shape, LAST: channels_last(shape)}
    possible = [where for where, one in expected.items() if header.shape[1:] == one]
    if stated is not None:
        possible = [where for where in possible if where == stated]
        expected = {stated: expected[stated]}
    if not possible:
        belong = " or ".join(f"(N, {', '.join(map(str, one))})" for one in dict.fromkeys(expected.values()))
        raise RobustlensError(
            f"{header.where}: {header}, where {belong} belongs; take a set of this dataset, at the size of its images"
        )
    if len(possible) == 2:
        raise RobustlensError(
            f"{header.where}: {header} may have its channels first or last; say which: `channels: {LAST}`"
        )
    return possible[0]


def channels_last(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    channels, height, width = shape
    return height, width, channels


def channels_first(images: np.ndarray, channels: str) -> np.ndarray:
    """Images (N, C, H, W), a view of those whose channels are there."""
    return images.transpose(0, 3, 1, 2) if channels == LAST else images
