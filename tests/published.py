"""Published sample sets of twenty made-up images, in every layout."""

import io
import zipfile
from pathlib import Path

import numpy as np
from archives import noise, tarred, zipped
from PIL import Image

CLASSES = ["cat", "dog", "fox", "owl"]
SHAPE = (3, 4, 4)
RED = 7  # the number of an image that is red all over
# As published files are sorted: class after class.
LABELS = np.repeat(np.arange(4), 5)
IMAGES = noise(20, *SHAPE, seed=3)
IMAGES[RED] = np.array([255, 0, 0])[:, None, None]
LAST = np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1))  # with the channels last


def npz(path: Path, compressed: bool = False, **arrays: np.ndarray) -> dict:
    """A .npz; the arrays that are not given are as DeepMind and EDM name them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save = np.savez_compressed if compressed else np.savez
    save(path, **({"image": LAST, "label": LABELS} | arrays))
    return {"layout": "npz", "file": path.name}


def raw(folder: Path, images: bytes = LAST.tobytes(), labels: np.ndarray = LABELS) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images.bin").write_bytes(images)
    np.save(folder / "labels.npy", labels)
    return {"layout": "raw", "file": "images.bin", "labels_file": "labels.npy"}


def png(image: np.ndarray) -> bytes:
    """Of an image (H, W, 3) or (H, W)."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def members(names: list[str], above: str = "") -> dict[str, bytes]:
    """The files of a folder per class of these names, in no order."""
    found = {
        f"{above}{names[label]}/{number:02d}.png": png(image)
        for number, (image, label) in enumerate(zip(LAST, LABELS, strict=True))
    }
    return {name: found[name] for name in sorted(found, key=lambda name: name[::-1])}


def archive(path: Path, contents: dict[str, bytes]) -> dict:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((zipped if path.suffix == ".zip" else tarred)(list(contents.items())))
    return {"layout": "folder", "file": path.name}


def by_hand(folder: Path, contents: dict[str, bytes]) -> dict:
    for name, content in contents.items():
        (folder / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "set" / name).write_bytes(content)
    return {"layout": "folder", "folder": "set"}


def rewritten(path: Path, name: str, content: bytes) -> None:
    """A .npz in which one member has other contents."""
    with zipfile.ZipFile(path) as old:
        kept = {member: old.read(member) for member in old.namelist()} | {name: content}
    path.write_bytes(zipped(list(kept.items())))
