"""Dataset readers: every format as its authors publish it, and everything that can be wrong with a file."""

import errno
import io
import math
import os
import pickle
import re
import resource
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import archives
import numpy as np
import pytest
from archives import jpeg, mat, python2_pickle, tarred, zipped
from PIL import Image

from robustlens.data import restricted_pickle
from robustlens.data.afhq import Afhq
from robustlens.data.archives import file_names, files
from robustlens.data.celeba import CelebA
from robustlens.data.cifar10 import Cifar10
from robustlens.data.cifar100 import Cifar100
from robustlens.data.image_files import pixels
from robustlens.data.imagenet import ImageNet
from robustlens.data.imagenet_64 import Imagenet64
from robustlens.data.imagenette_160 import Imagenette160
from robustlens.data.labels import checked_labels
from robustlens.data.mnist import Mnist
from robustlens.data.stl10 import Stl10
from robustlens.data.svhn import Svhn
from robustlens.data.tiny_imagenet_200 import TinyImagenet200
from robustlens.errors import RobustlensError
from robustlens.parameters import names


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


# Values -----------------------------------------------------------------------------------------------------------


def test_every_reader_is_tested_here():
    assert set(names("data")) - {"digits"} == READERS.keys()


@pytest.mark.parametrize("name", READERS)
def test_a_reader_finds_what_was_written_pixel_by_pixel_with_the_test_split_last(name, tmp_path):
    reader, make = READERS[name]
    made = make()
    source = read(reader, made, tmp_path)
    assert source.images.dtype == np.uint8 and source.images.shape == made.images.shape
    assert np.array_equal(source.images, made.images)
    assert source.labels.dtype == np.int64 and source.labels.tolist() == made.labels
    assert source.classes == made.classes
    assert source.test == made.test and source.levels == 255


def test_a_pixel_of_cifar10_is_where_its_authors_say(tmp_path):
    made = archives.cifar10()
    row = np.zeros((1, 3072), np.uint8)
    row[0, 1024 + 5 * 32 + 7] = 200  # the green channel, row 5, column 7
    batch = {"labels": [0], "data": row}
    made.files["cifar-10-python.tar.gz"]["cifar-10-batches-py/test_batch"] = python2_pickle(batch)
    image = read(Cifar10(), made, tmp_path).images[-1]
    assert image[1, 5, 7] == 200 and image.sum() == 200


def test_a_pixel_of_stl10_is_where_its_authors_say(tmp_path):
    made = archives.stl10()
    content = bytearray(2 * 27648)
    content[27648 + 2 * 9216 + 5 * 96 + 7] = 200  # the second image, blue, column 5, row 7
    made.files["stl10_binary.tar.gz"]["stl10_binary/test_X.bin"] = bytes(content)
    images = read(Stl10(), made, tmp_path).images
    assert images[-1, 2, 7, 5] == 200 and images[-2:].sum() == 200


def test_cifar_batches_of_python_3_are_read_too(tmp_path):
    made = archives.cifar10()
    for name in ("data_batch_3", "batches.meta"):
        member = f"cifar-10-batches-py/{name}"
        found = pickle.loads(made.files["cifar-10-python.tar.gz"][member], encoding="latin1")
        made.files["cifar-10-python.tar.gz"][member] = pickle.dumps(found, protocol=2)  # this numpy's own names
    assert np.array_equal(read(Cifar10(), made, tmp_path).images, made.images)


@pytest.mark.parametrize(("test", "top"), [("val", "afhq/"), ("test", "")])
def test_both_versions_of_afhq_are_read(test, top, tmp_path):
    made = archives.afhq(test, top)
    source = read(Afhq(size=20), made, tmp_path)
    assert np.array_equal(source.images, made.images) and source.test == 2


def test_imagenet_can_leave_its_training_images_alone(tmp_path):
    made = archives.imagenet()
    made.files = {name: contents for name, contents in made.files.items() if "/train/" not in name}
    source = read(ImageNet(resize=24, size=20), made, tmp_path)
    assert np.array_equal(source.images, made.images[-2:]) and source.labels.tolist() == [0, 1] and source.test == 2


def test_tiny_imagenet_names_classes_that_share_a_word_by_their_id_too(tmp_path):
    made = archives.tiny_imagenet_200()
    words = b"n01443537\tcrane, bird\nn02124075\tcrane\n"
    made.files["tiny-imagenet-200.zip"]["tiny-imagenet-200/words.txt"] = words
    assert read(TinyImagenet200(), made, tmp_path).classes == ["crane (n01443537)", "crane (n02124075)"]


