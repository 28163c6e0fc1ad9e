"""Members of archives whose contents are wrong are refused, format by format."""

import io
import pickle
import re

import archives
import numpy as np
import pytest
from archives import jpeg, mat, python2_pickle
from readers import READERS, imagenet_64, npz, refusal

from robustlens.data.afhq import Afhq
from robustlens.data.celeba import CelebA
from robustlens.data.cifar10 import Cifar10
from robustlens.data.imagenet import ImageNet
from robustlens.data.imagenet_64 import Imagenet64
from robustlens.data.imagenette_160 import Imagenette160
from robustlens.data.labels import checked_labels
from robustlens.data.mnist import Mnist
from robustlens.data.stl10 import Stl10
from robustlens.data.svhn import Svhn
from robustlens.data.tiny_imagenet_200 import TinyImagenet200
from robustlens.errors import RobustlensError


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


def test_imagenet_refuses_to_cut_more_than_it_resizes_to(tmp_path):
    assert "size 300 is more than resize 256" in refusal(ImageNet(size=300), archives.imagenet(), tmp_path)


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
