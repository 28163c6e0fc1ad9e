"""The user's own images, as arrays of images and of labels in a .npz file (numpy.savez)."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robustlens.data.archives import DAMAGED
from robustlens.data.own_files import ADVICE, is_checksum
from robustlens.data.own_splits import check_classes, share_out
from robustlens.data.prepared import checksum
from robustlens.data.source import Source
from robustlens.errors import RobustlensError
from robustlens.parameters import Fractional, Name, Names, OneOf, OrNull, PositiveInt, PositiveInts, nearest

HIGHEST = 255  # of uint8


@dataclass(frozen=True)
class Npz:
    """Reads images, uint8 (N, *shape) or (N, H, W, C), of one channel also (N, H, W), and labels, whole numbers (N,)
    from 0 to class_count - 1.

    shape: [C, H, W]. images, labels, test_images, test_labels: the names of the arrays. Without the last two the test
    split is `test_share` of each class; 0: what `splits` leaves. class_names: in the order of the labels; without them,
    the numbers. levels: the value that stands for white; by default 255. channels: which axis of an image has them,
    where the shape can't say. sha256: of the file; another one is refused. The arrays are held in memory.
    """

    path: Name
    class_count: PositiveInt
    shape: PositiveInts
    images: Name = "images"
    labels: Name = "labels"
    test_images: OrNull(Name) = None
    test_labels: OrNull(Name) = None
    test_share: Fractional = 0.0
    class_names: Names = ()
    levels: OrNull(PositiveInt) = None
    channels: OrNull(OneOf("first", "last")) = None
    sha256: OrNull(Name) = None

    def read(self, folder: Path, scratch: Path) -> Source:
        names = list(self.class_names) or [str(number) for number in range(self.class_count)]
        if len(set(names)) != self.class_count:
            raise RobustlensError(
                f"{self.path}: {len(set(names))} different `class_names`, and the reader's `class_count` is "
                f"{self.class_count}; change the one that is wrong"
            )
        sha256 = self._checksum()
        with self._opened() as file:
            images, labels = self._split(file, self.images, self.labels)
            if self._has_test():
                test_images, test_labels = self._split(file, self.test_images, self.test_labels)
            elif self.test_share:
                chosen = share_out(labels.tolist(), self.test_share, self.path)
                (test_images, test_labels), (images, labels) = (
                    (images[where], labels[where]) for where in (chosen, ~chosen)
                )
            else:
                test_images, test_labels = images[:0], labels[:0]
        images, labels = np.concatenate([images, test_images]), np.concatenate([labels, test_labels])
        facts = {"content": {"files": 1, "sha256": sha256}, "resizing": {"images": 0}}
        return Source(images, labels, names, len(test_labels), self._levels(images), facts)

    def sizes(self) -> dict[str, int]:
        """How many images there are to train and to test with, by the labels alone."""
        with self._opened() as file:
            labels = self._labels_alone(file, self.labels, "labels")
            if self._has_test():
                test_labels = self._labels_alone(file, self.test_labels, "test_labels")
                return {"train": len(labels), "test": len(test_labels)}
        test = int(share_out(labels.tolist(), self.test_share, self.path).sum()) if self.test_share else 0
        return {"train": len(labels) - test, "test": test}

    def _has_test(self) -> bool:
        if (self.test_images is None) != (self.test_labels is None):
            raise RobustlensError(f"{self.path}: `test_images` and `test_labels` belong together; give both or none")
        if self.test_images == self.images or (self.test_labels is not None and self.test_labels == self.labels):
            raise RobustlensError(
                f"{self.path}: training and test images are the same arrays; name others to test with"
            )
        if self.test_images is not None and self.test_share:
            raise RobustlensError(f"{self.path}: has test images of its own; drop the reader's `test_share`")
        return self.test_images is not None

    def _checksum(self) -> str:
        try:
            found = checksum(Path(self.path))
        except OSError as error:
            raise RobustlensError(
                f"{Path(self.path).absolute()}: can't be read ({error.strerror}); the reader's `path` is a .npz file"
            ) from error
        if self.sha256 is not None and not is_checksum(self.sha256, found):
            raise RobustlensError(
                f"{self.path}: has the SHA-256 {found}, and the configuration says {self.sha256}: the file was "
                "changed; put it back, or change or drop the reader's `sha256`"
            )
        return found

    def _opened(self) -> np.lib.npyio.NpzFile:
        try:
            file = np.load(self.path, allow_pickle=False)
        except OSError as error:
            if error.errno is None:  # numpy's own word for a pickle
                raise self._damaged(error) from error
            raise RobustlensError(
                f"{Path(self.path).absolute()}: can't be read ({error.strerror}); the reader's `path` is a .npz file"
            ) from error
        except DAMAGED as error:
            raise self._damaged(error) from error
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise RobustlensError(
                f"{self.path}: one array and no .npz file; join images and labels: "
                "numpy.savez(path, images=..., labels=...)"
            )
        return file

    def _damaged(self, error: Exception) -> RobustlensError:
        return RobustlensError(
            f"{self.path}: not a whole .npz file ({(str(error) or type(error).__name__).splitlines()[0]}); "
            "write it anew: numpy.savez(path, images=..., labels=...)"
        )

    def _array(self, file: np.lib.npyio.NpzFile, name: str, key: str) -> np.ndarray:
        if name not in file.files:
            raise RobustlensError(
                f"{self.path}: no array {name!r} in it{nearest(name, file.files)}; say what it is called: `{key}: NAME`"
            )
        try:
            return file[name]
        except (ValueError, OSError, zipfile.BadZipFile, *DAMAGED) as error:
            if "pickle" in str(error):
                raise RobustlensError(
                    f"{self.path}: {name}: an array of pickled objects, and a pickle is code that runs when it is "
                    "read; save arrays of numbers"
                ) from error
            raise self._damaged(error) from error

    def _split(self, file: np.lib.npyio.NpzFile, images: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
        test = images == self.test_images and self._has_test()
        keys = ("test_images", "test_labels") if test else ("images", "labels")
        found = self._checked_images(self._array(file, images, keys[0]), f"{self.path}: {images}")
        return found, self._checked_labels(self._array(file, labels, keys[1]), len(found), f"{self.path}: {labels}")

    def _labels_alone(self, file: np.lib.npyio.NpzFile, name: str, key: str) -> np.ndarray:
        labels = self._array(file, name, key)
        return self._checked_labels(labels, len(labels) if labels.ndim else 0, f"{self.path}: {name}")

    def _checked_images(self, images: np.ndarray, where: str) -> np.ndarray:
        channels, height, width = self.shape
        if images.ndim == 0:
            raise RobustlensError(f"{where}: a single number, where an array of images belongs; {ADVICE}")
        if images.dtype != np.uint8:
            reason = "convert them to whole numbers from 0 to 255: numpy.uint8"
            if images.dtype.kind == "f" and images.size and images.min() >= 0 and images.max() <= 1:
                reason = "they are between 0 and 1: numpy.round(255 * images).astype(numpy.uint8)"
            raise RobustlensError(f"{where}: {images.dtype} values, where images are uint8; {reason}")
        if images.size == 0:
            raise RobustlensError(f"{where}: holds no images; {ADVICE}")
        if channels == 1 and images.shape[1:] == (height, width):
            return images[:, None]
        forms = {"first": (channels, height, width), "last": (height, width, channels)}
        fits = [form for form, shape in forms.items() if images.shape[1:] == shape and self.channels in (None, form)]
        if not fits:
            wanted = [shape for form, shape in forms.items() if self.channels in (None, form)]
            belong = " or ".join(f"(N, {', '.join(map(str, shape))})" for shape in dict.fromkeys(wanted))
            raise RobustlensError(
                f"{where}: {images.shape}, where {belong} belongs; change the reader's `shape`, or the array"
            )
        if len(fits) == 2:
            raise RobustlensError(f"{where}: {images.shape} may have its channels first or last; say `channels: last`")
        return images if fits == ["first"] else images.transpose(0, 3, 1, 2)

    def _checked_labels(self, labels: np.ndarray, images: int, where: str) -> np.ndarray:
        if labels.ndim == 2 and labels.shape[1] == self.class_count and self.class_count > 1:
            raise RobustlensError(
                f"{where}: {labels.shape}, are they one-hot? make them numbers; numpy.argmax(labels, 1)"
            )
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise RobustlensError(
                f"{where}: {labels.dtype} {labels.shape}, where labels are whole numbers (N,); convert them"
            )
        if len(labels) != images:
            raise RobustlensError(f"{where}: {len(labels)} labels of {images} images; give one for each")
        wrong = (labels < 0) | (labels >= self.class_count)
        if wrong.any():
            first = int(np.argmax(wrong))
            hint = "do they count from 1? " if labels.min() == 1 and labels.max() == self.class_count else ""
            raise RobustlensError(
                f"{where}: label {labels[first]} of image {first} is not one of 0..{self.class_count - 1}; {hint}"
                "change the labels, or the reader's `class_count`"
            )
        check_classes(labels.tolist(), self.class_count, where, "numbers", range(self.class_count))
        return labels.astype(np.int64)

    def _levels(self, images: np.ndarray) -> int:
        """Without a word on it, images that use less than half of uint8's range may well be of another one: a network
        would see them nearly black."""
        highest = int(images.max())
        if self.levels is None and highest <= HIGHEST // 2:
            raise RobustlensError(
                f"{self.path}: the largest value of all images is {highest}; say what stands for white: "
                f"`levels: {max(1, highest)}`, or `levels: {HIGHEST}` if they are so dark"
            )
        levels = self.levels or HIGHEST
        if highest > levels:
            raise RobustlensError(
                f"{self.path}: an image has the value {highest}, and the reader's `levels` is {levels}; raise it"
            )
        if levels > HIGHEST:
            raise RobustlensError(f"{self.path}: `levels` {levels} is more than uint8 holds, {HIGHEST}; lower it")
        return levels
