"""ImageNet, ILSVRC 2012: photographs in a thousand classes (Russakovsky et al. 2015)."""

from dataclasses import dataclass, replace
from pathlib import Path

from robustlens.data.archives import MEND, blamed_on, file_names
from robustlens.data.image_files import by_class, read_image_files
from robustlens.data.source import Source
from robustlens.errors import RobustlensError
from robustlens.parameters import Flag, PositiveInt

CLASSES = 1000


@dataclass(frozen=True)
class ImageNet:
    """Reads the folders imagenet/train/<wnid>/*.JPEG and imagenet/val/<wnid>/*.JPEG: images (N, 3, size, size).

    resize: pixels that the shorter side is brought to before the centre of size x size is cut out. Classes are in the
    order of their WordNet ids, and named as torchvision names them; a folder with fewer classes keeps the ids as their
    names. The test split is `val`.
    train: also read the training images, which take 1.28 million x 3 x size x size bytes (193 GB at 224) of disk twice.
    """

    train: Flag = False
    resize: PositiveInt = 256
    size: PositiveInt = 224

    def read(self, folder: Path, scratch: Path) -> Source:
        if self.size > self.resize:
            raise RobustlensError(f"imagenet: size {self.size} is more than resize {self.resize}; make resize larger")
        path = folder / "imagenet"
        splits = {}
        for split in ("train", "val") if self.train else ("val",):
            with blamed_on(str(path / split), MEND):
                there = (path / split).is_dir()
            if not there:
                raise RobustlensError(f"{path / split}: missing; put the folders <wnid>/*.JPEG there")
            splits[split] = by_class((f"{split}/{name}" for name in file_names(path / split)), split)
        source = read_image_files(path, splits.get("train"), splits["val"], scratch, self.size, self.resize)
        return replace(source, classes=_names()) if len(source.classes) == CLASSES else source


def _names() -> list[str]:
    """Of all classes, in the order of their WordNet ids."""
    from torchvision.models import ResNet50_Weights  # takes seconds, and other readers do without

    return list(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
