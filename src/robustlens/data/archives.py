"""The files in a dataset's archive (zip, or tar of any compression) or folder, read one by one and never unpacked.

torchvision's dataset classes can't serve here: they insist on checksums of their own, load pickles without
restriction, and keep Python lists of all images in memory.
"""

import contextlib
import errno
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from robustlens.errors import RobustlensError

RENEW = "delete it and fetch it again"
MEND = "put what is missing or damaged there anew"  # into a folder, which is the user's own
BLOCK = 1 << 20
# What the standard library raises for an archive that is cut off, altered, encrypted, or something else altogether.
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
)

# An entry of an archive: its name, whether it is a plain file or folder (not a link, a device, ...), and what opens a
# file (None: a folder).
Entry = tuple[str, bool, Callable[[], BinaryIO] | None]


def file_names(path: Path) -> list[str]:
    """The sorted names of all files in an archive or folder, with `/` between their parts.

    Raises RobustlensError for an archive that is missing or damaged, and for one with a name that leaves its folder,
    with the same name twice, or with anything but files and folders in it.
    """
    return sorted(name for name, _ in _files(path))


def files(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, BinaryIO]]:
    """(name, stream) of each wanted file, in the order of the archive; a stream lives until the next one is asked for.

    Raises RobustlensError as `file_names` does, and for wanted files that are not there.
    """
    missing = set(wanted)
    # A folder may hold a million files more, and has no order worth keeping.
    found = ((name, partial(open, path / name, "rb")) for name in wanted) if os.path.isdir(path) else _files(path)
    advice = what_to_do(path)
    for name, opened in found:
        if name in missing:
            missing.remove(name)
            with blamed_on(f"{path}: {name}", advice):
                member = opened()
            with io.BufferedReader(_Member(member, f"{path}: {name}", advice)) as stream:
                yield name, stream
    if missing:
        others = f" and {len(missing) - 1} other files are" if len(missing) > 1 else " is"
        raise RobustlensError(f"{path}: {min(missing)}{others} missing from it; {advice}")


def what_to_do(path: Path) -> str:
    """What to do about an archive or folder with something wrong in it."""
    return MEND if os.path.isdir(path) else RENEW


def lines(content: bytes, where: str) -> list[str]:
    """The lines of a text file that are not empty."""
    with blamed_on(where):
        return [line for line in content.decode().splitlines() if line.strip()]


@contextlib.contextmanager
def blamed_on(where: str, advice: str = RENEW) -> Iterator[None]:
    """What goes wrong in reading is a RobustlensError that names the file.

    What the operating system refuses (permission, a failing disk, a circle of links) says nothing about the contents.
    """
    try:
        yield
    except FileNotFoundError:
        raise RobustlensError(f"{where}: missing; {'fetch it again' if advice == RENEW else advice}") from None
    except (OSError, *DAMAGED) as error:
        refused = error.__context__ if isinstance(error, zipfile.BadZipFile) else error  # it hides what it came from
        # gzip raises OSErrors without a number; zipfile seeks where a damaged archive tells it to.
        if isinstance(refused, OSError) and refused.errno not in (None, errno.EINVAL):
            inside = refused.filename and Path(refused.filename).name not in where
            place = f": {refused.filename}" if inside else ""
            raise RobustlensError(
                f"{where}: can't be read ({refused.strerror}{place}); make it readable, then run the same command again"
            ) from error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RobustlensError(f"{where}: damaged or not what its name says ({reason}); {advice}") from error


class _Member(io.RawIOBase):
    """A file of an archive, read in blocks: zipfile would hold one of a gigabyte three times."""

    def __init__(self, member: BinaryIO, where: str, advice: str):
        self.member, self.where, self.advice = member, where, advice

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        with blamed_on(self.where, self.advice):
            block = self.member.read(min(len(buffer), BLOCK))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self.member.close()
        super().close()


def _files(path: Path) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """(name, what opens it) of every file, checked as `file_names` says."""
    entries = _folder_entries if os.path.isdir(path) else _zip_entries if path.suffix == ".zip" else _tar_entries
    seen = set()
    with blamed_on(str(path), what_to_do(path)):
        for name, plain, opened in entries(path):
            parts = PurePosixPath(name.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts:
                raise RobustlensError(f"{path}: {name}: leaves the archive's folder; don't trust this archive, {RENEW}")
            if not plain:
                raise RobustlensError(f"{path}: {name}: a link or device; don't trust this archive, {RENEW}")
            if opened is None:
                continue
            if str(parts) in seen:
                raise RobustlensError(f"{path}: {name}: more than once in it; don't trust this archive, {RENEW}")
            seen.add(str(parts))
            yield str(parts), opened


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged header for the end of the archive, which is a block of zeros."""

    @classmethod
    def fromtarfile(cls, *arguments: Any, **options: Any) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(*arguments, **options)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _tar_entries(path: Path) -> Iterator[Entry]:
    with tarfile.open(path, tarinfo=_Header) as tar:
        for info in tar:
            plain = info.isreg() or info.isdir()
            yield info.name, plain, None if info.isdir() else partial(tar.extractfile, info)
        while tar.fileobj.read(BLOCK):  # to the end, where the compressed data have their checksum
            pass


def _zip_entries(path: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0: written by a system without Unix's file kinds
            plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
            yield info.filename, plain, None if info.is_dir() else partial(archive.open, info)


def _folder_entries(path: Path) -> Iterator[Entry]:
    """A folder that the user put there: links in it are the user's own, and are followed."""

    def stop(error: OSError) -> None:
        raise error

    seen = set()
    for root, _, names in os.walk(path, followlinks=True, onerror=stop):
        if os.path.realpath(root) in seen:
            raise RobustlensError(f"{root}: links lead there twice; make it one folder, without a circle of links")
        seen.add(os.path.realpath(root))
        for name in names:
            file = Path(root, name)
            yield file.relative_to(path).as_posix(), True, partial(open, file, "rb")
