"""Images that the user brings, in folders and in .npz files: what is read, what the sheet says, what is refused."""

import hashlib
import io
import json
import os
import struct
import subprocess
import zlib
from pathlib import Path

import archives
import numpy as np
import pytest
from configured import cohorts, loaded, small
from PIL import Image

from robustlens.configuration import cited, classes, prepared, shape, title
from robustlens.data.own_files import content_checksum, state
from robustlens.data.prepared import load
from robustlens.data.source import split_positions, write_prepared
from robustlens.errors import RobustlensError
from robustlens.parameters import create
from robustlens.planning.datasets import expected

CLASSES = ["ash", "birch", "oak"]


def png(array, mode=None):
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, "PNG")
    return buffer.getvalue()


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def leaves(per_class=4, size=8, prefix="", seed=0) -> dict[str, bytes]:
    return {
        f"{prefix}{name}/{n}.png": png(archives.noise(size, size, 3, seed=seed + 10 * c + n))
        for c, name in enumerate(CLASSES)
        for n in range(per_class)
    }


def folder(root: Path, **parameters):
    return create("data", "image-folder", {"path": str(root), "class_count": 3, "size": 8, **parameters})


def read(reader, tmp_path: Path):
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return reader.read(tmp_path / "nowhere", scratch)


def refused(reader, tmp_path: Path) -> str:
    with pytest.raises(RobustlensError) as error:
        read(reader, tmp_path)
    return str(error.value)


def deep_png() -> bytes:
    """8 x 8 pixels of 3 x 16 bits, chunk by chunk: Pillow writes none."""
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(range(48))) * 8)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    packed = (struct.pack(">I", len(b)) + a + b + struct.pack(">I", zlib.crc32(a + b)) for a, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def deep_tiff() -> bytes:
    """The same, as a TIFF of one strip."""
    entries = [(256, 8), (257, 8), (259, 1), (262, 2), (273, 8), (277, 3), (278, 8), (279, 384)]
    tags = [(tag, 4, 1, struct.pack("<I", value)) for tag, value in entries]
    tags.append((258, 3, 3, struct.pack("<I", 392)))
    tags = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in sorted(tags))
    directory = struct.pack("<H", 9) + tags + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 398) + bytes(range(128)) * 3 + struct.pack("<HHH", 16, 16, 16) + directory


# Folders --------------------------------------------------------------------------------------------------------------


def test_a_folder_per_class_is_read_in_the_order_of_names(tmp_path):
    root = put(tmp_path / "leaves", leaves(2) | {"oak/deeper/a.JPG": archives.jpeg(8, 8, 5), "LICENCE": b"mine"})
    put(root, {".cache/x.png": b"not looked at", "ash/.DS_Store": b"nor this"})
    source = read(folder(root), tmp_path)
    assert source.classes == CLASSES and source.labels.tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert source.test == 0 and source.levels == 255 and source.images.shape == (7, 3, 8, 8)
    for position, (c, n) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]):
        assert np.array_equal(source.images[position], archives.noise(8, 8, 3, seed=10 * c + n).transpose(2, 0, 1))
    assert source.facts["resizing"] == {"images": 0} and source.facts["content"]["files"] == 7


def test_folders_train_and_test_are_the_splits(tmp_path):
    root = put(tmp_path / "leaves", leaves(3, prefix="train/") | leaves(2, prefix="test/", seed=100))
    reader = folder(root)
    source = read(reader, tmp_path)
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 1, 1, 2, 2] and source.test == 6
    assert np.array_equal(source.images[-1], archives.noise(8, 8, 3, seed=121).transpose(2, 0, 1))
    assert reader.sizes() == {"train": 9, "test": 6}