def test_the_images_of_large_datasets_stay_on_disk(tmp_path):
    for name in ("tiny-imagenet-200", "imagenette-160", "imagenet", "afhq", "celeba", "imagenet-64"):
        reader, make = READERS[name]
        (tmp_path / name).mkdir()
        assert isinstance(read(reader, make(), tmp_path / name).images, np.memmap)


# Damaged archives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in READERS if name != "imagenet"])
@pytest.mark.parametrize("damage", ["cut off", "something else", "empty", "missing"])
def test_a_file_that_is_damaged_is_named(name, damage, tmp_path):
    reader, make = READERS[name]
    for number, file in enumerate(make().files):
        made = make()
        (folder := tmp_path / str(number)).mkdir()
        made.write(folder / "downloads")
        whole = (folder / "downloads" / file).read_bytes()
        made.files = {
            file: {"cut off": whole[: len(whole) // 2], "something else": b"<html>" * 99, "empty": b""}.get(damage)
        }
        if damage == "missing":
            (folder / "downloads" / file).unlink()
            made.files = {}
        assert file in refusal(reader, made, folder)


# A member to remove, and one to replace by nonsense, of each archive.
MEMBERS = {
    "cifar10": ("cifar-10-python.tar.gz", "cifar-10-batches-py/data_batch_4"),
    "cifar100": ("cifar-100-python.tar.gz", "cifar-100-python/meta"),
    "stl10": ("stl10_binary.tar.gz", "stl10_binary/train_y.bin"),
    "tiny-imagenet-200": ("tiny-imagenet-200.zip", "tiny-imagenet-200/val/images/val_0.JPEG"),
    "imagenette-160": ("imagenette2-160.tgz", "imagenette2-160/val/n01440764/b.JPEG"),
    "afhq": ("afhq.zip", "afhq/val/dog/b.jpg"),
    "celeba": ("img_align_celeba.zip", "img_align_celeba/000011.jpg"),
    "imagenet-64": ("Imagenet64_train_part2_npz.zip", "Imagenet64_train_part2_npz/train_data_batch_8.npz"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member_is_named(name, tmp_path):
    reader, make = READERS[name]
    (archive, member), made = MEMBERS[name], make()
    del made.files[archive][member]
    said = refusal(reader, made, tmp_path)
    # In class folders only the class that is now without an image is known to be missing.
    assert any(part in said for part in member.split("/")[-2:])


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_that_is_nonsense_is_named_with_its_archive(name, tmp_path):
    reader, make = READERS[name]
    (archive, member), made = MEMBERS[name], make()
    made.files[archive][member] = b"nonsense"
    said = refusal(reader, made, tmp_path)
    assert archive in said and member in said


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_that_is_there_twice_is_named(name, tmp_path):
    reader, make = READERS[name]
    (archive, member), made = MEMBERS[name], make()
    members = made.files[archive]
    made.files[archive] = [*members.items(), (f"./{member}", members[member])]
    said = refusal(reader, made, tmp_path)
    assert archive in said and member in said and "more than once" in said


@pytest.mark.parametrize("escape", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "../evil/"])
@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_outside_the_archives_folder_is_refused(name, escape, tmp_path):
    reader, make = READERS[name]
    (archive, _), made = MEMBERS[name], make()
    made.files[archive][escape] = b""
    said = refusal(reader, made, tmp_path)
    assert archive in said and "evil" in said and "leaves" in said


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    odd = tarfile.TarInfo("odd")
    odd.type, odd.linkname = kind, "/etc/passwd"
    (tmp_path / "a.tar.gz").write_bytes(tarred([("plain", b"")], odd))
    with pytest.raises(RobustlensError, match=r"a.tar.gz: odd: a link or device"):
        file_names(tmp_path / "a.tar.gz")


def test_links_in_a_zip_are_refused(tmp_path):
    odd = zipfile.ZipInfo("odd")
    odd.external_attr = (stat.S_IFLNK | 0o777) << 16
    (tmp_path / "a.zip").write_bytes(zipped([("plain", b"")], odd))
    with pytest.raises(RobustlensError, match=r"a.zip: odd: a link or device"):
        file_names(tmp_path / "a.zip")


def test_a_tar_with_a_damaged_header_does_not_end_there_in_silence(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("first", "second", "third"):
            tar.addfile(tarfile.TarInfo(name))
    whole = (tmp_path / "a.tar").read_bytes()
    assert file_names(tmp_path / "a.tar") == ["first", "second", "third"]
    (tmp_path / "a.tar").write_bytes(whole[:512] + b"x" * 512 + whole[1024:])
    with pytest.raises(RobustlensError, match=r"a\.tar: damaged"):
        file_names(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(whole[:1024])
    with pytest.raises(RobustlensError, match=r"a\.tar: damaged"):
        file_names(tmp_path / "a.tar")


@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_a_changed_byte_in_a_member_is_noticed(suffix, tmp_path):
    contents = archives.noise(100_000).tobytes()
    whole = bytearray((tarred if suffix == "tar.gz" else zipped)([("a", contents)]))
    whole[len(whole) // 2] ^= 1
    (tmp_path / f"a.{suffix}").write_bytes(whole)
    with pytest.raises(RobustlensError, match=f"a.{suffix}"):
        assert [stream.read() for _, stream in files(tmp_path / f"a.{suffix}", ["a"])] == [contents]


def test_members_come_out_of_an_archive_whole_and_in_any_pieces(tmp_path):
    contents = archives.noise(3_000_000).tobytes()
    for name, wrap in (("a.tar.gz", tarred), ("a.zip", zipped)):
        (tmp_path / name).write_bytes(wrap([("x/first", b"1"), ("x/long", contents), ("last", b"")]))
        assert file_names(tmp_path / name) == ["last", "x/first", "x/long"]
        for member, stream in files(tmp_path / name, ["x/long", "last"]):
            got = stream.read(10) + stream.read(2_000_000) + stream.read()
            assert got == (contents if member == "x/long" else b"")


# Damaged contents -------------------------------------------------------------------------------------------------


def cifar_batch(**changes):
    return {"labels": [0, 1], "data": np.zeros((2, 3072), np.uint8), **changes}


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (cifar_batch(labels=[0, 10]), "label 10 is not one of 0..9"),
        (cifar_batch(labels=[0, -1]), "label -1 is not one of 0..9"),
        (cifar_batch(labels=[0]), "1 labels for 2 images"),
        (cifar_batch(labels=["cat", "dog"]), "not a list of whole numbers"),
        (cifar_batch(labels=[[0], [1, 2]]), "not a list of whole numbers"),
        ({"data": np.zeros((2, 3072), np.uint8)}, "0 labels for 2 images"),
        (cifar_batch(data=np.zeros((2, 3071), np.uint8)), r"uint8 \(2, 3071\), not uint8 \(N, 3072\)"),
        (cifar_batch(data=np.zeros((2, 3072), np.float32)), r"float32 \(2, 3072\)"),
        (cifar_batch(data=[0, 1]), "`data` is list"),
        ({"labels": [0, 1]}, "`data` is NoneType"),
        ([0, 1], "a list where a dictionary belongs"),
    ],
)
def test_a_cifar_batch_that_is_wrong_is_refused(batch, reason, tmp_path):
    made = archives.cifar10()
    made.files["cifar-10-python.tar.gz"]["cifar-10-batches-py/data_batch_2"] = python2_pickle(batch)
    said = refusal(Cifar10(), made, tmp_path)
    assert "cifar-10-python.tar.gz: cifar-10-batches-py/data_batch_2: " in said and re.search(reason, said)


def test_cifar_without_class_names_is_refused(tmp_path):
    made = archives.cifar10()
    made.files["cifar-10-python.tar.gz"]["cifar-10-batches-py/batches.meta"] = python2_pickle({"label_names": 10})
    assert "cifar-10-batches-py/batches.meta: has no list of class names" in refusal(Cifar10(), made, tmp_path)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"y": np.array([[1], [11]], np.uint8)}, "label 11 is not one of 1..10"),
        ({"y": np.array([[1], [0]], np.uint8)}, "label 0 is not one of 1..10"),
        ({"y": np.array([[1], [2], [3]], np.uint8)}, "3 labels for 2 images"),
        ({"y": np.array([[1, 2]], np.uint8)}, r"no `y` of \(N, 1\)"),
        ({"X": np.zeros((32, 32, 3, 2))}, "no `X` of uint8"),
        ({"X": np.zeros((2, 3, 32, 32), np.uint8)}, "no `X` of uint8"),
        ({"X": None}, "no `X` of uint8"),
    ],
)
def test_an_svhn_file_that_is_wrong_is_refused(arrays, reason, tmp_path):
    made = archives.svhn()
    arrays = {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones((2, 1), np.uint8), **arrays}
    made.files["test_32x32.mat"] = mat(**{key: array for key, array in arrays.items() if array is not None})
    said = refusal(Svhn(), made, tmp_path)
    assert "test_32x32.mat" in said and re.search(reason, said)


