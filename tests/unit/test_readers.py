"""Dataset readers find what was written, in every format as its authors publish it."""

import pickle

import archives
import numpy as np
import pytest
from archives import python2_pickle
from readers import READERS, read

from robustlens.configuration.facts import is_own
from robustlens.data.afhq import Afhq
from robustlens.data.cifar10 import Cifar10
from robustlens.data.imagenet import ImageNet
from robustlens.data.stl10 import Stl10
from robustlens.data.tiny_imagenet_200 import TinyImagenet200
from robustlens.parameters import names


def test_every_reader_is_tested_here():
    own = {name for name in names("data") if is_own(name)}  # tests/unit/test_own_images.py
    assert set(names("data")) - {"digits", *own} == READERS.keys()


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


def test_all_classes_of_imagenet_are_called_by_words(tmp_path):
    """One small image for each; ids in the order of the classes."""
    image = archives.jpeg(4, 4, seed=0)
    files = {f"imagenet/val/n{number:08d}/1.JPEG": image for number in range(1, 1001)}
    source = read(ImageNet(resize=4, size=4), archives.Made(files, np.empty(0), [], [], test=1000), tmp_path)
    assert source.labels.tolist() == list(range(1000)) and len(set(source.classes)) == 1000
    found = [source.classes[number] for number in (0, 134, 388, 999)]
    assert found == ["tench", "crane bird", "giant panda", "toilet tissue"]


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
