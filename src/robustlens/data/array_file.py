"""Array files that are written piece by piece."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from robustlens.atomic import replacing
from robustlens.data.disk_space import filling


@contextlib.contextmanager
def array_file(path: Path, shape: tuple[int, ...], dtype: type, needed: int) -> Iterator[BinaryIO]:
    """A new .npy file, open for the array's values; it appears whole or not at all.

    needed: bytes that this file and those after it take at least. Raises RobustlensError where they don't fit.
    """
    with replacing(path) as temporary, filling(path.parent, needed), open(temporary, "wb") as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield file