@pytest.mark.parametrize(
    ("file", "contents", "reason"),
    [
        ("t10k-labels-idx1-ubyte.gz", archives.idx(np.array([1, 2, 10], np.uint8)), "label 10 is not one of 0..9"),
        ("t10k-labels-idx1-ubyte.gz", archives.idx(np.array([1, 2], np.uint8)), "2 labels for 3 images"),
        ("t10k-labels-idx1-ubyte.gz", archives.idx(np.zeros((3, 28, 28), np.uint8)), "bytes with 1 axes"),
        ("t10k-images-idx3-ubyte.gz", archives.idx(np.zeros((3, 27, 28), np.uint8)), "should hold"),
        ("t10k-images-idx3-ubyte.gz", archives.gzip.compress(b"\0\0\x08\x03\0\0\0\x02" + bytes(800), mtime=0), "holds"),
        ("t10k-images-idx3-ubyte.gz", archives.gzip.compress(b"\0\0\x0d\x03" + bytes(12), mtime=0), "not an idx file"),
        ("t10k-images-idx3-ubyte.gz", archives.gzip.compress(b"\0\0", mtime=0), "not an idx file"),
    ],
)
def test_an_mnist_file_that_is_wrong_is_refused(file, contents, reason, tmp_path):
    made = archives.mnist()
    made.files[file] = contents
    said = refusal(Mnist(), made, tmp_path)
    assert file in said and reason in said


