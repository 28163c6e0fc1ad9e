"""Datasets of a few made-up images, in the archives and formats that the real ones come in.

Each function gives the files to write and what a reader should find in them. Change `files` before `write` to damage
one: an archive is a dictionary of its members, a list of (name, contents) to repeat a name, or plain bytes.
"""

import gzip
import io
import pickle
import struct
import tarfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

Archive = dict[str, bytes] | list[tuple[str, bytes]] | bytes


@dataclass
class Made:
    """files: by the name under the dataset's folder. images: uint8 (N, C, H, W), the last `test` of them for tests."""

    files: dict[str, Archive]
    images: np.ndarray
    labels: list[int]
    classes: list[str]
    test: int

    def write(self, folder: Path) -> Path:
        for name, contents in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(contents, bytes):
                path.write_bytes(contents)
            else:
                members = list(contents.items()) if isinstance(contents, dict) else contents
                path.write_bytes(zipped(members) if path.suffix == ".zip" else tarred(members))
        return folder


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Containers -------------------------------------------------------------------------------------------------------


def tarred(members: list[tuple[str, bytes]], *extra: tarfile.TarInfo) -> bytes:
    """A .tar.gz with the folders of the members, the members, and `extra` entries without contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for folder in _folders(members):
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        for name, contents in members:
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))
        for info in extra:
            tar.addfile(info)
    return buffer.getvalue()


def zipped(members: list[tuple[str, bytes]], *extra: zipfile.ZipInfo) -> bytes:
    """A .zip with the folders of the members, the members, and `extra` entries without contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for folder in _folders(members):
            archive.writestr(f"{folder}/", b"")
        for name, contents in members:
            archive.writestr(name, contents)
        for info in extra:
            archive.writestr(info, b"target")
    return buffer.getvalue()


def _folders(members: list[tuple[str, bytes]]) -> list[str]:
    """The folders that an archiver would write entries for."""
    found = {name.strip("/").rpartition("/")[0] for name, _ in members}
    return sorted(folder for folder in found if folder and ".." not in folder)


def jpeg(height: int, width: int, seed: int, mode: str = "RGB") -> bytes:
    """A JPEG of coarse noise: what is decoded differs from place to place and from seed to seed."""
    coarse = noise((height + 3) // 4, (width + 3) // 4, {"L": 1, "RGB": 3, "CMYK": 4}[mode], seed=seed)
    fine = coarse.repeat(4, 0).repeat(4, 1)[:height, :width]
    buffer = io.BytesIO()
    Image.frombytes(mode, (width, height), fine.tobytes()).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def decoded(contents: bytes, size: int) -> np.ndarray:
    """uint8 (3, size, size): the middle of an image."""
    image = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size].transpose(2, 0, 1)


