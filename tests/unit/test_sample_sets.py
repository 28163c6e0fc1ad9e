"""Published sample sets: each layout against what numpy and Pillow read, the choice of images, and every refusal."""

import importlib
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import published
import pytest
from configured import REPOSITORY
from published import CLASSES, IMAGES, LABELS, LAST, RED, SHAPE, archive, by_hand, members, npz, png, raw, rewritten

from robustlens.data.pool import load_pool
from robustlens.data.prepared import PreparedDataset, checksum
from robustlens.errors import RobustlensError
from robustlens.generators.published import importing
from robustlens.generators.published import npz as npz_layout
from robustlens.generators.published import raw as raw_layout
from robustlens.generators.published.importing import balanced, classes_of, import_set

DATA = PreparedDataset({"shape": list(SHAPE), "classes": CLASSES, "levels": 255}, {})


def opened(settings: dict, folder: Path, shape: tuple = SHAPE, classes: list[str] = CLASSES):
    layout = importlib.import_module(f"robustlens.generators.published.{settings['layout']}")
    return layout.opened(settings, folder, shape, classes)


def imported(settings: dict, folder: Path, per_class: int | None = None, seed: int = 0, kept=range(4), **others):
    """The pool, and the images of its set that it has, by their contents."""
    import_set(opened(settings, folder), folder / "pool", SHAPE, list(kept), per_class, seed, **others)
    data = DATA if len(kept) == 4 else PreparedDataset(DATA.sheet | {"classes": [CLASSES[k] for k in kept]}, {})
    pool = load_pool(folder / "pool", data)
    where = {image.tobytes(): number for number, image in enumerate(IMAGES)}
    return pool, [where[np.ascontiguousarray(image).tobytes()] for image in pool.images]


LAYOUTS = {
    "npz": lambda folder: npz(folder / "a.npz"),
    "npz, int32 labels": lambda folder: npz(folder / "a.npz", label=LABELS.astype(np.int32)),
    "npz, compressed": lambda folder: npz(folder / "a.npz", compressed=True),
    "npz, channels first": lambda folder: npz(folder / "a.npz", image=IMAGES),
    "npz, other names": lambda folder: (
        npz(folder / "a.npz", X=LAST, y=LABELS, image=LAST[:1]) | {"images": "X", "labels": "y"}
    ),
    "raw": raw,
    "raw, channels first": lambda folder: raw(folder, IMAGES.tobytes()) | {"channels": "first"},
    "raw, big-endian int32 labels": lambda folder: raw(folder, labels=LABELS.astype(">i4")),
    "folder in a zip": lambda folder: archive(folder / "a.zip", members(CLASSES)),
    "folder in a tar": lambda folder: archive(folder / "a.tar.gz", members(CLASSES, "samples/all/")),
    "folder by hand": lambda folder: by_hand(folder, members(CLASSES)),
    "folder, numbers": lambda folder: archive(folder / "a.zip", members(["000", "001", "002", "003"])),
}


@pytest.fixture(params=LAYOUTS)
def layout(request, tmp_path):
    return LAYOUTS[request.param](tmp_path), tmp_path


def test_a_whole_set_becomes_a_pool_of_the_dataset(layout):
    pool, positions = imported(*layout)
    assert positions == list(range(20)) and pool.labels.tolist() == LABELS.tolist()
    assert pool.images.dtype == np.uint8 and pool.levels == 255 and isinstance(pool.images, np.memmap)
    assert pool.images[RED].reshape(3, -1).tolist() == [[255] * 16, [0] * 16, [0] * 16]
    assert sorted(path.name for path in (layout[1] / "pool").iterdir()) == ["images.npy", "labels.npy"]


def test_a_part_of_it_has_as_many_images_of_each_class_and_these_with_their_labels(layout):
    pool, positions = imported(*layout, per_class=3)
    assert Counter(pool.labels.tolist()) == dict.fromkeys(range(4), 3)
    assert positions == sorted(set(positions)) and [LABELS[number] for number in positions] == pool.labels.tolist()


