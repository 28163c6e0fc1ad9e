"""Whether an archive of a dataset is the right file, and what to do when it is not.

Downloading is another module's task, so that a change there leaves prepared datasets up to date.

A catalogue entry describes an archive: `file`, `bytes` (where known), `md5`, `sha1` or `sha256`, `urls` (the primary
one, then mirrors; none: by hand only) and `by_hand` (how to get it otherwise).
"""

import hashlib
from pathlib import Path

from robustlens.errors import RobustlensError

ALGORITHMS = ("sha256", "sha1", "md5")


def known_checksum(archive: dict) -> tuple[str, str]:
    """Algorithm and hexadecimal digits: the strongest one of the entry. Raises RobustlensError when it has none."""
    for algorithm in ALGORITHMS:
        if archive.get(algorithm):
            return algorithm, archive[algorithm].lower()
    raise RobustlensError(
        f"{archive['file']}: no checksum is known for it, and nothing is read unverified; if you trust a copy, give "
        "the first word that `sha256sum FILE` prints as the `sha256` of this archive in the configuration"
    )


def verify(path: Path, archive: dict) -> None:
    """Raises RobustlensError unless the file is there and has the checksum of its catalogue entry."""
    try:
        wrong = difference(path, archive)
    except FileNotFoundError:
        raise RobustlensError(f"{path}: missing; {by_hand(archive, path)}") from None
    except OSError as error:
        raise RobustlensError(f"{path}: can't be read ({error.strerror}); make it a readable file") from error
    if wrong:
        raise RobustlensError(
            f"{path}: {wrong}; it is incomplete, damaged or another file: delete it and run the same command again"
        )


def difference(path: Path, archive: dict) -> str | None:
    """How the file differs from its catalogue entry; None when it has the checksum. Raises OSError."""
    algorithm, expected = known_checksum(archive)
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if found == expected:
        return None
    size = f", expected {archive['bytes']}" if archive.get("bytes") else ""
    return f"{algorithm} {found}, expected {expected} ({path.stat().st_size} bytes{size})"


def by_hand(archive: dict, path: Path) -> str:
    """Exactly which file to put where."""
    algorithm, digits = known_checksum(archive)
    size = f"{archive['bytes']} bytes, " if archive.get("bytes") else ""
    how = f"\n  how to get it: {archive['by_hand']}" if archive.get("by_hand") else ""
    return f"put this file in place by hand:\n  {path.absolute()}\n  {size}{algorithm} {digits}{how}"