@pytest.mark.parametrize(
    ("member", "contents", "reason"),
    [
        ("test_y.bin", bytes([1, 11]), "label 11 is not one of 1..10"),
        ("test_y.bin", bytes([1, 0]), "label 0 is not one of 1..10"),
        ("test_y.bin", bytes([1]), "1 labels for 2 images"),
        ("test_X.bin", bytes(27647), "27647 bytes are not a whole number"),
    ],
)
def test_an_stl10_member_that_is_wrong_is_refused(member, contents, reason, tmp_path):
    made = archives.stl10()
    made.files["stl10_binary.tar.gz"][f"stl10_binary/{member}"] = contents
    said = refusal(Stl10(), made, tmp_path)
    assert f"stl10_binary.tar.gz: stl10_binary/{member}" in said and reason in said


@pytest.mark.parametrize(
    ("member", "contents", "reason"),
    [
        ("val/val_annotations.txt", b"val_1.JPEG\tn01443537\nval_0.JPEG\tn09999999\n", "the label 'n09999999'"),
        ("val/val_annotations.txt", b"val_1.JPEG\tn01443537\nval_0.JPEG\n", "'val_0.JPEG' has the label ''"),
        ("val/val_annotations.txt", b"val_1.JPEG\tn01443537\n", "val_0.JPEG is an image or a label without the other"),
        ("val/val_annotations.txt", b"val_1.JPEG\tn01443537\n" * 2, "'val_1.JPEG' has two labels"),
        ("val/val_annotations.txt", b"\xff\xfe", "damaged"),
        ("wnids.txt", b"n01443537\n", "n02124075 is not a class of both"),
        ("train/n02124075/images/n02124075_0.JPEG", jpeg(64, 63, 0), "63x64 pixels where 64x64 belong"),
    ],
)
def test_a_tiny_imagenet_member_that_is_wrong_is_refused(member, contents, reason, tmp_path):
    made = archives.tiny_imagenet_200()
    made.files["tiny-imagenet-200.zip"][f"tiny-imagenet-200/{member}"] = contents
    said = refusal(TinyImagenet200(), made, tmp_path)
    assert f"tiny-imagenet-200.zip: tiny-imagenet-200/{member}" in said and reason in said


def test_a_class_that_is_not_of_imagenette_is_refused(tmp_path):
    made = archives.imagenette_160()
    for split in ("train", "val"):
        made.files["imagenette2-160.tgz"][f"imagenette2-160/{split}/n00000001/a.JPEG"] = jpeg(20, 20, 0)
    assert "n00000001 is not a class of Imagenette" in refusal(Imagenette160(size=20), made, tmp_path)


