"""What a dataset's reader returns, and how it becomes a prepared dataset."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from sklearn.model_selection import train_test_split

from robustlens.atomic import replacing
from robustlens.data.disk_space import filling
from robustlens.data.prepared import checksum
from robustlens.errors import RobustlensError

CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Source:
    """All images of a dataset, its official test split last.

    images: uint8 (N, C, H, W), values 0..levels; may be memory-mapped. labels: int64 (N,). classes: one name a class.
    test: how many of the last images are the official test split; 0 where there is none.
    levels: the value that stands for 1.0.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]
    test: int = 0
    levels: int = 255


def split_positions(source: Source, splits: dict) -> dict[str, np.ndarray]:
    """Disjoint sorted positions for `train`, `validation` and `test`.

    splits: the configuration's entry. `validation` images are held out of the training images; `train` and `test` may
    be fewer than there are, or none where a dataset is for evaluation only. All draws are stratified, from `seed`. The
    test images are the official test split, or, in a dataset without one, those that the other two leave.
    Raises RobustlensError for a split that there are too few images for, or too small to have every class.
    """
    official = len(source.labels) - source.test
    everything, seed = np.arange(len(source.labels)), splits["seed"]
    train, validation = splits["train"], splits["validation"]
    if train is None:
        if source.test == 0:
            raise RobustlensError(
                "splits: this dataset has no official test split: say in `train` how many images to train on; "
                "those that `train` and `validation` leave are the test split"
            )
        train = official - validation
    held_out, rest = _draw(source.labels, everything[:official], validation, seed, "validation")
    chosen, left = _draw(source.labels, rest, train, seed, "train")
    test = everything[official:] if source.test else left
    if splits["test"] is not None:
        test, _ = _draw(source.labels, test, splits["test"], seed, "test")
    if len(np.unique(source.labels[test])) < len(np.unique(source.labels)):
        raise RobustlensError(
            f"splits: {train} training and {validation} validation images leave no test image for each class of the "
            f"{len(source.labels)} there are; lower `train` or `validation`"
        )
    return {"train": np.sort(chosen), "validation": np.sort(held_out), "test": np.sort(test)}


def _draw(labels: np.ndarray, among: np.ndarray, count: int, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """`count` of the positions `among`, classes in their proportions, and the others."""
    if count == 0:
        return among[:0], among
    classes = len(np.unique(labels[among]))
    if count < classes:
        raise RobustlensError(f"splits: {count} {name} images are fewer than the {classes} classes; raise `{name}`")
    if count == len(among):
        return among, among[:0]
    if count > len(among) - classes:
        raise RobustlensError(
            f"splits: {count} {name} images can't be drawn from the {len(among)} there are with every class left over; "
            f"lower `{name}`, or give exactly {len(among)}"
        )
    return tuple(train_test_split(among, train_size=count, stratify=labels[among], random_state=seed))


def write_prepared(
    source: Source,
    positions: dict[str, np.ndarray],
    folder: Path,
    facts: dict,
    report: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Write the splits as arrays with their sheet: classes, shape, levels, sizes, SHA-256 and the given facts (name,
    source, licence, ...).

    Images are copied in chunks, so that a memory-mapped source never has to fit into memory.
    report: called with (bytes of images written, bytes in all) now and then.
    Raises RobustlensError, with how much is needed, where the images don't fit on the disk.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    per_image = int(np.prod(source.images.shape[1:]))
    chunk = max(1, CHUNK_BYTES // per_image)
    written, total, sums = 0, per_image * sum(map(len, positions.values())), {}
    for split, where in positions.items():
        shape = (len(where), *source.images.shape[1:])
        with _array_file(folder / f"{split}_images.npy", shape, np.uint8, total - written) as file:
            for start in range(0, len(where), chunk):
                images = source.images[where[start : start + chunk]]
                file.write(np.ascontiguousarray(images))
                written += images.size
                report(written, total)
        for part, values in (("labels", source.labels[where]), ("index", where)):
            with _array_file(folder / f"{split}_{part}.npy", values.shape, np.int64, total - written) as file:
                file.write(np.ascontiguousarray(values, np.int64))
        for part in ("images", "labels", "index"):
            sums[f"{split}_{part}.npy"] = checksum(folder / f"{split}_{part}.npy")
    sheet = {
        **facts,
        "classes": source.classes,
        "shape": list(source.images.shape[1:]),
        "levels": source.levels,
        "sizes": {split: len(where) for split, where in positions.items()},
        "official_test_split": source.test > 0,
        "sha256": sums,
    }
    with replacing(folder / "sheet.json") as temporary:
        temporary.write_text(json.dumps(sheet, indent=2) + "\n")


@contextlib.contextmanager
def _array_file(path: Path, shape: tuple[int, ...], dtype: type, needed: int) -> Iterator[BinaryIO]:
    """A new .npy file, open for the array's values. needed: bytes that this file and those after it take at least."""
    with replacing(path) as temporary, filling(path.parent, needed), open(temporary, "wb") as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield file
