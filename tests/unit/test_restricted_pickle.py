"""Pickles give back arrays of numbers and plain values, and run nothing."""

import io
import os
import pickle
import re

import archives
import numpy as np
import pytest
from archives import python2_pickle
from readers import refusal

from robustlens.data import restricted_pickle
from robustlens.data.cifar10 import Cifar10
from robustlens.errors import RobustlensError


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
