"""The archives of a dataset (see verification.py), downloaded once and verified, or found in place.

While it arrives an archive is `.<file>.part`, which any later call resumes, however this one ended, from any of its
URLs: the checksum decides whether the pieces fit. It gets its name only when its contents have been verified. Beside
it, `.<file>.origin.json` then says where they came from.
"""

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

import requests
from filelock import FileLock, Timeout
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from robustlens.atomic import replacing
from robustlens.console import log
from robustlens.data.verification import by_hand, difference, known_checksum, verify
from robustlens.errors import RobustlensError

ATTEMPTS = 5  # in a row that get no further than those before, until a URL is given up
BACKOFF, LONGEST_PAUSE = 1.0, 60.0  # seconds: after the first of them (then doubled), and at most
TIMEOUT = (20.0, 60.0)  # seconds: to connect, and of silence
BLOCK = 1 << 16
EVERY = 10.0  # seconds from one line of progress to the next
IMAGES = (".jpeg", ".jpg", ".png")
SEALED = (errno.EROFS, errno.EACCES, errno.EPERM)
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

Report = Callable[[int, int | None], None]


class _Refused(Exception):
    """This URL will not give the archive: on to the next one."""


class _Interrupted(Exception):
    """This attempt failed, another one may not. pause: the seconds that the server asks for."""

    def __init__(self, reason: str, pause: float = 0.0):
        super().__init__(reason)
        self.pause = pause


# What must be there -----------------------------------------------------------------------------------------------


