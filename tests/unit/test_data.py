"""Datasets: how they are read, split, written, and loaded with every file checked."""

import hashlib
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import archives
import numpy as np
import pytest
from processes import REPOSITORY

from robustlens.data.digits import Digits
from robustlens.data.disk_space import filling
from robustlens.data.prepared import PreparedDataset, array_names, checksum, load
from robustlens.data.source import Source, split_positions, write_prepared
from robustlens.errors import RobustlensError

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
    assert split.pixels()[2] == pytest.approx(np.array(expected), abs=1e-7)
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


# Disks ------------------------------------------------------------------------------------------------------------

own_mounts = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0,
    reason="no file systems can be mounted here (unshare -rm)",
)


def on_a_small_disk(folder: Path, kilobytes: int, *command: str | Path) -> subprocess.CompletedProcess:
    """A Python command while `folder` is a disk of that size, on which in the end no unfinished file may be left."""
    folder.mkdir()
    script = 'mount -t tmpfs -o size="$0"k none "$1"; "${@:2}"; code=$?; find "$1" -name "*.part*"; exit $code'
    inside = ["unshare", "-rm", "bash", "-uc", script, str(kilobytes), folder, sys.executable, *command]
    return subprocess.run(list(map(str, inside)), capture_output=True, text=True)


# Others fill the disk after the first chunk of the images.
MEANWHILE = """
import sys
from pathlib import Path
import numpy as np
from robustlens.data import source
from robustlens.errors import RobustlensError

folder = Path(sys.argv[1])

def fill(*_):
    with open(folder / "of others", "ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass

images = np.ones((400, 3, 16, 16), np.uint8)
all_of_them = source.Source(images, np.zeros(400, int), ["one"])
positions = {"train": np.arange(300), "validation": np.arange(300, 350), "test": np.arange(350, 400)}
source.CHUNK_BYTES = 50_000
try:
    source.write_prepared(all_of_them, positions, folder, {}, fill)
except RobustlensError as error:
    print(error)
"""

# A disk that says it has all the room, as it does to someone whose share of it is used up.
IMAGES = """
import shutil, sys
from pathlib import Path
from types import SimpleNamespace
from robustlens.errors import RobustlensError
from robustlens.parameters import create

scratch, downloads, reader = sys.argv[1:]
shutil.disk_usage = lambda folder: SimpleNamespace(free=10**12)
try:
    create("data", reader, {}).read(Path(downloads), Path(scratch))
except RobustlensError as error:
    print(error)
"""


@own_mounts
def test_a_disk_that_is_full_before_the_end_is_told_with_what_is_needed(tmp_path):
    done = on_a_small_disk(tmp_path / "data", 400, "-c", MEANWHILE, tmp_path / "data")
    # 400 images of 768 bytes. A memory map would end in signal 7 (SIGBUS).
    said = f"{tmp_path / 'data'}: could not be written (No space left on device); at least 307.2 kB are needed there: "
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith(said) and done.stdout.count("\n") == 1


@own_mounts
@pytest.mark.parametrize(
    ("reader", "make", "needed"),
    [("afhq", archives.afhq, "903.2 kB"), ("tiny-imagenet-200", archives.tiny_imagenet_200, "61.4 kB")],
)  # 6 images of 3 x 224 x 224, and 5 of 3 x 64 x 64
def test_a_disk_that_is_too_small_to_read_the_images_to_is_told(reader, make, needed, tmp_path):
    made = make()
    if reader == "afhq":
        names = [name for name in made.files["afhq.zip"] if name.endswith(".jpg")]
        made.files["afhq.zip"] = dict.fromkeys(names, archives.jpeg(224, 224, 0))
    made.write(tmp_path / "downloads")
    done = on_a_small_disk(tmp_path / "disk", 48, "-c", IMAGES, tmp_path / "disk", tmp_path / "downloads", reader)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    said = f"{tmp_path / 'disk'}: could not be written (No space left on device); at least {needed} are needed there: "
    assert done.stdout.startswith(said)


@own_mounts
def test_the_script_says_at_once_that_a_disk_is_too_small_for_the_splits(tmp_path):
    data, splits = tmp_path / "data", {"train": 200, "validation": 200, "test": None, "seed": 0}
    spec = {"reader": {"family": "digits"}, "archives": [], "splits": splits, "facts": {"name": "digits"}}
    places = ["--downloads", tmp_path, "--folder", data, "--certificate", tmp_path / "sheet", "--log", tmp_path / "log"]
    script = REPOSITORY / "scripts" / "prepare_data.py"
    done = on_a_small_disk(data, 64, script, "--spec", json.dumps(spec), *places)
    assert done.returncode == 1 and done.stdout == ""
    # 1,797 images of 64 bytes, on 65,536 bytes
    reason = (
        "at least 115.0 kB are needed there, 49.5 kB more than are free; free space, then run the same command again"
    )
    assert done.stderr == f"[prepare digits] FAILED: {data}: {reason}\n  log: {tmp_path / 'log'}\n"


def test_too_little_room_for_what_comes_afterwards_is_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=5_000_000_000))
    with caplog.at_level(logging.WARNING):
        with filling(tmp_path, 2_000_000_000, later=2_000_000_000):
            pass
        assert caplog.messages == []
        with filling(tmp_path, 4_000_000_000, later=2_000_000_000):
            pass
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path}: 5.0 GB are free; 4.0 GB are needed now and up to 2.0 GB afterwards: ")
    reason = r"at least 6\.0 GB are needed there, 1\.0 GB more than are free; free space, then"
    with pytest.raises(RobustlensError, match=reason), filling(tmp_path, 6_000_000_000):
        pass
