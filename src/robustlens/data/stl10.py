"""STL-10: colour images of 96x96 pixels in ten classes, taken from ImageNet (Coates, Lee and Ng 2011)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robustlens.data.archives import RENEW, files, lines
from robustlens.data.labels import checked_labels
from robustlens.data.source import Source
from robustlens.errors import RobustlensError


@dataclass(frozen=True)
class Stl10:
    """Reads stl10_binary.tar.gz: images (N, 3, 96, 96); the images without labels and the folds are left out."""

    def read(self, folder: Path, scratch: Path) -> Source:
        path = folder / "stl10_binary.tar.gz"
        names = [f"stl10_binary/{name}" for name in ("train_X", "train_y", "test_X", "test_y")]
        members = [f"{name}.bin" for name in names] + ["stl10_binary/class_names.txt"]
        found = {name: stream.read() for name, stream in files(path, members)}
        classes = lines(found[members[4]], f"{path}: {members[4]}")
        train, test = (_images(found[member], f"{path}: {member}") for member in (members[0], members[2]))
        labels = [
            checked_labels(np.frombuffer(found[member], np.uint8), len(images), len(classes), f"{path}: {member}", 1)
            for images, member in ((train, members[1]), (test, members[3]))
        ]
        return Source(np.concatenate([train, test]), np.concatenate(labels), classes, test=len(test))


def _images(content: bytes, where: str) -> np.ndarray:
    if len(content) % (3 * 96 * 96):
        raise RobustlensError(f"{where}: {len(content)} bytes are not a whole number of 96x96 images; {RENEW}")
    # Column-major: the pixels of a channel run down its columns.
    return np.frombuffer(content, np.uint8).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