def fetch(archive: dict, folder: Path, progress: Report | None = None) -> Path:
    """The verified archive in `folder`, downloaded unless it is in place. A file in place is never changed.

    progress: called with the bytes that are there and those of the whole (None: unknown); by default a line on the
    terminal every ten seconds. Where several processes want it, one downloads and the others wait.
    Raises RobustlensError for a file in place with other contents, for an archive without a known checksum, when no
    URL gives the archive (with the reason of each, and what to put where by hand), when the disk is full, and when the
    archive is missing from a folder that can't be written.
    """
    path = Path(folder) / archive["file"]
    known_checksum(archive)
    if not os.path.lexists(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                if not os.path.lexists(path):
                    _download(archive, path, progress or _Meter(path.name))
                    return path
        except OSError as error:
            if error.errno in SEALED:
                raise RobustlensError(
                    f"{path}: missing, and can't be downloaded, as its folder can't be written ({error.strerror}): "
                    "have a folder of your own in its place, with links to the files that are shared, or "
                    f"{by_hand(archive, path)}"
                ) from error
            raise RobustlensError(
                f"{path}: could not be written ({error.strerror or error}); free space or make the folder writable, "
                "then run the same command again: the download resumes where it stopped"
            ) from error
    verify(path, archive)
    return path


def receipt(archive: dict, folder: Path) -> dict:
    """What a receipt says of a fetched archive: name, bytes, checksum, and the URL it came from or `in place`."""
    path = Path(folder) / archive["file"]
    algorithm, digits = known_checksum(archive)
    origin = _read_json(_origin(path))
    source = origin["url"] if origin.get(algorithm) == digits else "in place"
    return {"file": path.name, "bytes": path.stat().st_size, algorithm: digits, "source": source}


def count_images(folder: Path, layout: str, train: bool) -> dict[str, dict[str, int]]:
    """Classes and images of a dataset that is a folder of <split>/<class>/<image>: of `val`, and, where somebody wants
    them, of `train`.

    Raises RobustlensError, which quotes `layout` (what the folder should look like), for a split without images.
    """
    counts = {}
    for split in ("train", "val") if train else ("val",):
        try:
            classes = [entry.path for entry in os.scandir(folder / split) if entry.is_dir()]
            images = sum(entry.name.lower().endswith(IMAGES) for path in classes for entry in os.scandir(path))
        except OSError as error:
            raise RobustlensError(f"{error.filename}: {error.strerror}; {_as_folder(folder, layout)}") from None
        if not images:
            raise RobustlensError(f"{folder / split}: no folders with images in it; {_as_folder(folder, layout)}")
        counts[split] = {"classes": len(classes), "images": images}
    return counts


def _as_folder(folder: Path, layout: str) -> str:
    return f"this dataset can't be downloaded: put it, or a link to it, at {folder.absolute()} ({layout})"


# All URLs, one URL, one attempt -----------------------------------------------------------------------------------


def _download(archive: dict, path: Path, report: Report) -> None:
    partial = _Partial(path)
    said = []
    for url in archive.get("urls", []):
        try:
            _from_url(url, archive, partial, report)
            partial.finish(url, known_checksum(archive))
            return
        except _Refused as reason:
            log.warning("%s: %s", url, reason)
            said.append(f"\n  {url}: {reason}")
    tried = f"could not be downloaded:{''.join(said)}\nRun the same command again once that is fixed, or"
    raise RobustlensError(f"{path.name}: {tried if said else 'no URL gives it:'} {by_hand(archive, path)}")


def _from_url(url: str, archive: dict, partial: "_Partial", report: Report) -> None:
    """All of the archive, verified, in `partial`.

    Pieces that make up wrong contents may be from different versions of the file: it is started again, once.
    Raises _Refused after too many failures in a row (what has arrived is kept) or for wrong contents (it is not).
    """
    failures, furthest, anew = 0, partial.size, False
    resumed = f", resuming after {furthest} bytes" if furthest else ""
    log.info("%s: downloading from %s%s", archive["file"], url, resumed, extra={"terminal": True})
    while True:
        try:
            if not partial.size or partial.size != archive.get("bytes"):
                _transfer(url, archive, partial, report)
            wrong = difference(partial.path, archive)
            if not wrong:
                return
            partial.discard()
            if anew or not partial.pieced:
                raise _Refused(wrong)
            log.warning("%s: %s; perhaps because of what had arrived before: once more from the beginning", url, wrong)
            failures, furthest, anew = 0, 0, True
        except _Interrupted as interruption:
            if partial.size > furthest:
                failures, furthest = 0, partial.size
            failures += 1
            if failures == ATTEMPTS:
                raise _Refused(f"{interruption}, {ATTEMPTS} times in a row") from None
            pause = min(max(BACKOFF * 2 ** (failures - 1), interruption.pause), LONGEST_PAUSE)
            log.warning("%s: %s; trying again in %g s", url, interruption, pause)
            time.sleep(pause)


def _transfer(url: str, archive: dict, partial: "_Partial", report: Report) -> None:
    """Append to `partial` what it lacks, or write all of it again where the source can't resume."""
    if urlsplit(url).scheme == "file":
        with _opened(url) as file:
            whole = _expected(os.fstat(file.fileno()).st_size, archive)
            partial.discard()
            partial.append(iter(lambda: file.read(BLOCK), b""), whole, report)
    elif urlsplit(url).scheme == "https" or _stays_here(url):
        with _Session() as session, _answer(session, url, partial.size) as response:
            if response.status_code == 416 and partial.size:
                return  # it has no more than we have: the checksum decides
            whole = _whole(response, archive, partial)
            if response.status_code == 200:
                partial.discard()
            partial.append(_body(response), whole, report)
    else:
        raise _Refused("only https and file URLs are fetched, and http ones of this machine (localhost)")


# HTTP and files ---------------------------------------------------------------------------------------------------


def _stays_here(url: str) -> bool:
    """Whether a plain http URL stays within this machine; on a network anyone could read or alter what it gives."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in THIS_MACHINE


class _Session(requests.Session):
    """Follows redirects to https, and within this machine."""

    def get_redirect_target(self, response: requests.Response) -> str | None:
        target = super().get_redirect_target(response)
        if target:
            absolute = urljoin(response.url, target)
            if urlsplit(absolute).scheme != "https" and not (_stays_here(response.url) and _stays_here(absolute)):
                raise _Refused(f"redirected to {absolute}, which is not followed")
        return target


def _answer(session: requests.Session, url: str, start: int) -> requests.Response:
    """The answer, its body still unread, if possible from byte `start` on. Certificates are always verified."""
    headers = {"User-Agent": "robustlens", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:  # plain http to this machine must not go through a proxy
        return session.get(url, headers=headers, proxies={"http": ""}, stream=True, timeout=TIMEOUT)
    except OSError as error:  # those of requests, and of its settings in the environment (REQUESTS_CA_BUNDLE)
        cause = error.strerror or (error.args[0] if error.args else error)
        reason = str(getattr(cause, "reason", cause))
        passing = isinstance(error, requests.ConnectionError | requests.Timeout)
        raise (_Interrupted if passing else _Refused)(reason) from None


def _whole(response: requests.Response, archive: dict, partial: "_Partial") -> int | None:
    """The size of the whole archive (None: unknown) when the answer brings it (200) or what `partial` lacks (206)."""
    code = response.status_code
    if code in (408, 429) or code >= 500:
        raise _Interrupted(f"HTTP {code} {response.reason}", _asked_pause(response))
    if code not in (200, 206):
        raise _Refused(f"HTTP {code} {response.reason}")
    size = response.headers.get("Content-Length", "")
    if code == 206:
        place = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not place or int(place[1]) != partial.size:
            partial.discard()
            raise _Interrupted("the server resumed at another place than asked")
        size = place[2]
    return _expected(int(size) if size.isdecimal() else None, archive)


def _expected(offered: int | None, archive: dict) -> int | None:
    """The size that the archive must have, or that is offered where that is not known."""
    expected = archive.get("bytes")
    if expected and offered is not None and offered != expected:
        raise _Refused(f"the file there has {offered} bytes, not {expected}")
    return expected or offered


def _body(response: requests.Response) -> Iterator[bytes]:
    """The body as it was sent: an archive that the server calls gzip-encoded stays compressed."""
    try:
        yield from response.raw.stream(BLOCK, decode_content=False)
    except (HTTPError, OSError) as error:
        raise _Interrupted(str(error.args[0] if error.args else error)) from None


def _asked_pause(response: requests.Response) -> float:
    with contextlib.suppress(HTTPError):
        return Retry().get_retry_after(response.raw) or 0.0
    return 0.0


def _opened(url: str) -> BinaryIO:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise _Refused(f"a file URL names a file of this machine: file:///{parts.netloc}{parts.path}")
    try:
        return open(url2pathname(parts.path), "rb")
    except OSError as error:
        raise _Refused(error.strerror) from None


# What has arrived -------------------------------------------------------------------------------------------------


class _Partial:
    """What has arrived of an archive, on disk. pieced: it did not come, as far as is known, in one piece."""

    def __init__(self, target: Path):
        self.target = target
        self.path = target.with_name(f".{target.name}.part")
        self.pieced = True

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, blocks: Iterator[bytes], whole: int | None, report: Report) -> None:
        """Raises _Interrupted when the blocks end before `whole` bytes are there, _Refused when there are more."""
        done = self.size
        self.pieced = done > 0
        with open(self.path, "ab") as file:
            for block in blocks:
                file.write(block)
                done += len(block)
                if whole and done > whole:
                    break
                report(done, whole)
            file.flush()
            os.fsync(file.fileno())
        if whole and done > whole:
            self.discard()
            raise _Refused(f"it sends more than {whole} bytes")
        if whole and done < whole:
            raise _Interrupted(f"it ended after {done} of {whole} bytes")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)

    def finish(self, url: str, checksum: tuple[str, str]) -> None:
        """The archive gets its name; its origin is written first, and counts only for a file with this checksum."""
        algorithm, digits = checksum
        with replacing(_origin(self.target)) as path:
            path.write_text(json.dumps({"url": url, algorithm: digits}) + "\n")
        os.replace(self.path, self.target)


def _origin(path: Path) -> Path:
    return path.with_name(f".{path.name}.origin.json")


def _read_json(path: Path) -> dict:
    """Empty when there is no such file, or a damaged one."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. The lock is the operating system's: it ends with its process."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("%s: another process is downloading it; waiting for that", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Meter:
    """A line with percentage, speed and ETA on the terminal every ten seconds."""

    def __init__(self, what: str):
        self.what, self.shown, self.before = what, time.monotonic(), None

    def __call__(self, done: int, whole: int | None) -> None:
        now = time.monotonic()
        if self.before is None or done < self.before:  # the first block, or a new beginning
            self.shown, self.before = now, done
        if now - self.shown < EVERY:
            return
        speed = (done - self.before) / (now - self.shown)
        self.shown, self.before = now, done
        line = f"{done / 1e6:.1f} MB, {speed / 1e6:.2f} MB/s"
        if whole:
            left = timedelta(seconds=round((whole - done) / speed)) if speed else "unknown"
            line = f"{done / whole:.0%} of {whole / 1e6:.1f} MB, {speed / 1e6:.2f} MB/s, ETA {left}"
        log.info("%s: %s", self.what, line, extra={"terminal": True})
