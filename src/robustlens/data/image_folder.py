"""The user's own images, as image files in a folder per class: the layout of torchvision's ImageFolder."""

import hashlib
import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from robustlens.data.archives import blamed_on, file_names
from robustlens.data.image_files import pixels, stored
from robustlens.data.own_files import ADVICE, content_checksum, is_checksum
from robustlens.data.own_splits import check_classes, share_out
from robustlens.data.source import Source
from robustlens.errors import RobustlensError
from robustlens.parameters import Flag, Fractional, Name, OrNull, PositiveInt

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")  # torchvision's
EIGHT_BITS = ("1", "L", "P", "RGB", "CMYK", "YCbCr")
WITH_ALPHA = ("LA", "PA", "RGBA")
BITS_PER_SAMPLE = 258  # a tag of TIFF
OTHER_SPLITS = {"train", "dev", "val", "valid", "validation"}
SPLITS = OTHER_SPLITS | {"training", "test", "tests", "testing", "eval", "evaluation"}


@dataclass(frozen=True)
class ImageFolder:
    """Reads <path>/<class>/.../<image>, or <path>/train and <path>/test of such folders.

    Images become (N, 3, size, size), with `grey` (N, 1, size, size): the shorter side is brought to `size` pixels
    (bilinear, antialiased) and the centre cut out. Classes are in the order of their folders' names; hidden files are
    left out. test_share: how much of each class is the test split, where there are no folders train/ and test/; 0:
    what `splits` leaves. sha256: of the content, as the sheet has it; another one is refused.
    """

    path: Name
    class_count: PositiveInt
    size: PositiveInt
    grey: Flag = False
    test_share: Fractional = 0.0
    sha256: OrNull(Name) = None

    def read(self, folder: Path, scratch: Path) -> Source:
        train, test = self._splits()
        names = [*train, *test]
        classes = sorted({*train.values(), *test.values()})
        number = {name: position for position, name in enumerate(classes)}
        labels = np.array([number[name] for name in [*train.values(), *test.values()]], np.int64)
        digests, found = {}, Counter()

        def decode(content: bytes, name: str) -> np.ndarray:
            digests[name] = hashlib.sha256(content).hexdigest()
            image, size = self._image(content, f"{self.path}/{name}")
            found[size] += 1
            return image

        shape = (1 if self.grey else 3, self.size, self.size)
        images = stored(Path(self.path), names, scratch, shape, decode)
        sha256 = content_checksum(digests)
        if self.sha256 is not None and not is_checksum(self.sha256, sha256):
            raise RobustlensError(
                f"{self.path}: its content has the SHA-256 {sha256}, and the configuration says {self.sha256}: files "
                "were changed, added or removed; put them back, or change or drop the reader's `sha256`"
            )
        facts = {"content": {"files": len(names), "sha256": sha256}, "resizing": _resizing(found, self.size)}
        return Source(images, labels, classes, test=len(test), facts=facts)

    def sizes(self) -> dict[str, int]:
        """How many images there are to train and to test with, by the names of the files alone."""
        train, test = self._splits()
        return {"train": len(train), "test": len(test)}

    def _splits(self) -> tuple[dict[str, str], dict[str, str]]:
        """The class of each training and of each test image, by its name below `path`."""
        root = Path(self.path)
        if not root.is_dir():
            raise RobustlensError(
                f"{root.absolute()}: no folder there; the reader's `path` is the folder of the folders <class>/<image>"
            )
        names = [PurePosixPath(name) for name in file_names(root)]
        names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
        # A folder without files is seen, too: it is a class without images.
        with blamed_on(str(root), ADVICE):
            tops = {entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")}
        if {"train", "test"} <= tops:
            return self._stated_splits(names, tops)
        if "train" in tops and tops <= OTHER_SPLITS:
            raise RobustlensError(
                f"{root}: has the folders {', '.join(sorted(tops))}, but no test; call the folder of the test images "
                "test (images to validate with are taken out of train), or give `path` the folder of the classes"
            )
        if tops and {name.lower() for name in tops} <= SPLITS:
            raise RobustlensError(
                f"{root}: {', '.join(sorted(tops))} are called like splits, not like classes; call the two that are "
                "wanted train and test, and move others away"
            )
        found = _by_class(names, root)
        self._check_folders(tops, found, root)
        check_classes(list(found.values()), self.class_count, f"{root}", "folders", sorted(tops))
        if not self.test_share:
            return found, {}
        chosen = share_out(list(found.values()), self.test_share, f"{root}")
        test = {name: label for (name, label), is_test in zip(found.items(), chosen, strict=True) if is_test}
        return {name: label for name, label in found.items() if name not in test}, test

    def _stated_splits(self, names: list[PurePosixPath], tops: set[str]) -> tuple[dict[str, str], dict[str, str]]:
        root = Path(self.path)
        if self.test_share:
            raise RobustlensError(f"{root}: has folders train and test; drop the reader's `test_share`")
        if odd := sorted(tops - {"train", "test"}):
            raise RobustlensError(
                f"{root}: {odd[0]} lies beside train and test; move it away (images to validate with are taken out of "
                "train, as `splits.validation` says)"
            )
        splits = []
        for split in ("train", "test"):
            inside = [name.relative_to(split) for name in names if name.parts[0] == split]
            with blamed_on(str(root / split), ADVICE):
                folders = {one.name for one in os.scandir(root / split) if one.is_dir() and one.name[0] != "."}
            found = _by_class(inside, root / split)
            self._check_folders(folders, found, root / split)
            check_classes(list(found.values()), self.class_count, f"{root / split}", "folders", sorted(folders))
            splits.append({f"{split}/{name}": label for name, label in found.items()})
        if odd := sorted(set(splits[0].values()) ^ set(splits[1].values())):
            raise RobustlensError(f"{root}: class {odd[0]} is in one of train and test only; {ADVICE}")
        return splits[0], splits[1]

    def _check_folders(self, folders: set[str], found: dict[str, str], where: Path) -> None:
        if empty := sorted(folders - set(found.values())):
            raise RobustlensError(f"{where / empty[0]}: a class without images; put some there, or remove the folder")

    def _image(self, content: bytes, where: str) -> tuple[np.ndarray, tuple[int, int]]:
        """uint8 (C, size, size), and the (width, height) that the file has."""
        try:
            with Image.open(io.BytesIO(content)) as file:
                mode, size, bits = file.mode, file.size, _bits(file, content)
                clear = mode in WITH_ALPHA or "transparency" in file.info
                opaque = not clear or file.convert("RGBA").getchannel("A").getextrema() == (255, 255)
        except Exception as error:  # Pillow raises whatever the damaged part makes fail
            raise RobustlensError(f"{where}: not a readable image ({error}); {ADVICE}") from error
        if bits > 8 or mode not in (*EIGHT_BITS, *WITH_ALPHA):
            raise RobustlensError(
                f"{where}: its values have more than 8 bits (Pillow's mode {mode}), which would be cut off; convert it "
                "to 8 bits"
            )
        if not opaque:
            raise RobustlensError(f"{where}: partly transparent; put it on a background of your choice")
        image = pixels(content, where, self.size, self.size, ADVICE)
        if not self.grey:
            return image, size
        if (image != image[0]).any():
            raise RobustlensError(f"{where}: in colour, and the reader says `grey: true`; drop that, or convert it")
        return image[:1], size


def _bits(file: Image.Image, content: bytes) -> int:
    """Of a value, as far as Pillow's mode does not say it: it reads colours of 16 bits as those of 8."""
    if file.format == "PNG":
        return content[24]  # of the header IHDR
    if file.format == "TIFF":
        return max(file.tag_v2.get(BITS_PER_SAMPLE, (8,)))
    if file.format == "PPM" and file.tile[0].codec_name == "ppm":
        _, largest = file.tile[0].args
        return largest.bit_length()
    return 8


def _by_class(names: list[PurePosixPath], root: Path) -> dict[str, str]:
    """The class of each image, by its name. Raises RobustlensError for other files in the classes' folders, and for
    images that are in none."""
    found = {}
    for name in names:
        is_image = name.suffix.lower() in SUFFIXES
        if is_image and len(name.parts) == 1:
            raise RobustlensError(f"{root / name}: an image in no class; move it into the folder of its class")
        if len(name.parts) == 1:
            continue  # a licence, a list of labels: not a part of the images
        if not is_image:
            raise RobustlensError(
                f"{root / name}: not an image file by its name ({', '.join(SUFFIXES)}); convert it, or move it away"
            )
        found[str(name)] = name.parts[0]
    if not found:
        raise RobustlensError(f"{root}: no image files in it; they belong in a folder per class, <class>/<image>.png")
    return found


def _resizing(found: Counter, size: int) -> dict:
    """What the sheet says of the sizes that the images had, as [width, height]."""
    resized = {one: count for one, count in found.items() if one != (size, size)}
    if not resized:
        return {"images": 0}
    return {
        "images": sum(resized.values()),
        "enlarged": sum(count for one, count in resized.items() if min(one) < size),
        "smallest": list(min(resized, key=lambda one: (one[0] * one[1], one))),
        "largest": list(max(resized, key=lambda one: (one[0] * one[1], one))),
        "how": f"shorter side to {size} pixels (bilinear, antialiased), centre cut out",
    }
