"""Datasets: how they are read, split, written, and loaded with every file checked."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import REPOSITORY

from robustlens.data.digits import Digits
from robustlens.data.prepared import PreparedDataset, array_names, checksum, load
from robustlens.data.source import LEFT_OUT, Source, split_positions, with_classes, write_prepared
from robustlens.errors import RobustlensError
from robustlens.planning.datasets import expected

# Digits -----------------------------------------------------------------------------------------------------------


def test_digits_are_1797_grey_images_of_8_by_8_pixels_with_17_levels(tmp_path):
    digits = Digits().read(tmp_path, tmp_path)
    assert digits.images.shape == (1797, 1, 8, 8) and digits.images.dtype == np.uint8
    assert digits.images.min() == 0 and digits.images.max() == 16 == digits.levels and digits.test == 0
    assert digits.labels.shape == (1797,) and digits.labels.dtype == np.int64
    assert digits.classes == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # The first image of the UCI file is a nought: its first two rows.
    assert digits.images[0, 0, :2].tolist() == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]
    assert digits.labels[0] == 0


# Splits -----------------------------------------------------------------------------------------------------------

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [40, 40, 40, 60, 20]))


def labelled(labels: np.ndarray, test: int = 0) -> Source:
    """Images of one pixel; the last `test` are the official test split."""
    return Source(np.zeros((len(labels), 1, 1, 1), np.uint8), labels, list("abcdefgh"[: labels.max() + 1]), test)


def splits(train: int | None, validation: int, test: int | None = None, seed: int = 0) -> dict:
    return {"train": train, "validation": validation, "test": test, "seed": seed}


def test_splits_are_disjoint_complete_sorted_and_of_the_sizes_asked_for():
    split = split_positions(labelled(LABELS), splits(100, 50))
    assert [len(split[name]) for name in ("train", "validation", "test")] == [100, 50, 50]
    assert sorted(np.concatenate(list(split.values())).tolist()) == list(range(200))
    for positions in split.values():
        assert positions.tolist() == sorted(positions.tolist())


def test_splits_have_the_classes_in_their_overall_proportions():
    for positions in split_positions(labelled(LABELS), splits(100, 50, seed=3)).values():
        counts = np.bincount(LABELS[positions], minlength=5)
        assert counts.tolist() == [len(positions) * n // 200 for n in (40, 40, 40, 60, 20)]


def test_a_split_is_given_by_its_seed():
    first, again, other = (split_positions(labelled(LABELS), splits(100, 50, seed=seed)) for seed in (1, 1, 2))
    for name in first:
        assert np.array_equal(first[name], again[name]) and not np.array_equal(first[name], other[name])


def test_the_official_test_split_is_kept_whole_and_apart():
    labels = np.concatenate([LABELS, np.arange(30) % 5])
    split = split_positions(labelled(labels, test=30), splits(None, 20))
    assert split["test"].tolist() == list(range(200, 230))
    assert len(split["train"]) == 180 and len(split["validation"]) == 20
    assert sorted([*split["train"], *split["validation"]]) == list(range(200))


def test_fewer_training_and_test_images_are_drawn_with_every_class():
    labels = np.concatenate([LABELS, np.arange(30) % 5])
    split = split_positions(labelled(labels, test=30), splits(50, 20, test=10))
    assert [len(split[name]) for name in ("train", "validation", "test")] == [50, 20, 10]
    assert split["test"].min() >= 200 and max(split["train"].max(), split["validation"].max()) < 200
    assert not set(split["train"]) & set(split["validation"])
    assert np.bincount(labels[split["test"]]).tolist() == [2, 2, 2, 2, 2]
    assert np.bincount(labels[split["train"]]).tolist() == [10, 10, 10, 15, 5]


def test_a_dataset_for_evaluation_only_has_nothing_but_test_images():
    split = split_positions(labelled(np.arange(30) % 5, test=30), splits(None, 0))
    assert [len(split[name]) for name in ("train", "validation", "test")] == [0, 0, 30]
    split = split_positions(labelled(LABELS, test=50), splits(0, 0))
    assert [len(split[name]) for name in ("train", "validation", "test")] == [0, 0, 50]


def test_the_validation_images_do_not_depend_on_how_many_are_trained_on():
    few, many = (split_positions(labelled(LABELS), splits(train, 50))["validation"] for train in (50, 100))
    assert np.array_equal(few, many)


def test_a_split_that_just_fits_has_every_class_everywhere():
    labels = np.arange(30) % 3
    for positions in split_positions(labelled(labels), splits(24, 3)).values():
        assert set(labels[positions]) == {0, 1, 2}


@pytest.mark.parametrize(("train", "validation", "test", "message"), [
    (150, 50, None, "150 training and 50 validation images leave no test image for each class of the 200 there are"),
    (146, 50, None, "146 train images can't be drawn from the 150 there are with every class left over; lower `train`"),
    (10, 1000, None, "1000 validation images can't be drawn from the 200 there are"),
    (4, 50, None, "4 train images are fewer than the 5 classes; raise `train`"),
    (100, 4, None, "4 validation images are fewer than the 5 classes; raise `validation`"),
    (100, 50, 4, "4 test images are fewer than the 5 classes; raise `test`"),
    (None, 50, None, "this dataset has no official test split: say in `train` how many images to train on"),
])  # fmt: skip
def test_a_split_that_does_not_fit_is_refused(train, validation, test, message):
    with pytest.raises(RobustlensError, match=message):
        split_positions(labelled(LABELS), splits(train, validation, test))


# Some of the classes ----------------------------------------------------------------------------------------------

# Of the numbers 0..4 in a mixed order; 1 and 4 are the classes that are kept, with 40 and 20 images.
KEPT = [4, 1]


def some(test: int = 0) -> Source:
    return with_classes(labelled(LABELS, test), KEPT)[0]


def test_kept_classes_are_numbered_anew_in_the_order_of_their_numbers_and_no_image_is_moved():
    whole = labelled(LABELS, test=50)
    part, _ = with_classes(whole, KEPT)
    assert part.images is whole.images and part.test == 50 and part.levels == whole.levels
    assert part.classes == ["b", "e"] and part.labels.dtype == np.int64
    assert part.labels.tolist() == [{1: 0, 4: 1}.get(label, LEFT_OUT) for label in LABELS.tolist()]
    assert whole.classes == ["a", "b", "c", "d", "e"] and set(whole.labels) == {0, 1, 2, 3, 4}


def test_the_sheet_s_entry_tells_which_classes_were_kept_and_which_were_not():
    _, entry = with_classes(labelled(LABELS), KEPT)
    names = ["a", "b", "c", "d", "e"]
    assert entry == {"classes_of_source": {"kept": [1, 4], "names": names, "without": ["a", "c", "d"]}}


def test_with_all_classes_kept_the_splits_are_those_of_the_source():
    part, entry = with_classes(labelled(LABELS), [2, 0, 4, 1, 3])
    assert np.array_equal(part.labels, LABELS) and entry["classes_of_source"]["without"] == []
    for name, positions in split_positions(labelled(LABELS), splits(100, 50)).items():
        assert np.array_equal(positions, split_positions(part, splits(100, 50))[name])


def test_splits_of_some_classes_are_stratified_positions_in_the_source():
    split = split_positions(some(), splits(30, 15))
    counts = {name: np.bincount(LABELS[positions], minlength=5).tolist() for name, positions in split.items()}
    assert counts == {"train": [0, 20, 0, 0, 10], "validation": [0, 10, 0, 0, 5], "test": [0, 10, 0, 0, 5]}
    assert sorted(np.concatenate(list(split.values()))) == np.flatnonzero(np.isin(LABELS, KEPT)).tolist()


def test_the_official_test_images_of_some_classes_are_kept_apart():
    kept = np.flatnonzero(np.isin(LABELS, KEPT))
    split = split_positions(some(test=50), splits(None, 10))
    assert split["test"].tolist() == kept[kept >= 150].tolist()
    assert len(split["validation"]) == 10
    assert sorted([*split["train"], *split["validation"]]) == kept[kept < 150].tolist()


def test_too_few_images_of_the_classes_that_are_kept_are_counted_without_the_others():
    with pytest.raises(RobustlensError, match="leave no test image for each class of the 60 there are"):
        split_positions(some(), splits(45, 15))


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([0, 5, -1], r"classes: -1, 5: not of this dataset, whose classes are 0\.\.4; give numbers of these"),
        ([0, 3, 3, 0], "classes: 0, 3: there more than once; give each number once"),
        ([2], "classes: 1 of 5 kept, too few to tell apart; give at least two, or leave `classes` out"),
        ([], "classes: 0 of 5 kept"),
    ],
)
def test_classes_that_can_not_be_kept_are_refused(kept, message):
    with pytest.raises(RobustlensError, match=message):
        with_classes(labelled(LABELS), kept)


def prepare(folder: Path, classes: list[int]) -> subprocess.CompletedProcess:
    """Digits of some classes, by the script."""
    facts, wanted = {"name": "digits"}, splits(200, 100, 100)
    spec = {"reader": {"family": "digits"}, "archives": [], "splits": wanted, "facts": facts, "classes": classes}
    names = {"downloads": "", "folder": "data", "certificate": "certificate.json", "log": "log"}
    places = [part for name, place in names.items() for part in (f"--{name}", folder / place)]
    command = [sys.executable, REPOSITORY / "scripts" / "prepare_data.py", "--spec", json.dumps(spec), *places]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_the_script_prepares_some_classes_whose_images_can_be_found_again(tmp_path):
    done = prepare(tmp_path, [7, 1, 3])
    assert done.returncode == 0, done.stderr
    digits, data = Digits().read(tmp_path, tmp_path), load(tmp_path / "data")
    assert data.sheet["classes"] == ["1", "3", "7"] and data.classes == 3
    of_source = {"kept": [1, 3, 7], "names": digits.classes, "without": ["0", "2", "4", "5", "6", "8", "9"]}
    assert data.sheet["classes_of_source"] == of_source
    assert data.sheet["sizes"] == {"train": 200, "validation": 100, "test": 100}
    for split in data.splits.values():
        assert np.array_equal(split.images, digits.images[split.index])
        assert np.array_equal(np.array([1, 3, 7])[split.labels], digits.labels[split.index])
    certificate = json.loads((tmp_path / "certificate.json").read_text())
    assert certificate["parameters"]["classes"] == [7, 1, 3]
    assert certificate["parameters"]["facts"] == {"name": "digits"}


def test_the_script_refuses_a_class_that_digits_does_not_have(tmp_path):
    done = prepare(tmp_path, [1, 10])
    assert done.returncode == 1 and not (tmp_path / "data" / "sheet.json").exists()
    assert "[prepare digits] FAILED: classes: 10: not of this dataset, whose classes are 0..9" in done.stderr


def test_a_plan_expects_as_many_images_as_classes_of_equal_size_have():
    spec = {"reader": {"family": "cifar10"}, "splits": splits(None, 1000), "classes": [0, 1, 2, 8]}
    assert expected(spec).classes == 4
    assert expected(spec).sizes == {"train": 19_000, "validation": 1000, "test": 4000}
    digits = expected({"reader": {"family": "digits"}, "splits": splits(200, 100), "classes": [0, 1, 2]})
    assert digits.sizes == {"train": 200, "validation": 100, "test": 239}  # 3 tenths of 1,797 are 539


# Files ------------------------------------------------------------------------------------------------------------


def source() -> Source:
    """Ten colour images whose values tell them apart."""
    images = np.arange(10 * 3 * 2 * 2, dtype=np.uint8).reshape(10, 3, 2, 2)
    return Source(images, np.arange(10) % 2, ["even", "odd"], levels=200)


POSITIONS = {"train": np.array([0, 3, 4, 5, 9]), "validation": np.array([1, 8]), "test": np.array([2, 6, 7])}
FACTS = {"name": "toy", "licence": "none"}


@pytest.fixture
def folder(tmp_path) -> Path:
    write_prepared(source(), POSITIONS, tmp_path / "data", FACTS)
    return tmp_path / "data"


def test_what_is_loaded_is_what_was_prepared(folder):
    data = load(folder)
    assert isinstance(data, PreparedDataset) and data.classes == 2 and data.channels == 3
    assert set(data.splits) == {"train", "validation", "test"}
    for name, where in POSITIONS.items():
        split = data.splits[name]
        assert isinstance(split.images, np.memmap) and split.images.dtype == np.uint8
        assert split.labels.dtype == split.index.dtype == np.int64
        assert np.array_equal(split.images, source().images[where])
        assert np.array_equal(split.labels, where % 2)
        assert np.array_equal(split.index, where)


def test_pixels_are_float32_in_0_1(folder):
    split = load(folder).splits["train"]
    assert split.pixels().dtype == np.float32
    expected = [[[float(value) / 200 for value in row] for row in plane] for plane in split.images[2]]
    # A quotient of two whole numbers, of at most 1, is rounded once.
    assert split.pixels()[2] == pytest.approx(np.array(expected), rel=0, abs=2**-25)
    assert np.array_equal(split.pixels(np.array([4, 1])), split.pixels()[[4, 1]])


def test_images_that_are_copied_in_chunks_are_the_same(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("robustlens.data.source.CHUNK_BYTES", 25)  # two images of twelve bytes
    reported = []
    write_prepared(source(), POSITIONS, tmp_path / "chunks", FACTS, lambda *done: reported.append(done))
    assert (tmp_path / "chunks" / "train_images.npy").read_bytes() == (folder / "train_images.npy").read_bytes()
    assert reported == [(24, 120), (48, 120), (60, 120), (84, 120), (108, 120), (120, 120)]


def test_the_sheet_says_what_the_arrays_are(folder):
    sheet = json.loads((folder / "sheet.json").read_text())
    sums = sheet.pop("sha256")
    assert sheet == {
        "name": "toy",
        "licence": "none",
        "classes": ["even", "odd"],
        "shape": [3, 2, 2],
        "levels": 200,
        "sizes": {"train": 5, "validation": 2, "test": 3},
        "official_test_split": False,
    }
    assert sorted(sums) == sorted(array_names()) and len(sums) == 9
    assert sorted(path.name for path in folder.iterdir()) == sorted([*array_names(), "sheet.json"])
    for name, value in sums.items():
        assert value == hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum(folder / name)


def test_preparing_twice_gives_the_same_bytes(folder, tmp_path):
    write_prepared(source(), POSITIONS, tmp_path / "again", FACTS)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.mark.parametrize("name", array_names())
def test_an_altered_array_is_named(name, folder):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(RobustlensError, match=f"{folder / name}: not the file that was prepared.*delete {folder}"):
        load(folder)


def test_only_the_splits_that_are_asked_for_are_verified_and_loaded(folder):
    for name in ("train_images.npy", "validation_index.npy"):
        (folder / name).write_bytes(b"damaged")
    (folder / "train_labels.npy").unlink()
    data = load(folder, ["test"])
    assert list(data.splits) == ["test"] and data.splits["test"].labels.tolist() == [0, 0, 1]
    assert load(folder, []).sheet == data.sheet
    with pytest.raises(RobustlensError, match=f"{folder / 'validation_index.npy'}: not the file that was prepared"):
        load(folder, ["test", "validation"])


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
