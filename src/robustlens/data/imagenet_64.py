"""ImageNet at 64x64 pixels, the downsampled variant of Chrabaszcz, Loshchilov and Hutter (2017)."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from robustlens.data.archives import RENEW, file_names, files
from robustlens.data.image_batches import read_batch
from robustlens.data.labels import checked_labels
from robustlens.data.source import Source
from robustlens.errors import RobustlensError

SIDE, CLASSES = 64, 1000
TRAIN = [f"train_data_batch_{number}" for number in range(1, 11)]


@dataclass(frozen=True)
class Imagenet64:
    """Reads Imagenet64_train_part1.zip, Imagenet64_train_part2.zip and Imagenet64_val.zip: images (N, 3, 64, 64).

    The test split is `val`. Class names are the labels, "1" to "1000", in the order of the ILSVRC development kit; the
    archives name no classes. Holds one batch in memory (1.6 GB of the official ten) and writes the images to `scratch`.
    """

    def read(self, folder: Path, scratch: Path) -> Source:
        where = {}
        for archive in ("Imagenet64_train_part1.zip", "Imagenet64_train_part2.zip", "Imagenet64_val.zip"):
            for member in file_names(folder / archive):
                batch = PurePosixPath(member).name
                if batch in where:
                    raise RobustlensError(f"{folder / archive}: {member}: {where[batch]} has it too; {RENEW}")
                where[batch] = (folder / archive, member)
        if missing := {*TRAIN, "val_data"} - where.keys():
            raise RobustlensError(f"{folder}: none of the Imagenet64 archives holds {min(missing)}; {RENEW}")
        try:
            with open(scratch / "images.bin", "wb") as out:
                labels = [_append(*where[batch], out) for batch in (*TRAIN, "val_data")]
        except OSError as error:
            raise RobustlensError(f"{scratch}: the images could not be written ({error}); free space there") from error
        images = np.memmap(scratch / "images.bin", np.uint8, "r", shape=(sum(map(len, labels)), 3, SIDE, SIDE))
        names = [str(number) for number in range(1, CLASSES + 1)]
        return Source(images, np.concatenate(labels), names, test=len(labels[-1]))


def _append(path: Path, member: str, out: BinaryIO) -> np.ndarray:
    """Write the images of a batch to `out`; its labels."""
    for _, stream in files(path, [member]):
        images, batch = read_batch(stream, f"{path}: {member}", SIDE)
        images.tofile(out)
        labels = checked_labels(batch.get("labels", ()), len(images), CLASSES, f"{path}: {member}", first=1)
    return labels
