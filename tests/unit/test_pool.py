"""Pools: what is written, and every damage that is named when they are read."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robustlens.data.pool import load_pool
from robustlens.data.prepared import PreparedDataset, Split, centre
from robustlens.errors import RobustlensError
from robustlens.generators import pool
from robustlens.generators.gaussian import Gaussian
from robustlens.generators.pool import write_pool
from robustlens.generators.work import Work

SHAPE, CLASSES, PER_CLASS = (1, 2, 3), 3, 5
DATA = PreparedDataset({"shape": list(SHAPE), "classes": ["a", "b", "c"], "levels": 16}, {})


def train() -> Split:
    random, labels = np.random.default_rng(0), np.tile(np.arange(CLASSES), 4)
    return Split(random.integers(0, 17, (len(labels), *SHAPE), np.uint8), labels, np.arange(len(labels)), 16)


def written(folder: Path, generator=None, per_class: int = PER_CLASS, seed: int = 0, **settings) -> Path:
    fitted = generator or Gaussian("full", 0.1).fit(train().pixels(), train().labels, CLASSES, None, Work())
    write_pool(folder, fitted, SHAPE, CLASSES, per_class, seed, **settings)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_pool_is_read_as_a_split_of_the_dataset(tmp_path):
    read = load_pool(written(tmp_path / "a/pool"), DATA)
    assert read.images.shape == (15, *SHAPE) and read.images.dtype == np.uint8 and read.levels == 255
    assert isinstance(read.images, np.memmap) and read.labels.dtype == np.int64
    assert read.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5 and read.index.tolist() == list(range(15))
    assert sorted(path.name for path in (tmp_path / "a/pool").iterdir()) == ["images.npy", "labels.npy"]


def test_a_pool_is_cropped_as_the_training_images_are(tmp_path):
    written(tmp_path)
    whole = train().images
    cropped = PreparedDataset(
        DATA.sheet | {"shape": [1, 2, 2]}, {"train": replace(train(), images=centre(whole, 2), whole=whole)}
    )
    read, all_of_it = load_pool(tmp_path, cropped), load_pool(tmp_path, DATA)
    assert read.images.shape == (15, 1, 2, 2) and np.array_equal(read.whole, all_of_it.images)
    assert np.array_equal(read.images, centre(all_of_it.images, 2))
    other = PreparedDataset(DATA.sheet, {"train": replace(train(), images=whole[..., :2], whole=whole[..., :2])})
    with pytest.raises(RobustlensError, match=r"images.npy: not a pool of this dataset \(images of shape \[1, 2, 3\]"):
        load_pool(tmp_path, other)


def test_images_are_the_generator_s_samples_of_each_class_to_the_nearest_level(tmp_path):
    read = load_pool(written(tmp_path, seed=4), DATA)
    fitted = Gaussian("full", 0.1).fit(train().pixels(), train().labels, CLASSES, np.random.default_rng([4, 0]), Work())
    for label in range(CLASSES):
        samples = fitted.sample(label, PER_CLASS, np.random.default_rng([4, 1 + label]))
        assert abs(read.pixels(read.labels == label) - samples).max() <= 0.5 / 255 + 1e-6


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    first, second, other = (written(tmp_path / str(n), seed=seed) for n, seed in enumerate((0, 0, 1)))
    assert contents(first) == contents(second)
    assert contents(first)["images.npy"] != contents(other)["images.npy"]
    assert contents(first)["labels.npy"] == contents(other)["labels.npy"]


class Counting:
    """Draws images of grey 0/255, then 1/255, ..., and keeps how many were asked for at a time."""

    def __init__(self, asked):
        self.asked = asked

    def sample(self, label, count, random):
        self.asked.append(count)
        return np.full((count, *SHAPE), (len(self.asked) - 1) / 255)


def test_images_are_drawn_in_chunks_of_one_class_and_progress_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "CHUNK_VALUES", 2 * 6 + 1)  # two images of six values
    generator, told = Counting([]), []
    read = load_pool(written(tmp_path, generator, report=told.append), DATA)
    assert generator.asked == [2, 2, 1] * 3 and told == [2, 4, 5, 7, 9, 10, 12, 14, 15]
    assert read.images[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 6, 7, 7, 8]


def test_a_pool_takes_the_memory_of_its_labels_and_of_a_chunk(tmp_path, monkeypatch):
    """Drawn at once, the images of a class take 4.8 MB and as much again while they are drawn."""
    monkeypatch.setattr(pool, "CHUNK_VALUES", 6_000)
    tracemalloc.start()
    fitted = Gaussian("diagonal").fit(train().pixels(), train().labels, CLASSES, None, Work())
    tracemalloc.reset_peak()
    written(tmp_path, fitted, per_class=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 300_000 + 1_000_000


class Drawing(Counting):
    """Draws what it was given."""

    def sample(self, label, count, random):
        return self.asked


@pytest.mark.parametrize("images", [
    np.full((5, *SHAPE), 1.01), np.full((5, *SHAPE), -0.01), np.full((5, *SHAPE), np.nan), np.zeros((4, *SHAPE)),
    np.zeros((5, 1, 3, 2)),
], ids=["too bright", "too dark", "nan", "too few", "another shape"])  # fmt: skip
def test_images_that_are_none_are_refused_and_leave_nothing(images, tmp_path):
    with pytest.raises(RobustlensError, match=r"^class 0: the generator drew images of shape .* correct its `sample`$"):
        written(tmp_path, Drawing(images))
    assert list(tmp_path.iterdir()) == []


class Unlabelled(Drawing):
    def sample(self, label, count, random):
        assert label is None
        return random.random((count, *SHAPE))


def test_images_without_classes_are_labelled_as_they_are_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "CHUNK_VALUES", 6 * 4)
    seen = []

    def by_first_pixel(images):
        seen.append(images)
        return (images[:, 0, 0, 0] * 2.999).astype(int)

    read = load_pool(written(tmp_path, Unlabelled([]), labelled=by_first_pixel), DATA)
    assert len(read.labels) == 15 and [len(part) for part in seen] == [4, 4, 4, 3]
    assert np.array_equal(np.concatenate(seen), read.pixels())
    assert (
        read.labels.tolist() == (read.pixels()[:, 0, 0, 0] * 2.999).astype(int).tolist() and len(set(read.labels)) > 1
    )


# Damage ---------------------------------------------------------------------------------------------------------------


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, change(np.load(folder / name)))


def cut(name: str, bytes_left: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:bytes_left])


DAMAGES = {
    "images cut short": ("images.npy", cut("images.npy", -1), "not a pool of this dataset (mmap length is greater"),
    "labels cut short": ("labels.npy", cut("labels.npy", -8), "not a pool of this dataset (mmap length is greater"),
    "images emptied": ("images.npy", cut("images.npy", 0), "not a pool of this dataset ("),
    "a header cut short": ("labels.npy", cut("labels.npy", 20), "not a pool of this dataset ("),
    "no array": ("images.npy", lambda folder: (folder / "images.npy").write_text("x" * 500), "not a pool of this"),
    "objects": ("labels.npy", changed("labels.npy", lambda y: y.astype(object)), "not a pool of this dataset ("),
    "images missing": ("images.npy", lambda folder: (folder / "images.npy").unlink(), "no pool here; generate it"),
    "labels missing": ("labels.npy", lambda folder: (folder / "labels.npy").unlink(), "no pool here; generate it"),
    "images of another type": ("images.npy", changed("images.npy", lambda x: x / 255), "not a pool of this dataset "
                               "(float64 of 4 dimensions, where uint8 of 4 belong)"),
    "labels of another type": ("labels.npy", changed("labels.npy", lambda y: y.astype(np.int32)), "not a pool of this "
                               "dataset (int32 of 1 dimensions, where int64 of 1 belong)"),
    "flat images": ("images.npy", changed("images.npy", lambda x: x.reshape(15, 6)), "not a pool of this dataset "
                    "(uint8 of 2 dimensions, where uint8 of 4 belong)"),
    "labels in columns": ("labels.npy", changed("labels.npy", lambda y: y[:, None]), "not a pool of this dataset "
                          "(int64 of 2 dimensions"),
    "a label less": ("labels.npy", changed("labels.npy", lambda y: y[1:]), "not a pool of this dataset (14 labels of "
                     "15 images)"),
    "a label too large": ("labels.npy", changed("labels.npy", lambda y: y + 1), "not a pool of this dataset (labels "
                          "from 1 to 3, and the dataset's classes are 0 to 2)"),
    "a label below 0": ("labels.npy", changed("labels.npy", lambda y: y - 1), "not a pool of this dataset (labels "
                        "from -1 to 1, and"),
    "images of another size": ("images.npy", changed("images.npy", lambda x: x[..., :2]), "not a pool of this dataset "
                               "(images of shape [1, 2, 2], not [1, 2, 3])"),
    "images of more channels": ("images.npy", changed("images.npy", lambda x: x.repeat(3, axis=1)), "not a pool of "
                                "this dataset (images of shape [3, 2, 3], not [1, 2, 3])"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_named_with_its_file_and_what_to_do(damage, tmp_path):
    name, do, message = DAMAGES[damage]
    do(written(tmp_path))
    with pytest.raises(RobustlensError) as raised:
        load_pool(tmp_path, DATA)
    said = str(raised.value)
    assert said.startswith(f"{tmp_path / name}: {message}"), said
    assert said.endswith((f"delete {tmp_path} and run again to make it anew", f"first: snakemake {tmp_path / name}"))


def test_an_empty_pool_is_refused(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((0, *SHAPE), np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(0, np.int64))
    with pytest.raises(RobustlensError, match="not a pool of this dataset"):
        load_pool(tmp_path, DATA)
