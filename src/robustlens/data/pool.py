"""A pool of generated images on disk, as trainings read it; `generators.pool` writes it."""

from pathlib import Path

import numpy as np

from robustlens.data.prepared import PreparedDataset, Split, centre
from robustlens.errors import RobustlensError

LEVELS = 255
FILES = ("images.npy", "labels.npy")


def load_pool(folder: Path, data: PreparedDataset) -> Split:
    """The pool in `folder`, its images memory-mapped, and cropped as those of the training split; `index` counts them.

    data: the dataset that it is to be mixed with.
    Raises RobustlensError naming the file that is missing, damaged, or not of that dataset. Whether the bytes are those
    that were written is for the job's certificate to say.
    """
    images, labels = (folder / name for name in FILES)
    values, numbers = _array(images, np.uint8, 4), np.array(_array(labels, np.int64, 1))
    if not 0 < len(values) == len(numbers):
        raise _refusal(labels, f"{len(numbers)} labels of {len(values)} images")
    whole = data.splits["train"].whole if "train" in data.splits else None
    expected = data.sheet["shape"] if whole is None else list(whole.shape[1:])
    if list(values.shape[1:]) != expected:
        raise _refusal(images, f"images of shape {list(values.shape[1:])}, not {expected}")
    if numbers.min() < 0 or numbers.max() >= data.classes:
        found = f"labels from {numbers.min()} to {numbers.max()}"
        raise _refusal(labels, f"{found}, and the dataset's classes are 0 to {data.classes - 1}")
    index = np.arange(len(numbers))
    if whole is None:
        return Split(values, numbers, index, LEVELS)
    return Split(centre(values, data.sheet["shape"][-1]), numbers, index, LEVELS, values)


def _array(path: Path, dtype: type, dimensions: int) -> np.ndarray:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise RobustlensError(f"{path}: no pool here; generate it first: snakemake {path}") from None
    except (OSError, ValueError, EOFError) as error:
        raise _refusal(path, str(error)) from error
    if array.dtype != dtype or array.ndim != dimensions:
        found = f"{array.dtype} of {array.ndim} dimensions"
        raise _refusal(path, f"{found}, where {np.dtype(dtype)} of {dimensions} belong")
    return array


def _refusal(path: Path, why: str) -> RobustlensError:
    return RobustlensError(
        f"{path}: not a pool of this dataset ({why}); delete {path.parent} and run again to make it anew"
    )