def python2_pickle(value: object) -> bytes:
    """A pickle as Python 2 and numpy 1 wrote it: protocol 2, text and bytes both as byte strings."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: object) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_opcodes(key) + _opcodes(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_opcodes, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_opcodes, value)) + b"t"
    if isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    kind = b"cnumpy\ndtype\n" + _opcodes((value.dtype.str[1:], 0, 1)) + b"R"
    kind += b"(K\x03" + _opcodes(value.dtype.str[0]) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    return empty + b"(K\x01" + _opcodes(value.shape) + kind + b"\x89" + _opcodes(value.tobytes()) + b"tb"


def python3_pickle(value: object) -> bytes:
    """A pickle as Python 3 before 3.8 and numpy 1 wrote it."""
    return pickle.dumps(value, protocol=3).replace(b"cnumpy._core.", b"cnumpy.core.")


def idx(array: np.ndarray) -> bytes:
    """An idx file, gzipped: type 8 is uint8, the lengths are big-endian."""
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes(), mtime=0)


def mat(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, arrays, do_compression=True)
    return buffer.getvalue()


# Datasets ---------------------------------------------------------------------------------------------------------


def cifar10() -> Made:
    images, labels = noise(12, 3, 32, 32), [3, 0, 9, 1, 1, 2, 5, 8, 7, 6, 4, 3]
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    members = {"cifar-10-batches-py/batches.meta": python2_pickle({"num_vis": 3072, "label_names": names})}
    for number in reversed(range(6)):
        batch = {
            "batch_label": f"training batch {number + 1} of 5",
            "labels": labels[2 * number : 2 * number + 2],
            "data": images[2 * number : 2 * number + 2].reshape(2, 3072),
            "filenames": ["a.png", "b.png"],
        }
        name = f"data_batch_{number + 1}" if number < 5 else "test_batch"
        members[f"cifar-10-batches-py/{name}"] = python2_pickle(batch)
    members["cifar-10-batches-py/readme.html"] = b"<html>"
    return Made({"cifar-10-python.tar.gz": members}, images, labels, names, test=2)


def cifar100() -> Made:
    images, fine = noise(5, 3, 32, 32), [99, 0, 42, 7, 99]
    names = [f"class {number}" for number in range(100)]
    meta = {"fine_label_names": names, "coarse_label_names": ["fish"] * 20}
    members = {"cifar-100-python/meta": python2_pickle(meta)}
    for name, where in (("test", slice(3, 5)), ("train", slice(0, 3))):
        rows = images[where].reshape(-1, 3072)
        batch = {"fine_labels": fine[where], "coarse_labels": [0] * len(rows), "data": rows}
        members[f"cifar-100-python/{name}"] = python2_pickle(batch)
    return Made({"cifar-100-python.tar.gz": members}, images, fine, names, test=2)


def svhn() -> Made:
    images, labels = noise(15, 3, 32, 32), [*range(10), 0, 9, 1, 5, 5]
    files = {}
    for name, where in (("train", slice(0, 10)), ("test", slice(10, 15))):
        y = np.array([[digit or 10] for digit in labels[where]], np.uint8)
        files[f"{name}_32x32.mat"] = mat(X=np.ascontiguousarray(images[where].transpose(2, 3, 1, 0)), y=y)
    return Made(files, images, labels, [str(digit) for digit in range(10)], test=5)


def mnist() -> Made:
    images, labels = noise(7, 1, 28, 28), [7, 2, 1, 0, 4, 1, 9]
    files = {}
    for name, where in (("train", slice(0, 4)), ("t10k", slice(4, 7))):
        files[f"{name}-images-idx3-ubyte.gz"] = idx(images[where, 0])
        files[f"{name}-labels-idx1-ubyte.gz"] = idx(np.array(labels[where], np.uint8))
    return Made(files, images, labels, [str(digit) for digit in range(10)], test=3)


def stl10() -> Made:
    images, labels = noise(5, 3, 96, 96), [9, 0, 4, 1, 0]
    names = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    members = {"stl10_binary/unlabeled_X.bin": bytes(27648), "stl10_binary/class_names.txt": "\n".join(names).encode()}
    for name, where in (("test", slice(3, 5)), ("train", slice(0, 3))):
        members[f"stl10_binary/{name}_X.bin"] = images[where].transpose(0, 1, 3, 2).tobytes()
        members[f"stl10_binary/{name}_y.bin"] = bytes(label + 1 for label in labels[where])
    return Made({"stl10_binary.tar.gz": members}, images, labels, names, test=2)


def tiny_imagenet_200() -> Made:
    top = "tiny-imagenet-200"
    members = {
        f"{top}/wnids.txt": b"n02124075\nn01443537\n",  # in no order, as in the real archive
        f"{top}/words.txt": b"n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\nn02124075\tEgyptian cat\n",
        f"{top}/test/images/test_0.JPEG": jpeg(64, 64, seed=90),
        f"{top}/val/images/val_1.JPEG": jpeg(64, 64, seed=4),
        f"{top}/val/images/val_0.JPEG": jpeg(64, 64, seed=5),
        f"{top}/val/val_annotations.txt": b"val_1.JPEG\tn01443537\t0\t0\t9\t9\nval_0.JPEG\tn02124075\t0\t0\t9\t9\n",
    }
    train = [("n02124075", 0, "RGB"), ("n01443537", 10, "L"), ("n01443537", 9, "RGB")]
    for seed, (wnid, number, mode) in enumerate(train):
        members[f"{top}/train/{wnid}/images/{wnid}_{number}.JPEG"] = jpeg(64, 64, seed, mode)
        members[f"{top}/train/{wnid}/{wnid}_boxes.txt"] = b"x\t0\t0\t9\t9\n"
    order = [
        "train/n01443537/images/n01443537_10.JPEG",
        "train/n01443537/images/n01443537_9.JPEG",
        "train/n02124075/images/n02124075_0.JPEG",
        "val/images/val_0.JPEG",
        "val/images/val_1.JPEG",
    ]
    images = np.stack([decoded(members[f"{top}/{name}"], 64) for name in order])
    return Made({"tiny-imagenet-200.zip": members}, images, [0, 0, 1, 1, 0], ["goldfish", "Egyptian cat"], test=2)


def _class_folders(top: str, train: str, test: str, folders: list[str], suffix: str, short: int, size: int) -> Made:
    """Four training and two test images of two classes, shorter side `short`, of which the middle is wanted."""
    shapes = [(short, short + 6), (short + 4, short), (short, short), (short + 10, short), (short, short), (short, 30)]
    names = [f"{top}{train}/{folder}/{name}{suffix}" for folder in folders for name in ("a_10", "a_9")]
    names += [f"{top}{test}/{folder}/b{suffix}" for folder in folders]
    contents = {name: jpeg(*shape, seed=seed) for seed, (name, shape) in enumerate(zip(names, shapes, strict=True))}
    images = np.stack([decoded(contents[name], size) for name in names])
    members = {f"{top}README": b"", **dict(reversed(contents.items())), f"{top}{train}/.hidden.jpg": b""}
    return Made({"archive": members}, images, [0, 0, 1, 1, 0, 1], folders, test=2)


def imagenette_160() -> Made:
    """For size 20."""
    made = _class_folders("imagenette2-160/", "train", "val", ["n01440764", "n03888257"], ".JPEG", 20, 20)
    made.files = {"imagenette2-160.tgz": made.files["archive"]}
    made.classes = ["tench", "parachute"]
    return made


def imagenet() -> Made:
    """For resize 24 and size 20."""
    made = _class_folders("", "train", "val", ["n01440764", "n01443537"], ".JPEG", 24, 20)
    made.files = {f"imagenet/{name}": contents for name, contents in made.files["archive"].items()}
    return made


def afhq(test: str = "val", top: str = "afhq/") -> Made:
    """For size 20."""
    made = _class_folders(top, "train", test, ["cat", "dog"], ".jpg", 20, 20)
    made.files = {"afhq.zip": made.files["archive"]}
    return made


def celeba() -> Made:
    """For size 18. Classes 0 and 1 are women, 2 and 3 men; 1 and 3 smile."""
    faces = [  # class, official split, whether it is one of as many as the rarest class of its split has
        (3, 0, True),
        (0, 0, True),
        (0, 0, True),
        (0, 0, False),
        (1, 1, False),
        (2, 0, True),
        (1, 0, True),
        (1, 0, True),
        (3, 0, True),
        (2, 0, True),
        (0, 2, True),
        (1, 2, True),
        (3, 2, True),
        (3, 2, False),
        (2, 2, True),
        (2, 1, False),
    ]
    names = [f"{number:06d}.jpg" for number in range(1, len(faces) + 1)]
    attributes = f"{len(faces)}\n5_o_Clock_Shadow Male Mouth_Slightly_Open Smiling Young \n"
    for name, (label, _, _) in zip(names, faces, strict=True):
        attributes += f"{name} -1 {1 if label > 1 else -1:2d}  1 {1 if label % 2 else -1:2d} -1\n"
    partition = "".join(f"{name} {split}\n" for name, (_, split, _) in zip(names, faces, strict=True))
    members = {f"img_align_celeba/{name}": jpeg(22, 18, seed) for seed, name in enumerate(names)}
    wanted = [number for split in (0, 2) for number, face in enumerate(faces) if face[1] == split and face[2]]
    return Made(
        {
            "img_align_celeba.zip": dict(reversed(members.items())),
            "list_attr_celeba.txt": attributes.encode(),
            "list_eval_partition.txt": partition.encode(),
        },
        np.stack([decoded(members[f"img_align_celeba/{names[number]}"], 18) for number in wanted]),
        [faces[number][0] for number in wanted],
        ["female, not smiling", "female, smiling", "male, not smiling", "male, smiling"],
        test=4,
    )
