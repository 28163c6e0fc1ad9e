"""What a dataset's reader returns, and how it becomes a prepared dataset."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from robustlens.atomic import replacing
from robustlens.data.array_file import array_file
from robustlens.data.prepared import checksum
from robustlens.errors import RobustlensError

CHUNK_BYTES = 64 * 2**20
LEFT_OUT = -1  # the label of images that no split takes


@dataclass(frozen=True)
class Source:
    """All images of a dataset, its official test split last.

    images: uint8 (N, C, H, W), values 0..levels; may be memory-mapped. labels: int64 (N,), the number of the class or
    LEFT_OUT. classes: one name per class.
    test: how many of the last images are the official test split; 0 where there is none.
    levels: the value that stands for 1.0.
    facts: what the prepared dataset's sheet says of it besides.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]
    test: int = 0
    levels: int = 255
    facts: dict = field(default_factory=dict)


def with_classes(source: Source, kept: list[int]) -> tuple[Source, dict]:
    """The source with some of its classes, and what the prepared dataset's sheet says of that.

    kept: their numbers, as in `source.labels`, in any order. They become 0, 1, ... in the order of the numbers. Images
    of other classes get the label LEFT_OUT; none is moved or copied, so positions are still those in `source`.
    The sheet's entry `classes_of_source` has the numbers that are `kept`, the `names` of all classes, and the names of
    those that the dataset is `without`.
    Raises RobustlensError for a number that is not of a class or is there twice, and for fewer than two classes.
    """
    kept = _checked_classes(kept, len(source.classes))
    numbers = np.full(len(source.classes), LEFT_OUT, np.int64)
    numbers[kept] = np.arange(len(kept))
    sheet = {
        "kept": kept,
        "names": source.classes,
        "without": [name for name, number in zip(source.classes, numbers, strict=True) if number == LEFT_OUT],
    }
    smaller = replace(source, labels=numbers[source.labels], classes=[source.classes[number] for number in kept])
    return smaller, {"classes_of_source": sheet}


def _checked_classes(kept: list[int], count: int) -> list[int]:
    """Sorted. count: how many classes there are."""
    unknown = sorted(set(kept) - set(range(count)))
    if unknown:
        raise RobustlensError(
            f"classes: {', '.join(map(str, unknown))}: not of this dataset, whose classes are 0..{count - 1}; give "
            "numbers of these"
        )
    twice = sorted(number for number in set(kept) if kept.count(number) > 1)
    if twice:
        raise RobustlensError(f"classes: {', '.join(map(str, twice))}: there more than once; give each number once")
    if len(kept) < 2:
        raise RobustlensError(
            f"classes: {len(kept)} of {count} kept, too few to tell apart; give at least two, or leave `classes` out "
            "for all of them"
        )
    return sorted(kept)


def split_positions(source: Source, splits: dict) -> dict[str, np.ndarray]:
    """Disjoint sorted positions for `train`, `validation` and `test`.

    splits: the configuration's entry. `validation` images are held out of the training images; `train` and `test` may
    be fewer than there are, or none where a dataset is for evaluation only. All draws are stratified, from `seed`. The
    test images are the official test split, or, in a dataset without one, those that the other two leave. Images with
    the label LEFT_OUT are in none.
    Raises RobustlensError for a split that there are too few images for, or too small to have every class.
    """
    everything, seed = np.flatnonzero(source.labels != LEFT_OUT), splits["seed"]
    official_test = everything >= len(source.labels) - source.test
    for_training = everything[~official_test]
    train, validation = splits["train"], splits["validation"]
    if train is None:
        if source.test == 0:
            raise RobustlensError(
                "splits: this dataset has no official test split: say in `train` how many images to train on; "
                "those that `train` and `validation` leave are the test split"
            )
        train = len(for_training) - validation
    held_out, rest = _draw(source.labels, for_training, validation, seed, "validation")
    chosen, left = _draw(source.labels, rest, train, seed, "train")
    test = everything[official_test] if source.test else left
    if splits["test"] is not None:
        test, _ = _draw(source.labels, test, splits["test"], seed, "test")
    if len(np.unique(source.labels[test])) < len(np.unique(source.labels[everything])):
        raise RobustlensError(
            f"splits: {train} training and {validation} validation images leave no test image for each class of the "
            f"{len(everything)} there are; lower `train` or `validation`"
        )
    return {"train": np.sort(chosen), "validation": np.sort(held_out), "test": np.sort(test)}


def _draw(labels: np.ndarray, among: np.ndarray, count: int, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """`count` of the positions `among`, classes in their proportions, and the others."""
    if count == 0:
        return among[:0], among
    classes = len(np.unique(labels[among]))
    if count < classes:
        raise RobustlensError(f"splits: {count} {name} images are fewer than the {classes} classes; raise `{name}`")
    if count == len(among):
        return among, among[:0]
    if count > len(among) - classes:
        raise RobustlensError(
            f"splits: {count} {name} images can't be drawn from the {len(among)} there are with every class left over; "
            f"lower `{name}`, or give exactly {len(among)}"
        )
    return tuple(train_test_split(among, train_size=count, stratify=labels[among], random_state=seed))


def write_prepared(
    source: Source,
    positions: dict[str, np.ndarray],
    folder: Path,
    facts: dict,
    report: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Write the splits as arrays with their sheet: classes, shape, levels, sizes, SHA-256, the given facts (name, and
    of which classes it is) and those of the source.

    Images are copied in chunks, so that a memory-mapped source never has to fit into memory.
    report: called with (bytes of images written, bytes in all) now and then.
    Raises RobustlensError, with how much is needed, where the images don't fit on the disk.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    per_image = int(np.prod(source.images.shape[1:]))
    chunk = max(1, CHUNK_BYTES // per_image)
    written, total, sums = 0, per_image * sum(map(len, positions.values())), {}
    for split, where in positions.items():
        shape = (len(where), *source.images.shape[1:])
        with array_file(folder / f"{split}_images.npy", shape, np.uint8, total - written) as file:
            for start in range(0, len(where), chunk):
                images = source.images[where[start : start + chunk]]
                file.write(np.ascontiguousarray(images))
                written += images.size
                report(written, total)
        for part, values in (("labels", source.labels[where]), ("index", where)):
            with array_file(folder / f"{split}_{part}.npy", values.shape, np.int64, total - written) as file:
                file.write(np.ascontiguousarray(values, np.int64))
        for part in ("images", "labels", "index"):
            sums[f"{split}_{part}.npy"] = checksum(folder / f"{split}_{part}.npy")
    sheet = {
        **facts,
        **source.facts,
        "classes": source.classes,
        "shape": list(source.images.shape[1:]),
        "levels": source.levels,
        "sizes": {split: len(where) for split, where in positions.items()},
        "official_test_split": source.test > 0,
        "sha256": sums,
    }
    with replacing(folder / "sheet.json") as temporary:
        temporary.write_text(json.dumps(sheet, indent=2) + "\n")