def test_a_share_of_each_class_is_the_test_split_and_always_the_same_one(tmp_path):
    root = put(tmp_path / "leaves", leaves(8))
    first, second = (read(folder(root, test_share=0.25), tmp_path) for _ in range(2))
    assert first.test == 6 and np.bincount(first.labels[-6:]).tolist() == [2, 2, 2]
    assert np.bincount(first.labels).tolist() == [8, 8, 8]
    assert np.array_equal(first.images, second.images)
    assert len(np.unique(np.array(first.images).reshape(24, -1), axis=0)) == 24  # no image is in both
    assert folder(root, test_share=0.25).sizes() == {"train": 18, "test": 6}


def test_images_are_resized_to_the_one_size_and_the_sheet_says_so(tmp_path):
    flat = {f"{name}/0.png": png(np.full((8, 8, 3), 40, np.uint8)) for name in CLASSES}
    wide = np.zeros((16, 32, 3), np.uint8)
    wide[:, 8:24] = 200  # the centre; what lies beside it is cut off
    root = put(tmp_path / "leaves", flat | {"ash/1.png": png(wide), "oak/1.png": png(np.full((4, 6), 90, np.uint8))})
    source = read(folder(root), tmp_path)
    assert source.images[1][:, :, 1:-1].min() == 200 and (source.images[-1] == 90).all()
    assert source.facts["resizing"] == {
        "images": 2, "enlarged": 1, "smallest": [6, 4], "largest": [32, 16],
        "how": "shorter side to 8 pixels (bilinear, antialiased), centre cut out",
    }  # fmt: skip


def test_grey_images_have_one_channel(tmp_path):
    images = {f"{name}/0.png": png(archives.noise(8, 8, seed=n)) for n, name in enumerate(CLASSES)}
    source = read(folder(put(tmp_path / "grey", images), grey=True), tmp_path)
    assert source.images.shape == (3, 1, 8, 8) and np.array_equal(source.images[2, 0], archives.noise(8, 8, seed=2))


def test_the_checksum_of_a_folder_is_what_the_documented_command_prints(tmp_path):
    root = put(tmp_path / "leaves", leaves(2))
    put(root, {name: png(archives.noise(8, 8, 3)) for name in ("oak/a b.png", "oak/Z.png")})
    command = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    printed = subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, text=True, check=True).stdout
    found = read(folder(root), tmp_path).facts["content"]["sha256"]
    assert found == printed.split()[0]
    assert read(folder(root, sha256=found), tmp_path).test == 0
    (root / "oak/0.png").write_bytes(png(archives.noise(8, 8, 3, seed=99)))
    assert f"the configuration says {found}: files were changed" in refused(folder(root, sha256=found), tmp_path)


FOLDERS = {
    "a file that is no image": ({"oak/9.png": b"<html>"}, "oak/9.png: not a readable image"),
    "an image that is cut off": ({"oak/9.png": png(archives.noise(64, 64, 3))[:300]}, "oak/9.png: not a readable"),
    "an empty file": ({"oak/9.png": b""}, "oak/9.png: not a readable image"),
    "another kind of file": ({"oak/9.gif": b"GIF89a"}, "oak/9.gif: not an image file by its name"),
    "an image in no class": ({"9.png": b""}, "9.png: an image in no class"),
    "16 bits": ({"oak/9.png": png(np.full((8, 8), 4000, np.uint16))}, "oak/9.png: its values have more than 8 bits"),
    "colours of 16 bits": ({"oak/9.png": deep_png()}, "oak/9.png: its values have more than 8 bits"),
    "colours of 16 bits in TIFF": ({"oak/9.tif": deep_tiff()}, "oak/9.tif: its values have more than 8 bits"),
    "colours of 10 bits": (
        {"oak/9.ppm": b"P6\n8 8\n1023\n" + bytes(8 * 8 * 6)},
        "oak/9.ppm: its values have more",
    ),
    "transparency": ({"oak/9.png": png(archives.noise(8, 8, 4))}, "oak/9.png: partly transparent"),
    "one class more": ({"pine/0.png": png(archives.noise(8, 8, 3))}, "4 folders of classes (ash, birch, oak, pine)"),
    "train beside classes": ({"train/ash/0.png": b"", "test/ash/0.png": b""}, "ash lies beside train and test"),
}


