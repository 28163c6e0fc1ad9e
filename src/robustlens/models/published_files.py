"""Files of weights as they come: what kind each one is, told by its bytes, and what it holds. Nothing in one is run."""

import codecs
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from robustlens.errors import RobustlensError

START = 4096  # bytes, which tell what a file is
LONGEST_HEADER = 100_000_000  # bytes, of safetensors; text that is read as a number is more
TORCH_BEFORE_1_6 = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # the number that such a file begins with
AGAIN = "fetch it again"
UNPACK = "unpack it, put the file of weights itself in its place, and give that one's checksum"
SAVE_ALONE = (
    "which can run any code that the file brings; where you trust it, load it yourself and save its state dict alone: "
    "torch.save({name: tensor, ...}, path), or safetensors.torch.save_file"
)
KINDS = {
    b"version https://git-lfs": f"a pointer of Git LFS in place of the weights; {AGAIN}, with git lfs pull",
    b"\x1f\x8b": f"compressed by gzip; {UNPACK}",
    b"BZh": f"compressed by bzip2; {UNPACK}",
    b"\xfd7zXZ\x00": f"compressed by xz; {UNPACK}",
    b"\x28\xb5\x2f\xfd": f"compressed by Zstandard; {UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7-Zip archive; {UNPACK}",
    b"Rar!": f"a RAR archive; {UNPACK}",
    b"\x89HDF": "HDF5, as Keras and h5py write it; save its arrays by safetensors.numpy.save_file",
    b"\x93NUMPY": "one NumPy array (.npy), and weights are many with their names",
    b"GGUF": "a GGUF file, of a language model",
    b"%PDF": "a PDF document",
    b"\x89PNG": "an image",
}
PLAIN_NAMES = re.compile(r"torch\.\w+|torch\._(utils|tensor)\.\w+|(collections|_codecs)\.\w+")  # in a pickle of tensors


def published_content(path: Path) -> Any:
    """What a third-party file holds: mappings, sequences, tensors and plain values.

    path: safetensors, or of torch.save. Raises RobustlensError, without the path, for any other file and for one that
    needs unpickling: what it is, and what to do.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(START)
    except OSError as error:
        raise RobustlensError(f"the file could not be read ({error.strerror})") from error
    if not start:
        raise RobustlensError(f"the file is empty; {AGAIN}")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < LONGEST_HEADER:
        return _of_safetensors(path)
    if other := _other_kind(start):
        raise RobustlensError(f"the file is {other}")
    if start.startswith(b"PK"):
        return _of_zip(path)
    if TORCH_BEFORE_1_6 in start[:32]:
        return _of_torch(path, path)
    if start.startswith(b"\x80"):
        raise RobustlensError(f"the file is a plain pickle, not one of torch.save: it needs unpickling, {SAVE_ALONE}")
    raise RobustlensError(f"the file is neither of safetensors nor of torch.save, or it is damaged; {AGAIN}")


def _other_kind(start: bytes) -> str | None:
    """What a file is that holds no weights, and what to do, by its first bytes; None where it may hold some."""
    known = next((words for signature, words in KINDS.items() if start.startswith(signature)), None)
    if known or start[257:262] == b"ustar":
        return known or f"a .tar archive; {UNPACK}"
    text = _text(start)
    if not text:
        return None
    if text.startswith("<"):
        title = re.search(r"<title[^>]*>(.*?)</title", text, re.DOTALL | re.IGNORECASE)
        named = f" ({_one_line(title[1])})" if title else ""
        return f"a web page{named}, saved in place of the weights; {AGAIN}, in a browser where it asks for something"
    if text.startswith(("{", "[")):
        return "JSON, which may say where weights are, but holds none; fetch the file of weights itself"
    return f"text, which begins {_one_line(text)}; {AGAIN}"


def _text(start: bytes) -> str:
    """The beginning of a text file; nothing of any other file."""
    if b"\0" in start:
        return ""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(start).strip()
    except UnicodeDecodeError:
        return ""


def _one_line(text: str) -> str:
    return repr(" ".join(text.split())[:60])


def _of_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise RobustlensError(f"the file of safetensors is damaged ({error}); {AGAIN}") from error


def _of_zip(path: Path) -> Any:
    """Of torch.save, which writes an archive that is called like the file: <name>/data.pkl, <name>/data/0, ..."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickled = next((name for name in names if re.fullmatch(r"([^/]+/)?data\.pkl", name)), None)
            if other := _other_archive(names, (pickled or "").removesuffix("data.pkl")):
                raise RobustlensError(f"the file is {other}")
            if pickled is None:
                raise RobustlensError(f"the file is a .zip archive with {_some_files(names)} in it; {UNPACK}")
            with archive.open(pickled) as stream:
                return _of_torch(path, stream)
    except NotImplementedError as error:  # a compression or a version that zipfile does not know
        raise RobustlensError(
            f"the file is a .zip archive that Python can't unpack ({_one_line(str(error))}); {UNPACK}"
        ) from error
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:  # all that zipfile raises for damaged ones
        reason = _one_line(str(error) or type(error).__name__)
        raise RobustlensError(
            f"the file is damaged, a .zip archive (of torch.save?) that is not whole ({reason}); {AGAIN}"
        ) from error


