"""Datasets that come as image files: which belong to which class, and their pixels."""

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from robustlens.data.archives import RENEW, files, what_to_do
from robustlens.data.disk_space import filling
from robustlens.data.source import Source
from robustlens.errors import RobustlensError

SUFFIXES = (".jpeg", ".jpg", ".png")


def by_class(names: Iterable[str], folder: str) -> dict[str, str]:
    """The class of each image file <folder>/<class>/... of `names`, in their order."""
    found = {}
    for name in names:
        path = PurePosixPath(name)
        if name.startswith(f"{folder}/") and path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            inside = path.relative_to(folder).parts
            if len(inside) > 1:
                found[name] = inside[0]
    return found


def read_image_files(
    path: Path, train: dict[str, str] | None, test: dict[str, str], scratch: Path, size: int, resize: int | None = None
) -> Source:
    """The image files of an archive or folder with their classes, in the order of `train` and then of `test`.

    train, test: the class of each file, by name; train None: only the test split is wanted. size, resize: see `pixels`.
    The images are uint8 (N, 3, size, size), memory-mapped in `scratch`; the classes are sorted.
    Raises RobustlensError for images that are missing or unreadable, unless both splits have the same classes, and
    where the images don't fit on the disk.
    """
    classes, advice = sorted(set(test.values())), what_to_do(path)
    for split, found in (("training", train), ("test", test)):
        if found is not None and not found:
            raise RobustlensError(f"{path}: holds no {split} images; {advice}")
    if train is not None and sorted(set(train.values())) != classes:
        odd = min(set(train.values()) ^ set(classes))
        raise RobustlensError(f"{path}: class {odd} is in one of the splits only; {advice}")
    label = {name: number for number, name in enumerate(classes)}
    split = {**(train or {}), **test}

    def decode(content: bytes, name: str) -> np.ndarray:
        return pixels(content, f"{path}: {name}", size, resize, advice)

    images = stored(path, list(split), scratch, (3, size, size), decode)
    return Source(images, np.array([label[name] for name in split.values()], np.int64), classes, test=len(test))


def stored(
    path: Path,
    names: Sequence[str],
    scratch: Path,
    shape: tuple[int, int, int],
    decode: Callable[[bytes, str], np.ndarray],
) -> np.memmap:
    """The image files `names` of an archive or folder, in that order: uint8 (N, *shape), memory-mapped in `scratch`.

    decode: the pixels of a file, from its content and its name. Raises RobustlensError, with how much is needed, where
    the images don't fit on the disk.
    """
    position = {name: number for number, name in enumerate(names)}
    per_image = int(np.prod(shape))
    total = per_image * len(names)  # and as much again for the splits of it
    with filling(scratch, total, later=total), open(scratch / "images.bin", "wb") as out:
        for name, stream in files(path, position):
            out.seek(position[name] * per_image)
            out.write(np.ascontiguousarray(decode(stream.read(), name)))
    return np.memmap(scratch / "images.bin", np.uint8, "r", shape=(len(names), *shape))


def pixels(content: bytes, where: str, size: int, resize: int | None = None, advice: str = RENEW) -> np.ndarray:
    """uint8 (3, size, size) of an image file; grey, palette and CMYK images become RGB.

    resize: the shorter side is brought to this many pixels (bilinear, antialiased) and the centre cut out, as by
    torchvision's Resize and CenterCrop. None: the image must be size x size.
    Raises RobustlensError, naming `where` and ending in `advice`, for an image that can't be read or has another size.
    """
    try:
        with Image.open(io.BytesIO(content)) as file:
            image = file.convert("RGB")
    except Exception as error:  # Pillow raises whatever the damaged part makes fail
        raise RobustlensError(f"{where}: not a readable image ({error}); {advice}") from error
    if resize is not None and min(image.size) != resize:
        shorter = min(image.size)
        image = image.resize([int(resize * side / shorter) for side in image.size], Image.Resampling.BILINEAR)
    width, height = image.size
    if min(image.size) < size or (resize is None and image.size != (size, size)):
        raise RobustlensError(f"{where}: {width}x{height} pixels where {size}x{size} belong; {advice}")
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size))).transpose(2, 0, 1)
