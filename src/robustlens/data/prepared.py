"""A prepared dataset: arrays on disk with a sheet that says what they are."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robustlens.errors import RobustlensError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """images: uint8 (N, C, H, W), memory-mapped, values 0..levels; labels: int64 (N,); index: int64 (N,), positions in
    the source."""

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    levels: int

    def pixels(self, where: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The images at those positions as float32 (n, C, H, W) in [0, 1]."""
        return self.images[where].astype(np.float32) / np.float32(self.levels)


@dataclass(frozen=True)
class PreparedDataset:
    """The splits of a dataset that a job uses, and its sheet (name, classes, shape, levels, sizes, checksums)."""

    sheet: dict
    splits: dict[str, Split]

    @property
    def classes(self) -> int:
        return len(self.sheet["classes"])

    @property
    def channels(self) -> int:
        return self.sheet["shape"][0]


def array_names() -> list[str]:
    """The files of a prepared dataset, beside `sheet.json`."""
    return [f"{split}_{part}.npy" for split in SPLITS for part in ("images", "labels", "index")]


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(folder: Path, splits: Iterable[str] = SPLITS) -> PreparedDataset:
    """The given splits of the dataset in `folder`, memory-mapped. Their arrays must have the checksums of the sheet.

    Raises RobustlensError naming a file that is missing or that was altered since it was prepared.
    """
    folder = Path(folder)
    try:
        sheet = json.loads((folder / "sheet.json").read_text())
    except FileNotFoundError:
        raise RobustlensError(f"{folder}: no prepared dataset here (sheet.json is missing)") from None
    except json.JSONDecodeError as error:
        raise RobustlensError(
            f"{folder / 'sheet.json'}: damaged ({error}); delete {folder} and run again to prepare it anew"
        ) from error
    loaded = {}
    for split in splits:
        parts = {}
        for part in ("images", "labels", "index"):
            path = folder / f"{split}_{part}.npy"
            if not path.exists():
                raise RobustlensError(f"{path}: missing; delete {folder} and run again to prepare it anew")
            if checksum(path) != sheet["sha256"][path.name]:
                raise RobustlensError(
                    f"{path}: not the file that was prepared (its SHA-256 differs from {folder / 'sheet.json'}); "
                    f"delete {folder} and run again to prepare it anew"
                )
            parts[part] = np.load(path, mmap_mode="r")
        loaded[split] = Split(**parts, levels=sheet["levels"])
    return PreparedDataset(sheet, loaded)