def _other_archive(names: list[str], root: str) -> str | None:
    """What an archive with these files is, if neither a checkpoint nor an unknown one. root: where its data.pkl is."""
    if names and all(name.endswith(".npy") for name in names):
        return (
            "NumPy arrays (.npz); if these are weights by their names, save them by "
            "safetensors.numpy.save_file(dict(numpy.load(path)), other_path)"
        )
    if f"{root}constants.pkl" in names or any(name.startswith(f"{root}code/") for name in names):
        return f"TorchScript, a program with its weights: it needs running (torch.jit.load), {SAVE_ALONE}"
    if any(re.fullmatch(r"[^/]+/\.data/extern_modules", name) for name in names):
        return f"a torch.package, code with its weights: it needs running, {SAVE_ALONE}"
    if any(name.rpartition("/")[2] in ("archive_format", "serialized_exported_program.json") for name in names):
        return f"a program of torch.export: it needs running, {SAVE_ALONE}"
    if "model.weights.h5" in names:
        return "a Keras model; save its arrays by safetensors.numpy.save_file"
    return None


def _some_files(names: list[str]) -> str:
    files = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX")]
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return f"{', '.join(map(repr, files[:3]))}{more}" if files else "nothing"


def _of_torch(path: Path, pickled: Path | BinaryIO) -> Any:
    """pickled: the stream that has the file's pickle, or the file itself, if it begins with it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch fail anywhere, and its words advise to unpickle it
        if isinstance(pickled, Path):
            with open(pickled, "rb") as stream:
                found, is_network = _named_in(stream)
        else:
            found, is_network = _named_in(pickled)
        if not found:
            raise RobustlensError(f"the file of torch.save is damaged or not whole; {AGAIN}") from error
        what = f"a whole network, as an object of {found[0]}" if is_network else f"objects of {', '.join(found[:3])}"
        raise RobustlensError(f"the file holds {what}, not tensors alone: it needs unpickling, {SAVE_ALONE}") from error


def _named_in(stream: BinaryIO) -> tuple[list[str], bool]:
    """The functions and classes that the pickles in a stream ask for beside what tensors need, in their order, and
    whether they have what a torch module consists of. Nothing is unpickled."""
    found, strings = {}, []
    for _ in range(4):  # before torch 1.6: a number, the format, the machine, and the content
        for operation, value in _operations(stream):
            if operation == "GLOBAL":
                found[value.replace(" ", ".")] = None
            elif operation == "STACK_GLOBAL":
                found[".".join(strings[-2:])] = None
            elif isinstance(value, str):
                strings.append(value)
    return [name for name in found if not PLAIN_NAMES.fullmatch(name)], {"_modules", "_parameters"} <= set(strings)


def _operations(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The operations of the next pickle in a stream, as far as it is whole."""
    try:
        for operation, value, _ in pickletools.genops(stream):
            yield operation.name, value
    except (ValueError, EOFError, OSError):
        return
