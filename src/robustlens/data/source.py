"""What a dataset's reader returns, and how it becomes a prepared dataset."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from robustlens.atomic import replacing
from robustlens.data.prepared import checksum
from robustlens.errors import RobustlensError


@dataclass(frozen=True)
class Source:
    """images: float32 (N, C, H, W) in [0, 1]; labels: int64 (N,); one name a class."""

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]
    origin: str
    licence: str


def stratified_split(labels: np.ndarray, train: int, validation: int, seed: int) -> dict[str, np.ndarray]:
    """Disjoint sorted positions for train and validation (as many as asked for) and test (all others).

    Every split has the classes in their overall proportions. Raises RobustlensError for a split that is too small to
    have them all.
    """
    classes = len(np.unique(labels))
    if min(train, validation) < classes:
        raise RobustlensError(
            f"splits: {train} training and {validation} validation images are fewer than the {classes} classes; "
            "raise `train` or `validation`"
        )
    if train + validation > len(labels) - classes:
        raise RobustlensError(
            f"splits: {train} training and {validation} validation images leave no test image for each class of the "
            f"{len(labels)} there are; lower `train` or `validation`"
        )
    everything = np.arange(len(labels))
    chosen, test = train_test_split(everything, train_size=train + validation, stratify=labels, random_state=seed)
    first, second = train_test_split(chosen, train_size=train, stratify=labels[chosen], random_state=seed)
    return {"train": np.sort(first), "validation": np.sort(second), "test": np.sort(test)}


def write_prepared(source: Source, positions: dict[str, np.ndarray], folder: Path, name: str, split_seed: int) -> None:
    """Write the splits as arrays with their sheet (shape, classes, range, sizes, SHA-256, source, licence)."""
    folder = Path(folder)
    sums = {}
    for split, where in positions.items():
        parts = {"images": source.images[where], "labels": source.labels[where], "index": where.astype(np.int64)}
        for part, array in parts.items():
            path = folder / f"{split}_{part}.npy"
            with replacing(path) as temporary, open(temporary, "wb") as file:
                np.save(file, array, allow_pickle=False)
            sums[path.name] = checksum(path)
    sheet = {
        "name": name,
        "classes": source.classes,
        "shape": list(source.images.shape[1:]),
        "range": [float(source.images.min()), float(source.images.max())],
        "sizes": {split: len(where) for split, where in positions.items()},
        "split_seed": split_seed,
        "sha256": sums,
        "source": source.origin,
        "licence": source.licence,
    }
    with replacing(folder / "sheet.json") as temporary:
        temporary.write_text(json.dumps(sheet, indent=2) + "\n")