def test_a_split_without_images_is_refused(tmp_path):
    for name in ("imagenette-160", "afhq"):
        reader, make = READERS[name]
        for number, split in enumerate(("train", "val")):
            (folder := tmp_path / f"{name}{number}").mkdir()
            made = make()
            file, members = made.files.popitem()
            made.files[file] = {key: content for key, content in members.items() if f"/{split}/" not in key}
            made.files[file][f"{name}/{split}/readme"] = b""
            assert file in refusal(reader, made, folder)


def test_an_image_of_imagenet_that_is_damaged_is_named(tmp_path):
    made = archives.imagenet()
    made.files["imagenet/val/n01440764/b.JPEG"] = made.files["imagenet/val/n01440764/b.JPEG"][:300]
    assert "imagenet: val/n01440764/b.JPEG: not a readable image" in refusal(ImageNet(), made, tmp_path)


def test_imagenet_says_where_its_folders_belong(tmp_path):
    made = archives.imagenet()
    made.files = {name: contents for name, contents in made.files.items() if "/train/" not in name}
    assert f"imagenet{os.sep}train: missing" in refusal(ImageNet(train=True), made, tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"imagenet/val/n01443537/b.JPEG": b"nonsense"}, "val/n01443537/b.JPEG: not a readable image"),
        ({"imagenet/val/n00000001/b.JPEG": jpeg(24, 24, 0)}, "class n00000001 is in one of the splits only"),
        ({f"imagenet/val/{name}/b.JPEG": None for name in ("n01440764", "n01443537")}, "holds no test images"),
    ],
)
def test_nobody_is_told_to_delete_a_folder_of_his_own(change, reason, tmp_path):
    made = archives.imagenet()
    made.files = {name: contents for name, contents in (made.files | change).items() if contents is not None}
    made.files["imagenet/val/readme"] = b""
    said = refusal(READERS["imagenet"][0], made, tmp_path)
    assert reason in said and said.endswith("; put what is missing or damaged there anew")


def unreadable(path, how):
    """Something at `path` that the operating system refuses to read; the reason."""
    path.unlink(missing_ok=True)
    path.symlink_to({"circle": path, "broken disk": "/proc/self/mem", "gone": path.parent / "gone"}[how])
    return {"circle": "Too many levels of symbolic links", "broken disk": "Input/output error"}.get(how)


@pytest.mark.parametrize("how", ["circle", "broken disk"])
def test_what_the_system_refuses_to_read_is_not_called_damaged(how, tmp_path, monkeypatch):

    def fail(file):
        raise OSError(errno.EIO, "Input/output error")

    if how == "broken disk":  # /proc/self/mem has no end for zipfile to start from
        monkeypatch.setattr("zipfile._EndRecData", fail)
    for name, file in (
        ("imagenet", "imagenet/val/n01443537/b.JPEG"),
        ("afhq", "afhq.zip"),
        ("imagenette-160", "imagenette2-160.tgz"),
        ("mnist", "t10k-images-idx3-ubyte.gz"),
        ("svhn", "test_32x32.mat"),
        ("celeba", "list_attr_celeba.txt"),
    ):
        reader, make = READERS[name]
        made, downloads = make(), tmp_path / name / "downloads"
        made.write(downloads)
        del made.files[file]
        reason = unreadable(downloads / file, how)
        said = refusal(reader, made, tmp_path / name)
        assert f"can't be read ({reason}); make it readable" in said and file.split("/")[-1] in said
        assert "delete" not in said and "damaged" not in said


def test_a_folder_that_links_lead_to_twice_is_named(tmp_path):
    """As in a circle, where the images of all classes would pass for those of one."""
    for number, (link, target) in enumerate((("val/n01443537/again", "val"), ("train/n01443538", "train/n01440764"))):
        made, downloads = archives.imagenet(), tmp_path / str(number) / "downloads"
        made.write(downloads)
        (downloads / "imagenet" / link).symlink_to(downloads / "imagenet" / target)
        said = refusal(READERS["imagenet"][0], made, tmp_path / str(number))
        assert re.search("imagenet/(val/n01443537/again|train/n0144(0764|3538)): links lead there twice; make ", said)


