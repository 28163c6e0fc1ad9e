"""Tiny ImageNet: 200 classes of ImageNet at 64x64 pixels (Le and Yang 2015, Stanford CS231n)."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from robustlens.data.archives import RENEW, file_names, files, lines
from robustlens.data.image_files import by_class, read_image_files
from robustlens.data.source import Source
from robustlens.errors import RobustlensError

INSIDE = "tiny-imagenet-200"


@dataclass(frozen=True)
class TinyImagenet200:
    """Reads tiny-imagenet-200.zip: images (N, 3, 64, 64), classes in the order of their WordNet ids.

    The test split is the archive's `val`, as in the papers: its own `test` has no labels. Grey images become RGB.
    """

    def read(self, folder: Path, scratch: Path) -> Source:
        path = folder / "tiny-imagenet-200.zip"
        texts = [f"{INSIDE}/{name}" for name in ("wnids.txt", "words.txt", "val/val_annotations.txt")]
        found = {name: lines(stream.read(), f"{path}: {name}") for name, stream in files(path, texts)}
        wnids, words, annotations = (found[name] for name in texts)
        names = file_names(path)
        train = by_class(names, f"{INSIDE}/train")
        if set(train.values()) != set(wnids):
            odd = min(set(train.values()) ^ set(wnids))
            raise RobustlensError(f"{path}: {texts[0]}: {odd} is not a class of both wnids.txt and train; {RENEW}")
        test = _annotated(annotations, set(wnids), f"{path}: {texts[2]}")
        odd = test.keys() ^ by_class(names, f"{INSIDE}/val").keys()
        if odd:
            raise RobustlensError(f"{path}: {texts[2]}: {min(odd)} is an image or a label without the other; {RENEW}")
        source = read_image_files(path, train, test, scratch, size=64)
        return replace(source, classes=_class_names(source.classes, words))


def _annotated(annotations: list[str], wnids: set[str], where: str) -> dict[str, str]:
    """The class of each image in `val`, sorted by name. A line is: image, WordNet id, and a box, between tabs."""
    found = {}
    for line in annotations:
        name, wnid = [*line.split("\t"), ""][:2]
        if wnid not in wnids:
            raise RobustlensError(f"{where}: {name!r} has the label {wnid!r}, which wnids.txt doesn't list; {RENEW}")
        if f"{INSIDE}/val/images/{name}" in found:
            raise RobustlensError(f"{where}: {name!r} has two labels; {RENEW}")
        found[f"{INSIDE}/val/images/{name}"] = wnid
    return dict(sorted(found.items()))


def _class_names(wnids: list[str], words: list[str]) -> list[str]:
    """The first word that words.txt has for each WordNet id, with the id where two classes share it."""
    first = {wnid: word.split(",")[0] for wnid, _, word in (line.partition("\t") for line in words)}
    names = [first.get(wnid, wnid) for wnid in wnids]
    count = Counter(names)
    return [name if count[name] == 1 else f"{name} ({wnid})" for name, wnid in zip(names, wnids, strict=True)]
