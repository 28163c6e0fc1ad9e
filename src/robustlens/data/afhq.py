"""AFHQ: faces of cats, dogs and wild animals (Choi, Uh, Yoo and Ha 2020)."""

import re
from dataclasses import dataclass
from pathlib import Path

from robustlens.data.archives import RENEW, file_names
from robustlens.data.image_files import by_class, read_image_files
from robustlens.data.source import Source
from robustlens.errors import RobustlensError
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class Afhq:
    """Reads afhq.zip: images (N, 3, size, size) of the classes cat, dog and wild, from 512x512 pixels.

    The first version of the dataset calls its test split `val`, the second one `test`; PORT used the first, at 224
    pixels.
    """

    size: PositiveInt = 224

    def read(self, folder: Path, scratch: Path) -> Source:
        path = folder / "afhq.zip"
        names = file_names(path)
        folders = sorted({found[0] for name in names if (found := re.match("(afhq/)?(train|val|test)(?=/)", name))})
        train = [name for name in folders if name.endswith("train")]
        test = [name for name in folders if not name.endswith("train")]
        if len(train) != 1 or len(test) != 1:
            raise RobustlensError(f"{path}: needs the folder train and one of val and test, has {folders}; {RENEW}")
        return read_image_files(
            path, by_class(names, train[0]), by_class(names, test[0]), scratch, self.size, resize=self.size
        )
