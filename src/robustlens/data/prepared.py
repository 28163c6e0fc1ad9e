"""A prepared dataset: arrays on disk with a sheet that says what they are."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustlens.errors import RobustlensError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """images: uint8 (N, C, H, W), memory-mapped, values 0..levels: what networks see. labels: int64 (N,); index:
    int64 (N,), positions in the source.

    whole: of training images that networks see a part of, uint8 (N, C, H', W'): random crops are cut from them, while
    `images` are their centres. None: `images` are whole.
    """

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    levels: int
    whole: np.ndarray | None = None

    def pixels(self, where: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The images at those positions as float32 (n, C, H, W) in [0, 1]."""
        return self.images[where].astype(np.float32) / np.float32(self.levels)

    def at(self, where: np.ndarray) -> "Split":
        """The images at those positions, as a split that is cropped like this one."""
        whole = None if self.whole is None else self.whole[where]
        images = self.images[where] if whole is None else centre(whole, self.images.shape[-1])
        return Split(images, self.labels[where], self.index[where], self.levels, whole)


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


def centre(images: Any, crop: int) -> Any:
    """The central crop x crop pixels of images (N, C, H, W), an array or a tensor that is no smaller: a view of it.

    As torchvision's CenterCrop, int(round((H - crop) / 2.0)) pixels are cut off at the top, and so on the left: of an
    odd rest, `round` gives the even half.
    """
    top, left = (round((side - crop) / 2.0) for side in images.shape[2:])
    return images[:, :, top : top + crop, left : left + crop]


def load(folder: Path, splits: Iterable[str] = SPLITS, crop: int | None = None) -> PreparedDataset:
    """The given splits of the dataset in `folder`, memory-mapped. Their arrays must have the checksums of the sheet.

    crop: the side in pixels of what networks see of the images. The `images` of the splits are their centres, and the
    sheet's shape is that of the centres; the training split has the `whole` images, too. None: whole images.
    Raises RobustlensError naming a file that is missing or that was altered since it was prepared, and for a crop that
    is larger than the images.
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
    if crop is not None:
        channels, height, width = sheet["shape"]
        if crop > min(height, width):
            raise RobustlensError(
                f"{folder}: a crop of {crop}x{crop} pixels is larger than its images, which have {height}x{width}; "
                "lower the dataset's `crop` in config.yaml"
            )
        sheet["shape"] = [channels, crop, crop]
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
        if crop is not None:
            parts |= {"images": centre(parts["images"], crop), "whole": parts["images"] if split == "train" else None}
        loaded[split] = Split(**parts, levels=sheet["levels"])
    return PreparedDataset(sheet, loaded)
