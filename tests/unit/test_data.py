"""Datasets: how they are read, split, written, and loaded with every file checked."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from robustlens.data.digits import Digits
from robustlens.data.prepared import PreparedDataset, array_names, checksum, load
from robustlens.data.source import Source, stratified_split, write_prepared
from robustlens.errors import RobustlensError

# Digits -----------------------------------------------------------------------------------------------------------


def test_digits_are_1797_grey_images_of_8_by_8_pixels_in_0_1():
    digits = Digits().read()
    assert digits.images.shape == (1797, 1, 8, 8) and digits.images.dtype == np.float32
    assert digits.images.min() == 0.0 and digits.images.max() == 1.0
    assert np.array_equal(digits.images * 16, np.round(digits.images * 16))
    assert digits.labels.shape == (1797,) and digits.labels.dtype == np.int64
    assert digits.classes == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # The first image of the UCI file is a nought: its first two rows, in sixteenths.
    assert (digits.images[0, 0, :2] * 16).tolist() == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]
    assert digits.labels[0] == 0


# Splits -----------------------------------------------------------------------------------------------------------

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [40, 40, 40, 60, 20]))


def test_splits_are_disjoint_complete_sorted_and_of_the_sizes_asked_for():
    split = stratified_split(LABELS, 100, 50, seed=0)
    assert [len(split[name]) for name in ("train", "validation", "test")] == [100, 50, 50]
    assert sorted(np.concatenate(list(split.values())).tolist()) == list(range(200))
    for positions in split.values():
        assert positions.tolist() == sorted(positions.tolist())


def test_splits_have_the_classes_in_their_overall_proportions():
    for positions in stratified_split(LABELS, 100, 50, seed=3).values():
        counts = np.bincount(LABELS[positions], minlength=5)
        assert counts.tolist() == [len(positions) * n // 200 for n in (40, 40, 40, 60, 20)]


def test_a_split_is_given_by_its_seed():
    first, again, other = (stratified_split(LABELS, 100, 50, seed) for seed in (1, 1, 2))
    for name in first:
        assert np.array_equal(first[name], again[name]) and not np.array_equal(first[name], other[name])


def test_a_split_that_just_fits_has_every_class_everywhere():
    labels = np.arange(30) % 3
    for positions in stratified_split(labels, 24, 3, seed=0).values():
        assert set(labels[positions]) == {0, 1, 2}


@pytest.mark.parametrize(("train", "validation", "message"), [
    (150, 46, "150 training and 46 validation images leave no test image for each class of the 200 there are; lower"),
    (1000, 10, "1000 training and 10 validation images leave no test image"),
    (4, 50, "4 training and 50 validation images are fewer than the 5 classes; raise `train` or `validation`"),
    (100, 4, "100 training and 4 validation images are fewer than the 5 classes"),
])  # fmt: skip
def test_a_split_that_does_not_fit_is_refused(train, validation, message):
    with pytest.raises(RobustlensError, match=message):
        stratified_split(LABELS, train, validation, seed=0)


# Files ------------------------------------------------------------------------------------------------------------


def source() -> Source:
    """Ten colour images whose values tell them apart."""
    images = np.arange(10 * 3 * 2 * 2, dtype=np.float32).reshape(10, 3, 2, 2) / 200
    return Source(images, np.arange(10) % 2, ["even", "odd"], "made up", "none")


POSITIONS = {"train": np.array([0, 3, 4, 5, 9]), "validation": np.array([1, 8]), "test": np.array([2, 6, 7])}


@pytest.fixture
def folder(tmp_path) -> Path:
    write_prepared(source(), POSITIONS, tmp_path / "data", "toy", split_seed=7)
    return tmp_path / "data"


def test_what_is_loaded_is_what_was_prepared(folder):
    data = load(folder)
    assert isinstance(data, PreparedDataset) and data.classes == 2 and data.channels == 3
    assert set(data.splits) == {"train", "validation", "test"}
    for name, where in POSITIONS.items():
        split = data.splits[name]
        assert split.images.dtype == np.float32 and split.labels.dtype == split.index.dtype == np.int64
        assert np.array_equal(split.images, source().images[where])
        assert np.array_equal(split.labels, where % 2)
        assert np.array_equal(split.index, where)


def test_the_sheet_says_what_the_arrays_are(folder):
    sheet = json.loads((folder / "sheet.json").read_text())
    sums = sheet.pop("sha256")
    assert sheet == {
        "name": "toy",
        "classes": ["even", "odd"],
        "shape": [3, 2, 2],
        "range": [0.0, pytest.approx(119 / 200)],
        "sizes": {"train": 5, "validation": 2, "test": 3},
        "split_seed": 7,
        "source": "made up",
        "licence": "none",
    }
    assert sorted(sums) == sorted(array_names()) and len(sums) == 9
    assert sorted(path.name for path in folder.iterdir()) == sorted([*array_names(), "sheet.json"])
    for name, value in sums.items():
        assert value == hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum(folder / name)


def test_preparing_twice_gives_the_same_bytes(folder, tmp_path):
    write_prepared(source(), POSITIONS, tmp_path / "again", "toy", split_seed=7)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.mark.parametrize("name", array_names())
def test_an_altered_array_is_named(name, folder):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(RobustlensError, match=f"{folder / name}: not the file that was prepared.*delete {folder}"):
        load(folder)


def test_an_altered_array_passes_where_checksums_are_not_wanted(folder):
    np.save(folder / "test_labels.npy", np.array([5, 5, 5]))
    assert load(folder, verify=False).splits["test"].labels.tolist() == [5, 5, 5]


@pytest.mark.parametrize("name", ["train_images.npy", "test_index.npy"])
def test_a_missing_array_is_named(name, folder):
    (folder / name).unlink()
    with pytest.raises(RobustlensError, match=f"{folder / name}: missing; delete {folder} and run again"):
        load(folder)


def test_a_folder_without_a_sheet_is_no_dataset(tmp_path):
    with pytest.raises(RobustlensError, match=f"{tmp_path}: no prepared dataset here"):
        load(tmp_path)


def test_a_sheet_that_was_cut_short_is_named(folder):
    text = (folder / "sheet.json").read_text()
    (folder / "sheet.json").write_text(text[: len(text) // 2])
    with pytest.raises(RobustlensError, match=f"{folder / 'sheet.json'}: damaged .*delete {folder}"):
        load(folder)
