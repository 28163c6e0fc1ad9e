"""Images that the user brings: whether their files changed, and the checksum of what they hold."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

ADVICE = "mend it, then run the same command again"


def state(path: str | Path) -> str:
    """A digest of the names, sizes and times of change of a file, or of all files below the folders in a folder, except
    hidden ones: another one where something that is read may have changed. No file is opened, so that it takes a
    moment; of a path that is not there, "missing".
    """
    path = Path(path)
    found = hashlib.sha256()
    if not os.path.exists(path):
        return "missing"
    for name in [path] if path.is_file() else sorted(_below(path)):
        status = os.stat(name, follow_symlinks=name.exists())
        facts = f"\0{status.st_size}\0{status.st_mtime_ns}\n"
        found.update(os.fsencode(name.relative_to(path)) + facts.encode())
    return found.hexdigest()


def content_checksum(digests: Mapping[str, str]) -> str:
    """The SHA-256 of a folder's content, from those of its files by their names in it.

    It is that of a list with a line `<sha256>  ./<name>` for each file, sorted by name, as
    `find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum` prints it.
    """
    lines = sorted((os.fsencode(f"./{name}"), digest) for name, digest in digests.items())
    return hashlib.sha256(b"".join(digest.encode() + b"  " + name + b"\n" for name, digest in lines)).hexdigest()


def is_checksum(given: str, found: str) -> bool:
    """Whether a SHA-256 that a person wrote is this one."""
    return given.strip().lower() == found


def _below(folder: Path) -> list[Path]:
    """The files in the folders of a folder. Links to folders are followed, once each."""
    found, seen = [], set()
    for root, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(root) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(root))
        folders[:] = [name for name in folders if not name.startswith(".")]
        if Path(root) != folder:
            found += [Path(root, name) for name in files if not name.startswith(".")]
    return found