@pytest.mark.parametrize("what", FOLDERS)
def test_a_folder_that_is_not_right_is_refused_by_name(what, tmp_path):
    files, said = FOLDERS[what]
    root = put(tmp_path / "leaves", leaves(2) | files)
    found = refused(folder(root), tmp_path)
    assert said in found and "; " in found and "\n" not in found


def test_folders_that_are_splits_of_another_name_or_incomplete_are_refused(tmp_path):
    both = {**leaves(1, prefix="train/"), **leaves(1, prefix="test/")}
    cases = [
        (
            leaves(1, prefix="train/") | leaves(1, prefix="val/"),
            {"class_count": 2},
            "has the folders train, val, but no",
        ),
        (leaves(1, prefix="train/"), {}, "has the folders train, but no test"),
        (
            leaves(1, prefix="Train/") | leaves(1, prefix="Test/"),
            {"class_count": 2},
            "Test, Train are called like splits",
        ),
        (leaves(1, prefix="val/") | leaves(1, prefix="test/"), {"class_count": 2}, "test, val are called like splits"),
        (both | leaves(1, prefix="val/"), {}, "val lies beside train and test"),
        (both, {"test_share": 0.5}, "drop the reader's `test_share`"),
        ({k: v for k, v in both.items() if k != "test/oak/0.png"}, {}, "2 folders of classes (ash, birch)"),
        (leaves(2), {"test_share": 0.1}, "takes 0 of the 2 images of class ash"),
        ({"notes.txt": b""}, {}, "no image files in it"),
    ]
    for number, (files, parameters, said) in enumerate(cases):
        root = put(tmp_path / str(number), files)
        assert said in refused(folder(root, **parameters), tmp_path), said
    other = {k.replace("test/oak", "test/elm"): v for k, v in both.items()}
    assert "class elm is in one of train and test only" in refused(folder(put(tmp_path / "other", other)), tmp_path)
    (put(tmp_path / "empty", leaves(1)) / "pine").mkdir()
    assert "pine: a class without images" in refused(folder(tmp_path / "empty", class_count=4), tmp_path)
    assert "no folder there" in refused(folder(tmp_path / "missing"), tmp_path)


def test_colour_where_grey_was_said_and_a_palette_with_transparency_are_refused(tmp_path):
    root = put(tmp_path / "leaves", leaves(1))
    assert "ash/0.png: in colour, and the reader says `grey: true`" in refused(folder(root, grey=True), tmp_path)
    buffer = io.BytesIO()
    black = Image.fromarray(np.zeros((8, 8, 3), np.uint8)).convert("P")
    black.save(buffer, "PNG", transparency=black.getpixel((0, 0)))
    put(root, {"ash/1.png": buffer.getvalue()})
    assert "ash/1.png: partly transparent" in refused(folder(root), tmp_path)


def test_images_with_an_opaque_alpha_channel_are_read(tmp_path):
    opaque = np.concatenate([archives.noise(8, 8, 3, seed=7), np.full((8, 8, 1), 255, np.uint8)], 2)
    root = put(tmp_path / "leaves", leaves(1) | {"oak/1.png": png(opaque)})
    assert np.array_equal(read(folder(root), tmp_path).images[-1], opaque[:, :, :3].transpose(2, 0, 1))


# npz ------------------------------------------------------------------------------------------------------------------


def npz(path: Path, **parameters):
    return create("data", "npz", {"path": str(path), "class_count": 3, "shape": [3, 4, 5], **parameters})


IMAGES, LABELS = archives.noise(12, 3, 4, 5), np.arange(12) % 3