def test_a_dangling_link_in_a_folder_is_named(tmp_path):
    made, downloads = archives.imagenet(), tmp_path / "downloads"
    made.write(downloads)
    del made.files["imagenet/val/n01443537/b.JPEG"]
    unreadable(downloads / "imagenet/val/n01443537/b.JPEG", "gone")
    said = refusal(READERS["imagenet"][0], made, tmp_path)
    assert said.endswith("val/n01443537/b.JPEG: missing; put what is missing or damaged there anew")


@pytest.fixture
def unprivileged():
    """A new folder, and a user who may not read everything."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        if root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield Path(folder)
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["imagenet", "imagenet/val/n01443537", "imagenet/val/n01443537/b.JPEG"])
def test_what_may_not_be_read_is_not_called_damaged(name, unprivileged):
    made = archives.imagenet()
    closed = made.write(unprivileged / "downloads") / name
    mode = closed.stat().st_mode
    closed.chmod(0)
    made.files = {}
    said = refusal(READERS["imagenet"][0], made, unprivileged)
    closed.chmod(mode)
    assert re.search(r"can't be read \(Permission denied.*; make it readable", said) and closed.name in said
    assert "delete" not in said


def test_imagenet_refuses_to_cut_more_than_it_resizes_to(tmp_path):
    assert "size 300 is more than resize 256" in refusal(ImageNet(size=300), archives.imagenet(), tmp_path)


def test_images_that_do_not_fit_on_the_disk_are_refused_before_they_are_read(tmp_path):
    said = refusal(Afhq(size=1_000_000), archives.afhq(), tmp_path)  # six times 3e12 bytes
    assert f"{tmp_path / 'scratch'}: at least 18000.0 GB are needed there" in said


def test_a_disk_that_is_full_before_imagenet_64_is_read_is_told(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    made, scratch = imagenet_64(), tmp_path / "scratch"
    packed = sum(path.stat().st_size for path in made.write(tmp_path / "downloads").iterdir())
    made.files = {}
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # of 147,456 bytes of images
    try:
        said = refusal(Imagenet64(), made, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    needed = f"at least {packed / 1e3:.1f} kB are needed there: free space"
    assert said.startswith(f"{scratch}: could not be written (File too large); {needed}")


def test_an_afhq_with_two_test_splits_is_refused(tmp_path):
    made = archives.afhq()
    made.files["afhq.zip"]["afhq/test/cat/c.jpg"] = jpeg(20, 20, 0)
    assert "one of val and test" in refusal(Afhq(size=20), made, tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("list_attr_celeba.txt", b"16\n", b"17\n", "not the number of images"),
        ("list_attr_celeba.txt", b"Smiling", b"Laughing", "not the number of images, their attributes"),
        ("list_attr_celeba.txt", b"000002.jpg -1 -1", b"000002.jpg -1  0", "line 4 is not a new image"),
        ("list_attr_celeba.txt", b"000002.jpg -1 -1", b"000002.jpg -1", "line 4 is not a new image"),
        ("list_attr_celeba.txt", b"000002.jpg", b"000001.jpg", "line 4 is not a new image"),
        ("list_attr_celeba.txt", b"000002.jpg", b"000099.jpg", "000002.jpg is in only one of"),
        ("list_eval_partition.txt", b"000002.jpg 0", b"000002.jpg 3", "line 2 is not a new image"),
        ("list_eval_partition.txt", b"000002.jpg 0\n", b"", "000002.jpg is in only one of"),
    ],
)
def test_a_celeba_list_that_is_wrong_is_refused(file, old, new, reason, tmp_path):
    made = archives.celeba()
    assert old in made.files[file]
    made.files[file] = made.files[file].replace(old, new, 1)
    said = refusal(CelebA(size=18), made, tmp_path)
    assert file in said and reason in said


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (npz(data=np.zeros((1, 12288), np.uint8), labels=[0]), "label 0 is not one of 1..1000"),
        (npz(data=np.zeros((1, 12288), np.uint8), labels=[1001]), "label 1001 is not one of 1..1000"),
        (npz(data=np.zeros((1, 12288), np.uint8), labels=np.array([], int)), "0 labels for 1 images"),
        (npz(data=np.zeros((1, 12288), np.uint8), labels=[1.0]), "not a list of whole numbers"),
        (npz(data=np.zeros((1, 3072), np.uint8), labels=[1]), "uint8 (1, 3072), not uint8 (N, 12288)"),
        (npz(data=np.zeros((1, 12288), np.float32), labels=[1]), "float32 (1, 12288), not uint8"),
        (npz(data=np.zeros((1, 12288), np.uint8)), "has no arrays `data` and `labels`"),
        (npz(data=np.array([{}]), labels=[1]), "Object arrays cannot be loaded"),
        (pickle.dumps({"data": np.zeros((1, 12288), np.uint8), "labels": [1]}), "damaged"),
    ],
)
def test_an_imagenet_64_batch_that_is_wrong_is_refused(batch, reason, tmp_path):
    made = imagenet_64()
    made.files["Imagenet64_val_npz.zip"]["Imagenet64_val_npz/val_data.npz"] = batch
    said = refusal(Imagenet64(), made, tmp_path)
    assert "Imagenet64_val_npz.zip: Imagenet64_val_npz/val_data.npz: " in said and reason in said


def test_an_array_where_a_batch_of_imagenet_64_belongs_is_refused(tmp_path):
    made, array = imagenet_64(), io.BytesIO()
    np.save(array, np.zeros((1, 12288), np.uint8))
    made.files["Imagenet64_val_npz.zip"]["Imagenet64_val_npz/val_data.npz"] = array.getvalue()
    assert "val_data.npz: has no arrays `data` and `labels`" in refusal(Imagenet64(), made, tmp_path)


def test_a_batch_that_two_archives_of_imagenet_64_hold_is_refused(tmp_path):
    made = imagenet_64()
    batch = made.files["Imagenet64_train_part1_npz.zip"]["Imagenet64_train_part1_npz/train_data_batch_1.npz"]
    made.files["Imagenet64_val_npz.zip"]["part/train_data_batch_1.npz"] = batch
    said = refusal(Imagenet64(), made, tmp_path)
    assert "Imagenet64_val_npz.zip: part/train_data_batch_1.npz: " in said


def test_labels_count_from_0_and_are_64_bit_integers():
    for values in ([1, 3, 2], np.array([1, 3, 2], np.uint8), (1, 3, 2)):
        labels = checked_labels(values, 3, 3, "here", first=1)
        assert labels.dtype == np.int64 and labels.tolist() == [0, 2, 1]
    for values in ([1.0, 2.0], [True, False], [10**30, 1], [2**64 - 1, 1], {0, 1}, [None, 1]):
        with pytest.raises(RobustlensError, match="here"):
            checked_labels(values, 2, 10**6, "here")


# Images -----------------------------------------------------------------------------------------------------------


def png(array, mode=None):
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, "PNG")
    return buffer.getvalue()


def triangle_filter(values, wanted):
    """Antialiased linear interpolation of a row (float64): weights fall to 0 at one pixel of the coarser grid."""
    scale = len(values) / wanted
    reach = max(scale, 1.0)
    out = []
    for place in range(wanted):
        centre = (place + 0.5) * scale
        weights = [max(0.0, 1 - abs(source + 0.5 - centre) / reach) for source in range(len(values))]
        out.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return np.array(out)


@pytest.mark.parametrize(("height", "width", "resize", "size"), [(13, 20, 8, 6), (20, 13, 8, 8), (9, 14, 12, 11)])
def test_an_image_is_resized_by_its_shorter_side_and_its_centre_cut_out(height, width, resize, size):
    array = archives.noise(height, width, 3)
    scale = resize / min(height, width)
    new_height, new_width = math.floor(height * scale + 1e-9), math.floor(width * scale + 1e-9)
    expected = np.apply_along_axis(triangle_filter, 0, array.astype(float), new_height)
    expected = np.apply_along_axis(triangle_filter, 1, expected, new_width)
    top, left = round((new_height - size) / 2), round((new_width - size) / 2)
    expected = expected[top : top + size, left : left + size].transpose(2, 0, 1)
    found = pixels(png(array), "here", size, resize)
    assert found.shape == (3, size, size) and found.dtype == np.uint8
    assert np.abs(found - expected).max() < 1.5  # Pillow rounds after each direction


def test_grey_palette_and_cmyk_images_become_rgb():
    grey = archives.noise(8, 8)
    assert np.array_equal(pixels(png(grey), "here", 8), np.stack([grey] * 3))
    palette = np.full((8, 8, 3), (255, 0, 51), np.uint8)
    assert pixels(png(palette, "P"), "here", 8).reshape(3, -1).tolist() == [[255] * 64, [0] * 64, [51] * 64]
    assert pixels(jpeg(8, 8, 0, "CMYK"), "here", 8).shape == (3, 8, 8)


def test_an_image_that_is_cut_off_or_none_at_all_is_refused():
    whole = jpeg(64, 64, 0)
    for contents in (whole[: len(whole) // 2], b"", b"<html>", whole[:20]):
        with pytest.raises(RobustlensError, match="here: not a readable image"):
            pixels(contents, "here", 64)


# Pickles ----------------------------------------------------------------------------------------------------------


def load(contents):
    return restricted_pickle.load(io.BytesIO(contents), "batch")


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_a_pickle_that_calls_a_function_is_refused_before_the_call(protocol, tmp_path):
    for function, arguments in ((os.mkdir, (str(tmp_path / "made"),)), (eval, ("1/0",)), (np.load, ("x",))):
        with pytest.raises(RobustlensError) as error:
            load(pickle.dumps({"data": [1, {"deep": Call(function, *arguments)}]}, protocol))
        assert re.search(rf"batch: asks for \w+\.{function.__name__}, ", str(error.value))
    assert not (tmp_path / "made").exists()


def test_a_malicious_batch_of_cifar_is_refused_with_its_archive_and_member(tmp_path):
    made = archives.cifar10()
    attack = b"cposix\nmkdir\n(S'" + str(tmp_path / "made").encode() + b"'\ntR."
    made.files["cifar-10-python.tar.gz"]["cifar-10-batches-py/test_batch"] = attack
    said = refusal(Cifar10(), made, tmp_path)
    assert "cifar-10-python.tar.gz: cifar-10-batches-py/test_batch: asks for posix.mkdir" in said
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "contents", [b"cposix\nsystem\n.", b"cbuiltins\neval\n.", b"cnumpy\nload\n.", b"c__main__\nx\n."]
)
def test_not_even_a_mention_of_a_function_is_admitted(contents):
    with pytest.raises(RobustlensError, match="asks for"):
        load(contents)


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}, None]),
        np.array(["text"]),
        np.array([(1, {})], dtype=[("a", "i4"), ("b", "O")]),
        np.array([b"raw"]),
        np.array(["2020-01-01"], "M8[D]"),
    ],
)
def test_arrays_of_anything_but_numbers_are_refused(array):
    with pytest.raises(RobustlensError, match="not of numbers"):
        load(pickle.dumps({"data": array}, 2))


def test_a_forged_data_type_does_not_reach_numpy():
    honest = pickle.dumps({"data": np.arange(4, dtype=np.uint64)}, 2)
    state = b"\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"  # the flags of the type, 0: plain numbers
    assert honest.count(state) == 1
    forged = load(honest.replace(state, state.replace(b"K\x00", b"K\x3f")))  # says that the numbers are objects
    assert not forged["data"].dtype.hasobject and forged["data"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_of_numbers_come_back_as_they_were(protocol):
    arrays = {
        "bytes": archives.noise(3, 5),
        "columns first": np.asfortranarray(archives.noise(3, 5)),
        "big-endian": np.array([1, 256], ">i4"),
        "floats": np.array([0.5, np.inf], np.float32),
    }
    found = load(pickle.dumps({**arrays, "one": np.int64(7), "text": "é", "list": [1, (2, None)]}, protocol))
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    assert found["one"] == 7 and found["text"] == "é" and found["list"] == [1, (2, None)]


def test_the_pickles_that_the_tests_make_are_pickles_to_numpy_too():
    batch = {"data": archives.noise(2, 4), "labels": [300, -1], "text": "a" * 300}
    for contents in (python2_pickle(batch), archives.python3_pickle(batch)):
        found = pickle.loads(contents, encoding="latin1")
        assert np.array_equal(found["data"], batch["data"])
        assert found["labels"] == [300, -1] and found["text"] == "a" * 300


def test_a_pickle_cut_off_anywhere_is_refused():
    whole = python2_pickle({"data": archives.noise(2, 3), "labels": [1, 2]})
    for length in range(len(whole)):
        with pytest.raises(RobustlensError, match="batch: "):
            load(whole[:length])


def test_a_pickle_with_any_byte_changed_is_read_or_refused_and_nothing_else():
    whole = python2_pickle({"data": archives.noise(2, 3), "labels": [1, 2]})
    for place in range(len(whole)):
        for value in (0, whole[place] ^ 1, 255):
            changed = whole[:place] + bytes([value]) + whole[place + 1 :]
            try:
                assert isinstance(load(changed), dict)
            except RobustlensError as error:
                assert "batch: " in str(error)