def test_images_are_read_in_blocks(layout, monkeypatch):
    for module in (npz_layout, raw_layout):
        monkeypatch.setattr(module, "BLOCK_BYTES", 3 * 48 + 1)
    told = []
    monkeypatch.setattr(importing, "REPORT_EVERY", 4)
    _, positions = imported(*layout, report=lambda done, total: told.append((done, total)))
    assert positions == list(range(20)) and told[-1] == (20, 20) and len(told) in (4, 5)
    blocks = list(opened(*layout).images(np.array([1, 4, 5, 6, 19])))
    assert sum(len(images) for _, images in blocks) == 5 and max(len(images) for _, images in blocks) <= 3
    for first, images in blocks:
        assert np.array_equal(images, IMAGES[[1, 4, 5, 6, 19]][first : first + len(images)])


@pytest.mark.parametrize("compressed", [False, True])
def test_a_npz_gives_what_numpy_reads_and_takes_the_memory_of_labels_and_blocks(compressed, tmp_path, monkeypatch):
    monkeypatch.setattr(npz_layout, "BLOCK_BYTES", 2**18)
    many = 60_000
    random = np.random.default_rng(0)
    image, label = random.integers(0, 256, (many, 8, 8, 3), np.uint8), random.integers(0, 4, many)
    settings = npz(tmp_path / "a.npz", compressed, image=image, label=label)
    del image
    tracemalloc.start()
    import_set(opened(settings, tmp_path, (3, 8, 8)), tmp_path / "pool", (3, 8, 8), range(4), 1000, seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * label.nbytes + 8 * 2**18 < 4e6  # all its images take 11.5 MB
    numpys = np.load(tmp_path / "a.npz")
    chosen = balanced(numpys["label"], range(4), 1000, 1, tmp_path)
    assert np.array_equal(np.load(tmp_path / "pool/labels.npy"), numpys["label"][chosen])
    assert np.array_equal(np.load(tmp_path / "pool/images.npy"), numpys["image"][chosen].transpose(0, 3, 1, 2))


# The choice -----------------------------------------------------------------------------------------------------------


def test_the_seed_alone_says_which_images_are_taken_and_never_are_they_the_first(tmp_path):
    found = [balanced(np.repeat([2, 0, 1], 50), range(3), 10, seed, tmp_path).tolist() for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    for positions in found:
        assert positions == sorted(set(positions))
        assert Counter(number // 50 for number in positions) == {0: 10, 1: 10, 2: 10}
        assert positions[:10] != list(range(10))
    places = [{number % 50 for number in found[0] if number // 50 == of} for of in range(3)]
    assert places[0] != places[1] != places[2]  # each class has a random stream of its own


def test_all_images_of_a_class_are_equally_likely(tmp_path):
    labels = np.array([0] * 6 + [1] * 3)
    taken = Counter(n for seed in range(3000) for n in balanced(labels, range(2), 2, seed, tmp_path).tolist())
    for number, times in taken.items():
        share = 2 / 6 if number < 6 else 2 / 3
        assert abs(times / 3000 - share) < 4.5 * (share * (1 - share) / 3000) ** 0.5
    assert len(taken) == 9


def test_classes_that_the_dataset_is_without_are_left_out_and_the_others_counted_from_0(layout):
    pool, positions = imported(*layout, per_class=2, kept=[1, 3])
    assert [{1: 0, 3: 1}[LABELS[number]] for number in positions] == pool.labels.tolist()
    assert Counter(pool.labels.tolist()) == {0: 2, 1: 2}


def test_a_sheet_says_which_classes_of_the_whole_dataset_are_kept():
    assert classes_of({"classes": ["a", "b", "c"]}) == (["a", "b", "c"], [0, 1, 2])
    whole = {"kept": [0, 2], "names": ["a", "b", "c"], "without": ["b"]}
    assert classes_of({"classes": ["a", "c"], "classes_of_source": whole}) == (["a", "b", "c"], [0, 2])


@pytest.mark.parametrize(("labels", "message"), [
    (np.repeat([0, 1, 2], 3), r"/here: no image of class 3; take a set with all classes of the dataset$"),
    (np.array([0, 0, 1, 2, 2, 3, 3]), r"/here: class 1 has 1 image, fewer than 2; lower `per_class` of the generator$"),
])  # fmt: skip
def test_a_class_without_images_or_with_too_few_is_refused(labels, message):
    with pytest.raises(RobustlensError, match=message):
        balanced(labels, range(4), 2, 0, Path("/here"))


# Colour and size ------------------------------------------------------------------------------------------------------


def test_the_channels_of_a_npz_are_found_by_its_shape_unless_both_are_possible(tmp_path):
    cube = published.noise(20, 3, 3, 3)
    settings = npz(tmp_path / "a.npz", image=cube)
    with pytest.raises(RobustlensError, match=r"uint8 \(20, 3, 3, 3\) may have its channels first or last; say which"):
        opened(settings, tmp_path, (3, 3, 3))
    for channels, expected in (("last", cube.transpose(0, 3, 1, 2)), ("first", cube)):
        ((_, images),) = opened(settings | {"channels": channels}, tmp_path, (3, 3, 3)).images(np.arange(20))
        assert np.array_equal(images, expected)


def test_a_raw_file_read_in_the_wrong_order_turns_red_into_stripes(tmp_path):
    settings = raw(tmp_path)
    ((_, right),) = opened(settings, tmp_path).images(np.array([RED]))
    ((_, wrong),) = opened(settings | {"channels": "first"}, tmp_path).images(np.array([RED]))
    assert right[0].reshape(3, -1).tolist() == [[255] * 16, [0] * 16, [0] * 16]
    assert wrong[0].ravel().tolist() == [255, 0, 0] * 16


def test_grey_images_of_a_folder_become_one_channel_and_colour_is_refused(tmp_path):
    grey = published.noise(4, 4)
    files = {f"{name}/a.png": png(grey) for name in CLASSES}
    ((_, image), *_) = opened(by_hand(tmp_path / "grey", files), tmp_path / "grey", (1, 4, 4)).images(np.arange(4))
    assert np.array_equal(image, grey[None, None])
    settings = by_hand(tmp_path / "colour", members(CLASSES))
    with pytest.raises(RobustlensError, match=r"\.png: in colour, and the dataset is grey; take a set of it$"):
        list(opened(settings, tmp_path / "colour", (1, 4, 4)).images(np.arange(20)))


def test_image_files_beside_the_set_that_are_hidden_or_none_are_passed_over(tmp_path):
    files = members(CLASSES, "a/b/") | {"a/b/cat/.hidden.png": b"x", "README.txt": b"", "__MACOSX/cat/._1.png": b""}
    assert len(opened(archive(tmp_path / "a.zip", files), tmp_path).labels) == 20


def test_class_names_that_look_like_numbers_are_names(tmp_path):
    settings = archive(tmp_path / "a.zip", members(["1", "2", "3", "4"]))
    assert opened(settings, tmp_path, classes=["1", "2", "3", "4"]).labels.tolist() == LABELS.tolist()


# Refusals -------------------------------------------------------------------------------------------------------------


class Code:
    def __reduce__(self):
        return os.abort, ()


def cut(settings: dict, folder: Path, name: str) -> dict:
    (folder / name).write_bytes((folder / name).read_bytes()[:-100])
    return settings


def with_member(folder: Path, content: bytes, name: str = "image.npy") -> dict:
    settings = npz(folder / "a.npz")
    rewritten(folder / "a.npz", name, content)
    return settings


def array_bytes(folder: Path) -> bytes:
    np.save(folder / "array.npy", LAST)
    return (folder / "array.npy").read_bytes()


REFUSED = {
    "a name that is not there": (
        lambda f: npz(f / "a.npz") | {"images": "images"},
        "a.npz: no array 'images' in it; did you mean 'image'?; say what it is called: `images: NAME`",
    ),
    "labels that are not there": (
        lambda f: npz(f / "a.npz") | {"labels": "y"},
        "a.npz: no array 'y' in it; valid are: image, label; say what it is called: `labels: NAME`",
    ),
    "floats": (
        lambda f: npz(f / "a.npz", image=LAST / np.float32(255)),
        "a.npz: image: float32 (20, 4, 4, 3), where images are uint8 from 0 to 255; convert them",
    ),
    "not a number": (
        lambda f: npz(f / "a.npz", image=np.full(LAST.shape, np.nan)),
        "a.npz: image: float64 (20, 4, 4, 3), where images are uint8 from 0 to 255; convert them",
    ),
    "out of range": (
        lambda f: npz(f / "a.npz", image=LAST.astype(np.int16) - 128),
        "a.npz: image: int16 (20, 4, 4, 3), where images are uint8 from 0 to 255; convert them",
    ),
    "another size": (
        lambda f: npz(f / "a.npz", image=LAST[:, :3, :3]),
        "a.npz: image: uint8 (20, 3, 3, 3), where (N, 3, 4, 4) or (N, 4, 4, 3) belongs; take a set of this dataset",
    ),
    "rows of pixels": (
        lambda f: npz(f / "a.npz", image=LAST.reshape(20, -1)),
        "a.npz: image: uint8 (20, 48), where (N, 3, 4, 4) or (N, 4, 4, 3) belongs",
    ),
    "channels elsewhere than stated": (
        lambda f: npz(f / "a.npz") | {"channels": "first"},
        "a.npz: image: uint8 (20, 4, 4, 3), where (N, 3, 4, 4) belongs",
    ),
    "the order of Fortran": (
        lambda f: npz(f / "a.npz", image=np.asfortranarray(LAST)),
        "a.npz: image: its values are in the order of Fortran",
    ),
    "images that are pickled": (
        lambda f: npz(f / "a.npz", image=np.array([Code()] * 20, object)),
        "a.npz: image: an array of pickled objects, and a pickle is code that runs when it is read",
    ),
    "labels that are pickled": (
        lambda f: raw(f, labels=np.array([Code()] * 20, object)),
        "labels.npy: an array of pickled objects, and a pickle is code that runs when it is read",
    ),
    "labels out of range": (
        lambda f: npz(f / "a.npz", label=LABELS + 1),
        "a.npz: label: labels from 1 to 4, and the dataset's classes are 0 to 3; take a set of this dataset",
    ),
    "labels below 0": (lambda f: raw(f, labels=LABELS - 1), "labels.npy: labels from -1 to 2, and the dataset"),
    "labels that are floats": (
        lambda f: npz(f / "a.npz", label=LABELS.astype(float)),
        "a.npz: label: float64 (20,), where labels are whole numbers (N,); convert them",
    ),
    "labels in a column": (
        lambda f: npz(f / "a.npz", label=LABELS[:, None]),
        "a.npz: label: int64 (20, 1), where labels are whole numbers (N,)",
    ),
    "a label too few": (
        lambda f: npz(f / "a.npz", label=LABELS[1:]),
        "a.npz: label: 19 labels of 20 images; take images and labels of one set",
    ),
    "a label too many": (
        lambda f: raw(f, labels=np.append(LABELS, 0)),
        "labels.npy: 21 labels of 20 images; take images and labels of one set",
    ),
    "no images at all": (lambda f: npz(f / "a.npz", image=LAST[:0], label=LABELS[:0]), "label: int64 (0,), where"),
    "no npz": (lambda f: cut(npz(f / "a.npz"), f, "a.npz"), "a.npz: damaged or not what its name says (File is not a"),
    "a member that is no array": (
        lambda f: with_member(f, b"x" * 300),
        "a.npz: image: damaged or not what its name says (the magic string is not correct",
    ),
    "a member that does not claim to be an array": (
        lambda f: with_member(f, b"x", "other") | {"images": "other"},
        "a.npz: no array 'other' in it; valid are: image, label",
    ),
    "a member cut short": (
        lambda f: with_member(f, array_bytes(f)[:-1]),
        "a.npz: image: 959 bytes of values where uint8 (20, 4, 4, 3) has 960; delete it and fetch it again",
    ),
    "a missing npz": (lambda f: {"layout": "npz", "file": "a.npz"}, "a.npz: missing; fetch it again"),
    "no whole images": (
        lambda f: raw(f, LAST.tobytes()[:-1]),
        "images.bin: 959 bytes are no whole images of 48 (4x4x3); take a set of this dataset, at the size",
    ),
    "an empty file": (lambda f: raw(f, b""), "images.bin: 0 bytes are no whole images of 48"),
    "labels cut short": (
        lambda f: cut(raw(f), f, "labels.npy"),
        "labels.npy: 60 bytes of values where int64 (20,) has 160; delete it and fetch it again",
    ),
    "labels that are missing": (
        lambda f: raw(f) | {"labels_file": "other.npy"},
        "other.npy: missing; fetch it again",
    ),
    "a folder of no class": (
        lambda f: archive(f / "a.zip", members(["cat", "dog", "fix", "owl"])),
        "a.zip: the folder 'fix' is called neither like a class nor by its number, 0 to 3; did you mean 'fox'?",
    ),
    "a folder with too large a number": (
        lambda f: archive(f / "a.zip", members(["1", "2", "3", "4"])),
        "a.zip: the folder '4' is called neither like a class nor by its number, 0 to 3",
    ),
    "no image files": (lambda f: archive(f / "a.zip", {"cat/a.txt": b""}), "a.zip: no image files in it; delete"),
    "a folder that is not there": (
        lambda f: {"layout": "folder", "folder": "set"},
        "set: not there; put the folder of the images, or a link to it, at ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_set_that_is_not_of_the_dataset_is_refused_before_an_image_is_read(case, tmp_path):
    make, message = REFUSED[case]
    settings = make(tmp_path)
    with pytest.raises(RobustlensError) as error:
        opened(settings, tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


def test_an_image_file_of_another_size_or_damaged_is_named_and_leaves_nothing(tmp_path):
    for name, content, message in (
        ("size", png(published.noise(5, 4, 3)), "fox/10.png: 4x5 pixels where 4x4 belong; delete"),
        ("damage", b"\x89PNG", "fox/10.png: not a readable image"),
    ):
        settings = archive(tmp_path / name / "a.zip", members(CLASSES) | {"fox/10.png": content})
        with pytest.raises(RobustlensError, match=message):
            imported(settings, tmp_path / name)
        assert list((tmp_path / name / "pool").iterdir()) == []


def test_a_pool_for_which_the_disk_has_no_room_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(RobustlensError, match=r"pool: at least 1\.1 kB are needed there, 0\.1 kB more than are free"):
        imported(npz(tmp_path / "a.npz"), tmp_path)  # 20 x (48 + 8) bytes
    assert list((tmp_path / "pool").iterdir()) == []


# Interruptions --------------------------------------------------------------------------------------------------------


def test_a_failure_half_way_leaves_nothing(layout, monkeypatch):
    monkeypatch.setattr(importing, "REPORT_EVERY", 1)

    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(*layout, report=fail)
    assert list((layout[1] / "pool").iterdir()) == []


def test_an_import_that_was_killed_leaves_no_pool_and_the_next_one_makes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(raw_layout, "BLOCK_BYTES", 48)
    monkeypatch.setattr(importing, "REPORT_EVERY", 1)
    settings = raw(tmp_path)
    child = os.fork()
    if child == 0:
        imported(settings, tmp_path, report=lambda done, _: done == 10 and os.kill(os.getpid(), signal.SIGKILL))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not [path for path in (tmp_path / "pool").iterdir() if not path.name.startswith(".")]
    assert imported(settings, tmp_path)[1] == list(range(20))


# The job --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path):
    """What runs the script, on files in `tmp_path`, with changes of its specification."""
    settings = npz(tmp_path / "downloads/a.npz")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sheet.json").write_text(json.dumps(DATA.sheet))
    spec = {
        "arithmetic": "native",
        "dataset": "animals",
        "generator": "mine",
        "sample_set": settings,
        "archives": [{"file": "a.npz", "sha256": checksum(tmp_path / "downloads/a.npz")}],
        "per_class": 2,
        "seed": 5,
    }

    def run(**changes: object) -> subprocess.CompletedProcess:
        command = [sys.executable, REPOSITORY / "scripts/import_pool.py", "--spec", json.dumps(spec | changes)]
        for name in ("log", "data", "downloads", "folder", "certificate"):
            command += [f"--{name}", tmp_path / {"folder": "pool"}.get(name, name)]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return run


def test_the_job_verifies_the_file_and_writes_the_pool_with_its_certificate(job, tmp_path):
    done = job()
    assert done.returncode == 0, done.stderr
    pool = load_pool(tmp_path / "pool", DATA)
    chosen = balanced(LABELS, range(4), 2, 5, tmp_path)
    assert np.array_equal(pool.images, IMAGES[chosen]) and np.array_equal(pool.labels, LABELS[chosen])
    record = json.loads((tmp_path / "certificate").read_text())
    assert record["parameters"]["seed"] == 5
    assert record["inputs"] == {
        str(tmp_path / name): checksum(tmp_path / name) for name in ("downloads/a.npz", "data/sheet.json")
    }
    assert record["outputs"] == {
        str(tmp_path / "pool" / name): checksum(tmp_path / "pool" / name) for name in ("images.npy", "labels.npy")
    }


def test_the_job_reads_nothing_unverified(job, tmp_path):
    done = job(archives=[{"file": "a.npz", "sha256": "0" * 64}])
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "[pool animals/mine] FAILED: " in done.stderr and "expected 000" in done.stderr
    assert not (tmp_path / "pool").exists() and not (tmp_path / "certificate").exists()