def test_arrays_are_read_with_channels_first_last_or_none(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=IMAGES, labels=LABELS.astype(np.uint8))
    source = read(npz(path, class_names=CLASSES), tmp_path)
    assert np.array_equal(source.images, IMAGES) and source.labels.tolist() == LABELS.tolist()
    assert source.labels.dtype == np.int64 and source.classes == CLASSES and source.test == 0
    assert source.facts["content"] == {"files": 1, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    np.savez(path, images=IMAGES.transpose(0, 2, 3, 1), labels=LABELS)
    assert np.array_equal(read(npz(path), tmp_path).images, IMAGES)
    np.savez(path, images=IMAGES[:, 0], labels=LABELS)
    assert np.array_equal(read(npz(path, shape=[1, 4, 5]), tmp_path).images, IMAGES[:, :1])
    cube = archives.noise(12, 3, 3, 3)
    np.savez(path, images=cube, labels=LABELS)
    assert "may have its channels first or last" in refused(npz(path, shape=[3, 3, 3]), tmp_path)
    last = read(npz(path, shape=[3, 3, 3], channels="last"), tmp_path)
    assert np.array_equal(last.images, cube.transpose(0, 3, 1, 2))


def test_test_images_come_from_arrays_of_their_own_or_a_share(tmp_path):
    path, named = tmp_path / "a.npz", {"images": "x", "labels": "y", "test_images": "u", "test_labels": "v"}
    np.savez(path, x=IMAGES, y=LABELS, u=IMAGES[::-1], v=LABELS[::-1])
    source = read(npz(path, **named), tmp_path)
    assert source.test == 12 and np.array_equal(source.images[12:], IMAGES[::-1])
    assert source.labels[12:].tolist() == LABELS[::-1].tolist()
    assert npz(path, **named).sizes() == {"train": 12, "test": 12}
    shared = npz(path, images="x", labels="y", test_share=0.5)
    found = read(shared, tmp_path)
    assert found.test == 6 and np.bincount(found.labels[-6:]).tolist() == [2, 2, 2]
    pairs = {(image.tobytes(), label) for image, label in zip(found.images, found.labels.tolist(), strict=True)}
    assert pairs == {(image.tobytes(), label) for image, label in zip(IMAGES, LABELS.tolist(), strict=True)}
    assert shared.sizes() == {"train": 6, "test": 6}
    assert "belong together" in refused(npz(path, images="x", labels="y", test_images="u"), tmp_path)
    assert "drop the reader's `test_share`" in refused(npz(path, **named, test_share=0.5), tmp_path)


def with_label(value, position=7):
    labels = LABELS.copy()
    labels[position] = value
    return labels


ARRAYS = {
    "floats from 0 to 1": ({"images": IMAGES / 255}, {}, "they are between 0 and 1: numpy.round"),
    "other floats": ({"images": IMAGES.astype(np.float32)}, {}, "float32 values, where images are uint8; convert"),
    "large integers": ({"images": IMAGES.astype(np.int64)}, {}, "int64 values, where images are uint8"),
    "another shape": ({"images": IMAGES[:, :, 1:]}, {}, "(12, 3, 3, 5), where (N, 3, 4, 5) or (N, 4, 5, 3) belongs"),
    "flat images": ({"images": IMAGES.reshape(12, -1)}, {}, "(12, 60), where (N, 3, 4, 5)"),
    "no images": ({"images": IMAGES[:0], "labels": LABELS[:0]}, {}, "holds no images"),
    "few labels": ({"labels": LABELS[1:]}, {}, "11 labels of 12 images"),
    "a label that is too high": ({"labels": with_label(3)}, {}, "label 3 of image 7 is not one of 0..2"),
    "a negative label": ({"labels": with_label(-1)}, {}, "label -1 of image 7 is not one of 0..2"),
    "labels from 1": ({"labels": LABELS + 1}, {}, "do they count from 1?"),
    "labels that are floats": ({"labels": LABELS.astype(float)}, {}, "float64 (12,), where labels are whole numbers"),
    "labels that are words": ({"labels": LABELS.astype(str)}, {}, "where labels are whole numbers (N,)"),
    "one-hot labels": ({"labels": np.eye(3, dtype=int)[LABELS]}, {}, "are they one-hot? make them numbers"),
    "a class without images": ({"labels": LABELS % 2}, {}, "class 2 has no images"),
    "pickled images": ({"images": np.array([None] * 12)}, {}, "images: an array of pickled objects"),
    "another name": ({}, {"images": "image"}, "no array 'image' in it; did you mean 'images'?"),
    "dark images": ({"images": IMAGES // 16}, {}, "the largest value of all images is 15; say what stands for white"),
    "few levels": ({}, {"levels": 16}, "and the reader's `levels` is 16; raise it"),
    "many levels": ({}, {"levels": 1000}, "more than uint8 holds"),
    "few names": ({}, {"class_names": ["a", "b"]}, "2 different `class_names`"),
    "a number for images": ({"images": np.uint8(3)}, {}, "images: a single number, where an array of images belongs"),
    "the same images twice": ({}, {"test_images": "images", "test_labels": "labels"}, "are the same arrays"),
    "another checksum": ({}, {"sha256": "0" * 64}, "the file was changed"),
}  # fmt: skip


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays_that_are_not_right_are_refused_by_name(what, tmp_path):
    changed, parameters, said = ARRAYS[what]
    np.savez(tmp_path / "a.npz", **{"images": IMAGES, "labels": LABELS, **changed})
    found = refused(npz(tmp_path / "a.npz", **parameters), tmp_path)
    assert said in found and found.startswith(f"{tmp_path}/a.npz: ") and "; " in found and "\n" not in found


def test_dark_images_are_read_with_their_levels(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES // 16, labels=LABELS)
    assert read(npz(tmp_path / "a.npz", levels=16), tmp_path).levels == 16


def test_files_that_are_no_npz_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    assert "can't be read (No such file" in refused(npz(path), tmp_path)
    np.savez(path, images=IMAGES, labels=LABELS)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[300] ^= 255
    for content in (b"", b"<html>", whole[:200], bytes(damaged), b"\x80\x04N."):
        path.write_bytes(content)
        assert "not a whole .npz file" in refused(npz(path), tmp_path)
    with open(path, "wb") as file:
        np.save(file, IMAGES)
    assert "one array and no .npz file" in refused(npz(path), tmp_path)


# Prepared, configured, planned ----------------------------------------------------------------------------------------


def entry(path, **more) -> dict:
    return {
        "like": "digits",
        "reader": {"family": "image-folder", "path": str(path), "class_count": 3, "size": 8},
        **more,
    }


def configured(**datasets: dict) -> dict:
    return loaded(lambda raw: small(raw)["datasets"].update(datasets))


def test_the_sheet_has_the_checksum_and_the_splits(tmp_path):
    source = read(folder(put(tmp_path / "leaves", leaves(8)), test_share=0.25), tmp_path)
    positions = split_positions(source, {"train": None, "validation": 3, "test": None, "seed": 0})
    write_prepared(source, positions, tmp_path / "data", {"name": "leaves"})
    sheet = load(tmp_path / "data").sheet
    assert sheet["sizes"] == {"train": 15, "validation": 3, "test": 6} and sheet["classes"] == CLASSES
    assert len(sheet["content"]["sha256"]) == 64 and sheet["resizing"] == {"images": 0}
    json.dumps(sheet)


def test_the_configuration_says_what_a_catalogue_would(tmp_path):
    config = configured(leaves=entry("/x"), some=entry("/x", classes=[0, 2]), named=entry("/y", title="Leaves"))
    assert classes(config, "leaves") == 3 and classes(config, "some") == 2
    assert shape(config["datasets"]["leaves"]["reader"]) == (3, 8, 8)
    assert title(config, "leaves") == "leaves" and title(config, "some") == "some without class 1"
    assert title(config, "named") == "Leaves" and cited(config, "leaves")["citation"]
    assert prepared(config, "named") == "named" and prepared(config, "leaves") == "leaves"
    arrays = {"family": "npz", "path": "a.npz", "class_count": 4, "shape": [1, 6, 7]}
    config = configured(scans={"like": "digits", "reader": arrays})
    assert shape(config["datasets"]["scans"]["reader"]) == (1, 6, 7) and classes(config, "scans") == 4


def test_a_cohort_may_train_on_all_of_ones_own_images(tmp_path):
    """How many these are only the files say."""

    def change(raw):
        splits = {"train": None, "validation": 3, "test": None}
        small(raw)["datasets"]["leaves"] = entry("/x", splits=splits)
        small(raw)["datasets"]["leaves"]["reader"]["class_count"] = 4
        cohorts(raw)["main"]["datasets"] = ["digits", "leaves"]

    assert "leaves" in loaded(change)["studies"]["mine"]["cohorts"]["main"]["datasets"]


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ({"family": "image-folder", "class_count": 3, "size": 8}, "reader: image-folder needs the parameter 'path'"),
        (
            {"family": "image-folder", "path": "x", "class_count": 1, "size": 8},
            "class_count: must be at least 2",
        ),
        ({"family": "image-folder", "path": "x", "class_count": 3, "size": "8"}, "reader.size: must be a whole number"),
        ({"family": "npz", "path": "x", "class_count": 3, "shape": [8, 8]}, "must be [channels, height, width]"),
        ({"family": "npz", "path": "x", "class_count": 3, "shape": [1, 8, 8], "image": "x"}, "did you mean 'images'?"),
    ],
)
def test_parameters_that_are_wrong_are_told_when_the_configuration_is_read(reader, said):
    with pytest.raises(RobustlensError) as error:
        configured(leaves={"like": "digits", "reader": reader})
    assert said in str(error.value) and "config.datasets.leaves.reader" in str(error.value)


def test_classes_that_there_are_not_are_told_when_the_configuration_is_read():
    with pytest.raises(RobustlensError, match="has no class 3; its classes are 0 to 2"):
        configured(leaves=entry("/x", classes=[0, 3]))


def test_a_plan_counts_the_images(tmp_path):
    root = put(tmp_path / "leaves", leaves(6, prefix="train/") | leaves(2, prefix="test/"))
    reader = configured(leaves=entry(root))["datasets"]["leaves"]["reader"]
    splits = {"train": None, "validation": 3, "test": None, "seed": 0}
    made = expected({"reader": reader, "splits": splits})
    assert (made.shape, made.classes, made.sizes) == ((3, 8, 8), 3, {"train": 15, "validation": 3, "test": 6})


def test_every_change_of_the_files_changes_their_state(tmp_path):
    root = put(tmp_path / "leaves", leaves(1))
    states = [state(root)]
    assert state(root) == states[0]
    put(root, {"oak/1.png": b"1"})
    states.append(state(root))
    (root / "oak/1.png").rename(root / "oak/2.png")
    states.append(state(root))
    os.utime(root / "oak/2.png", ns=(1, 1))
    states.append(state(root))
    (root / "oak/2.png").write_bytes(b"22")
    states += [state(root), state(root / "oak/2.png"), state(tmp_path / "nowhere")]
    assert len(set(states)) == len(states) and states[-1] == "missing"
    before = state(root)  # what is not read may change
    put(root, {"LICENCE": b"mine", ".cache/x.png": b"x", "ash/.DS_Store": b"x"})
    assert state(root) == before
    (root / "circle").symlink_to(root)
    (root / "oak/broken").symlink_to("nowhere")
    assert len(state(root)) == 64


def test_the_checksum_of_a_content_depends_on_names_and_contents_and_on_no_order():
    first = content_checksum({"a/1": "aa", "b/2": "bb"})
    assert (
        first == hashlib.sha256(b"aa  ./a/1\nbb  ./b/2\n").hexdigest() == content_checksum({"b/2": "bb", "a/1": "aa"})
    )
    assert len({first, content_checksum({"a/1": "bb", "b/2": "aa"}), content_checksum({"a/2": "aa", "b/2": "bb"})}) == 3
