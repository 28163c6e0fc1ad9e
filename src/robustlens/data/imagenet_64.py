"""ImageNet at 64x64 pixels, the downsampled variant of Chrabaszcz, Loshchilov and Hutter (2017)."""

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from robustlens.data.archives import RENEW, blamed_on, file_names, files
from robustlens.data.disk_space import filling
from robustlens.data.image_batches import images_of
from robustlens.data.labels import checked_labels
from robustlens.data.source import Source
from robustlens.errors import RobustlensError

SIDE, CLASSES = 64, 1000
ARCHIVES = [f"Imagenet64_{part}_npz.zip" for part in ("train_part1", "train_part2", "val")]
TRAIN = [f"train_data_batch_{number}.npz" for number in range(1, 11)]
TEST = "val_data.npz"


@dataclass(frozen=True)
class Imagenet64:
    """Reads Imagenet64_{train_part1,train_part2,val}_npz.zip: images (N, 3, 64, 64).

    The test split is `val`. Class names are the labels, "1" to "1000", in the order of the ILSVRC development kit; the
    archives name no classes. Holds one batch in memory (1.6 GB of the official ten) and writes the images to `scratch`.
    """

    def read(self, folder: Path, scratch: Path) -> Source:
        where = {}
        for archive in ARCHIVES:
            for member in file_names(folder / archive):
                batch = PurePosixPath(member).name
                if batch in where:
                    raise RobustlensError(f"{folder / archive}: {member}: {where[batch]} has it too; {RENEW}")
                where[batch] = (folder / archive, member)
        if missing := {*TRAIN, TEST} - where.keys():
            raise RobustlensError(f"{folder}: none of the Imagenet64 archives holds {min(missing)}; {RENEW}")
        packed = sum((folder / archive).stat().st_size for archive in ARCHIVES)  # the images take more than this
        with filling(scratch, packed, later=packed), open(scratch / "images.bin", "wb") as out:
            labels = [_append(*where[batch], out, scratch / "batch.npz") for batch in (*TRAIN, TEST)]
        (scratch / "batch.npz").unlink()
        images = np.memmap(scratch / "images.bin", np.uint8, "r", shape=(sum(map(len, labels)), 3, SIDE, SIDE))
        names = [str(number) for number in range(1, CLASSES + 1)]
        return Source(images, np.concatenate(labels), names, test=len(labels[-1]))


def _append(path: Path, member: str, out: BinaryIO, unpacked: Path) -> np.ndarray:
    """Write the images of a batch to `out`; its labels. The batch is an archive itself, read from `unpacked`."""
    where = f"{path}: {member}"
    for _, stream in files(path, [member]):
        with open(unpacked, "wb") as file:
            shutil.copyfileobj(stream, file)
    with blamed_on(where), open(unpacked, "rb") as file:
        batch = np.load(file, allow_pickle=False)
        if not isinstance(batch, np.lib.npyio.NpzFile) or not {"data", "labels"} <= set(batch):
            raise RobustlensError(f"{where}: has no arrays `data` and `labels`; {RENEW}")
        rows, labels = batch["data"], batch["labels"]
    images = images_of(rows, where, SIDE)
    out.write(np.ascontiguousarray(images))
    return checked_labels(labels, len(images), CLASSES, where, first=1)
