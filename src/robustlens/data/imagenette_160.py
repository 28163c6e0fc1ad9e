"""Imagenette, version 2, 160-pixel release: ten easily told classes of ImageNet (Howard, fast.ai, 2019)."""

from dataclasses import dataclass, replace
from pathlib import Path

from robustlens.data.archives import RENEW, file_names
from robustlens.data.image_files import by_class, read_image_files
from robustlens.data.source import Source
from robustlens.errors import RobustlensError
from robustlens.parameters import PositiveInt

CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


@dataclass(frozen=True)
class Imagenette160:
    """Reads imagenette2-160.tgz: images (N, 3, size, size); the test split is the archive's `val`.

    The images' shorter side is 160 pixels, the other one varies: it is brought to `size` pixels and the centre cut out.
    """

    size: PositiveInt = 160

    def read(self, folder: Path, scratch: Path) -> Source:
        path = folder / "imagenette2-160.tgz"
        names = file_names(path)
        train, test = (by_class(names, f"imagenette2-160/{split}") for split in ("train", "val"))
        unknown = {*train.values(), *test.values()} - CLASSES.keys()
        if unknown:
            raise RobustlensError(f"{path}: {min(unknown)} is not a class of Imagenette; {RENEW}")
        source = read_image_files(path, train, test, scratch, self.size, resize=self.size)
        return replace(source, classes=[CLASSES[wnid] for wnid in source.classes])
