"""Every dataset reader, the made-up archives that it reads, and what it says of damaged ones."""

import io
import re

import archives
import numpy as np
import pytest

from robustlens.data.afhq import Afhq
from robustlens.data.celeba import CelebA
from robustlens.data.cifar10 import Cifar10
from robustlens.data.cifar100 import Cifar100
from robustlens.data.imagenet import ImageNet
from robustlens.data.imagenet_64 import Imagenet64
from robustlens.data.imagenette_160 import Imagenette160
from robustlens.data.mnist import Mnist
from robustlens.data.stl10 import Stl10
from robustlens.data.svhn import Svhn
from robustlens.data.tiny_imagenet_200 import TinyImagenet200
from robustlens.errors import RobustlensError


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


PARTS = {part: f"Imagenet64_{part}_npz" for part in ("train_part1", "train_part2", "val")}


def imagenet_64():
    """Ten training batches of one image in two archives, and a test batch of two in a third one."""
    images, labels = archives.noise(12, 3, 64, 64), [999, 0, *range(1, 10), 7]
    rows, counted_from_1 = images.reshape(12, -1), np.array(labels) + 1
    members = {part: {} for part in PARTS}
    for number in reversed(range(10)):
        part = "train_part1" if number < 5 else "train_part2"
        members[part][f"{PARTS[part]}/train_data_batch_{number + 1}.npz"] = npz(
            data=rows[number : number + 1],
            labels=counted_from_1[number : number + 1],
            mean=rows.mean(0).astype(np.float32),
        )
    members["val"][f"{PARTS['val']}/val_data.npz"] = npz(data=rows[10:], labels=counted_from_1[10:])
    files = {f"{PARTS[part]}.zip": batches for part, batches in members.items()}
    return archives.Made(files, images, labels, [str(number) for number in range(1, 1001)], test=2)


READERS = {
    "cifar10": (Cifar10(), archives.cifar10),
    "cifar100": (Cifar100(), archives.cifar100),
    "svhn": (Svhn(), archives.svhn),
    "mnist": (Mnist(), archives.mnist),
    "stl10": (Stl10(), archives.stl10),
    "tiny-imagenet-200": (TinyImagenet200(), archives.tiny_imagenet_200),
    "imagenette-160": (Imagenette160(size=20), archives.imagenette_160),
    "imagenet": (ImageNet(train=True, resize=24, size=20), archives.imagenet),
    "afhq": (Afhq(size=20), archives.afhq),
    "celeba": (CelebA(size=18), archives.celeba),
    "imagenet-64": (Imagenet64(), imagenet_64),
}


def read(reader, made, folder):
    scratch = folder / "scratch"
    scratch.mkdir()
    return reader.read(made.write(folder / "downloads"), scratch)


def refusal(reader, made, folder):
    """What the reader says of a damaged dataset; it always says what to do."""
    with pytest.raises(RobustlensError) as error:
        read(reader, made, folder)
    assert re.search("fetch it again|put (the folders|what is missing)|free space|make ", str(error.value))
    return str(error.value)
