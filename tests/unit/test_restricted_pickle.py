"""Pickles give back arrays of numbers and plain values, and run nothing."""

import io
import os
import pickle
import re
from collections import OrderedDict

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


def python3_pickle_5(value):
    """As Python 3.8 and later write it with numpy 2, where they are asked for the newest protocol."""
    return pickle.dumps(value, protocol=5)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
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


REPACKED = {
    "as it is": lambda batch: batch,
    "read as bytes": lambda batch: {
        key.encode(): [name.encode() for name in value] if "names" in key else value for key, value in batch.items()
    },
    "labels in an array": lambda batch: {k: np.array(v) if k == "labels" else v for k, v in batch.items()},
    "labels of numpy": lambda batch: {k: list(np.array(v)) if k == "labels" else v for k, v in batch.items()},
    "rows of columns": lambda batch: {k: np.asfortranarray(v) if k == "data" else v for k, v in batch.items()},
    "ordered": OrderedDict,
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("change", REPACKED)
def test_cifar_that_was_changed_and_pickled_again_is_read(change, protocol, tmp_path):
    made = archives.cifar10()
    members = made.files["cifar-10-python.tar.gz"]
    for name, content in members.items():
        if not name.endswith(".html"):
            members[name] = pickle.dumps(REPACKED[change](pickle.loads(content, encoding="latin1")), protocol)
    made.write(tmp_path)
    source = Cifar10().read(tmp_path, tmp_path)
    assert np.array_equal(source.images, made.images) and source.labels.tolist() == list(made.labels)
    assert source.classes == made.classes


@pytest.mark.parametrize("protocol", [2, 5])
def test_cifar_that_was_pickled_again_with_a_function_is_refused(protocol, tmp_path):
    made = archives.cifar10()
    batch = {"data": archives.noise(2, 3072), "labels": [1, 2], "extra": Call(os.mkdir, str(tmp_path / "made"))}
    made.files["cifar-10-python.tar.gz"]["cifar-10-batches-py/test_batch"] = pickle.dumps(batch, protocol)
    assert "test_batch: asks for posix.mkdir" in refusal(Cifar10(), made, tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "change", [(b"\x8c\x01C", b"\x8c\x01Z"), (b"\x8c\x02u1", b"\x8c\x02O8"), (b"\x86\x94", b"N0\x94")]
)
def test_a_forged_buffer_is_refused(change):
    honest = pickle.dumps({"data": archives.noise(2, 3)}, 5)
    assert load(honest)["data"].shape == (2, 3) and change[0] in honest
    with pytest.raises(RobustlensError, match="batch: not a whole pickle of arrays"):
        load(honest.replace(*change))


def test_arrays_of_a_pickle_with_buffers_beside_it_are_refused():
    content = pickle.dumps({"data": archives.noise(2, 3)}, 5, buffer_callback=[].append)
    with pytest.raises(RobustlensError, match="batch: not a whole pickle of arrays"):
        load(content)


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


def module_of_numpy_1(found: re.Match) -> bytes:
    """The module's name in a pickle, after the opcode that says how long it is or that a line end follows."""
    name = b"numpy.core." + found[2]
    return b"c" + name if found[1] == b"c" else b"\x8c" + bytes([len(name)]) + name


@pytest.mark.parametrize("numpy_1", [False, True])
@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_numbers_come_back_as_they_were(protocol, numpy_1):
    arrays = {
        "bytes": archives.noise(3, 5),
        "columns first": np.asfortranarray(archives.noise(3, 5)),
        "axes exchanged": archives.noise(2, 3, 5).transpose(0, 2, 1),
        "every second": archives.noise(2, 6)[:, ::2],
        "empty": np.empty((0, 4), np.uint8),
        "of no axis": np.array(7),
        "big-endian": np.array([1, 256], ">i4"),
        "floats": np.array([0.5, np.inf], np.float32),
    }
    content = pickle.dumps({**arrays, "one": np.int64(7), "text": "é", "list": [1, (2, None)]}, protocol)
    if numpy_1:
        content = content.replace(content[2:11], b"", 1) if protocol > 3 else content  # the length of the whole
        content = re.sub(rb"(c|\x8c.)numpy\._core\.(\w+)", module_of_numpy_1, content, flags=re.DOTALL)
        assert b"numpy._core" not in content and b"numpy.core" in content
    found = load(content)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    assert found["one"] == 7 and found["text"] == "é" and found["list"] == [1, (2, None)]


def test_the_pickles_that_the_tests_make_are_pickles_to_numpy_too():
    batch = {"data": archives.noise(2, 4), "labels": [300, -1], "text": "a" * 300}
    for contents in (python2_pickle(batch), archives.python3_pickle(batch)):
        found = pickle.loads(contents, encoding="latin1")
        assert np.array_equal(found["data"], batch["data"])
        assert found["labels"] == [300, -1] and found["text"] == "a" * 300


@pytest.mark.parametrize("pickled", [python2_pickle, python3_pickle_5])
def test_a_pickle_cut_off_anywhere_is_refused(pickled):
    whole = pickled({"data": archives.noise(2, 3), "labels": [1, 2]})
    for length in range(len(whole)):
        with pytest.raises(RobustlensError, match="batch: "):
            load(whole[:length])


# In the second one, the lowest bit of one length makes of an `r` the number of a value, for which 40 GB are allocated.
@pytest.mark.parametrize(("pickled", "bit", "others"), [(python2_pickle, 1, [0, 255]), (python3_pickle_5, 2, [0])])
def test_a_pickle_with_any_byte_changed_is_read_or_refused_and_nothing_else(pickled, bit, others):
    whole = pickled({"data": archives.noise(2, 3), "labels": [1, 2]})
    for place in range(len(whole)):
        for value in (whole[place] ^ bit, *others):
            changed = whole[:place] + bytes([value]) + whole[place + 1 :]
            try:
                assert isinstance(load(changed), dict)
            except RobustlensError as error:
                assert "batch: " in str(error)
