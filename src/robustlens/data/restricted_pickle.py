"""Pickled dictionaries of arrays, read without the powers of a pickle.

A pickle may name any function of Python and have it called. Here it gets, for the few names that arrays need,
stand-ins that keep numbers and do nothing else; numpy's own unpickling, which a forged data type can make read
arbitrary memory, never runs.
"""

import pickle
import re
from typing import Any, BinaryIO

import numpy as np

from robustlens.data.archives import RENEW
from robustlens.errors import RobustlensError


def load(stream: BinaryIO, where: str) -> dict[str, Any]:
    """The pickled dictionary in `stream`: plain Python values, and read-only arrays of numbers.

    Text of Python 2 is read as latin-1, as numpy needs it. Keys that are bytes, and bytes in lists, become text: they
    were read from Python 2 as bytes, and pickled again.
    Raises RobustlensError, naming `where`, for a pickle that asks for any other function or class (named in the
    message), for arrays of objects, and for one that is damaged or not a dictionary.
    """
    try:
        found = _Unpickler(stream, where).load()
    except RobustlensError:
        raise
    except Exception as error:  # a damaged pickle can raise almost anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RobustlensError(f"{where}: not a whole pickle of arrays ({reason}); {RENEW}") from error
    if not isinstance(found, dict):
        raise RobustlensError(f"{where}: a {type(found).__name__} where a dictionary belongs; {RENEW}")
    return {_text(key): _plain(value) for key, value in found.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.array
    return [_text(item) for item in value] if isinstance(value, list) else value


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


class _Type:
    """Stands for numpy.dtype: numbers of a fixed size."""

    def __init__(self, name: str, *_: Any):
        if not re.fullmatch("[<>|=]?[biuf][1248]", name):
            raise ValueError(f"its arrays are of {name}, not of numbers")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for the empty array that numpy makes first and fills by `__setstate__`."""

    def __init__(self, *_: Any):
        self.array = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, raw = state
        self.array = np.frombuffer(_bytes(raw), kind.dtype).reshape(shape, order="F" if fortran else "C")


def _from_buffer(raw: bytes, kind: _Type, shape: tuple, order: str, axes: tuple | None = None) -> _Array:
    """An array as Python 3 pickles it by protocol 5. axes: of an array in neither order, where its axes come from."""
    found = _Array()
    array = np.frombuffer(bytes(raw), kind.dtype)
    found.array = array.reshape(shape).transpose(axes) if order == "K" else array.reshape(shape, order=order)
    return found


def _scalar(kind: _Type, raw: str | bytes) -> Any:
    return np.frombuffer(_bytes(raw), kind.dtype)[0].item()


def _bytes(raw: str | bytes, encoding: str = "latin1") -> bytes:
    """Bytes of Python 2 come as text; Python 3 writes bytes for Python 2 as text that is to be encoded in latin-1."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"its bytes are encoded in {encoding}")
    return raw.encode("latin1") if isinstance(raw, str) else raw


def _no_bytes() -> bytes:
    """By the protocols of Python 2, Python 3 writes bytes of which there are none as a call."""
    return b""


_STAND_INS = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): dict,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, where: str):
        super().__init__(stream, encoding="latin1")
        self.where = where

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise RobustlensError(
                f"{self.where}: asks for {module}.{name}, which a file of arrays has no use for; "
                f"don't trust this archive, {RENEW}"
            )
        return _STAND_INS[module, name]
