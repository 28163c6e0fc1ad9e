"""An archive to download, and what tests of downloads ask again and again."""

import hashlib
from pathlib import Path

import pytest

from robustlens.data.download import fetch
from robustlens.errors import RobustlensError

BODY = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(10_000))  # 320 000 bytes
OTHER = BODY[::-1]
PART, FILE = ".data.tar.gz.part", "data.tar.gz"
ONLY = "only https and file URLs are fetched, and http ones of this machine (localhost)"


def entry(*urls: str, body: bytes = BODY, **more: object) -> dict:
    known = {"bytes": len(body), "md5": hashlib.md5(body).hexdigest()}
    return {"file": FILE, "urls": list(urls), **known, **more}


def failure(archive: dict, folder: Path) -> str:
    with pytest.raises(RobustlensError) as error:
        fetch(archive, folder)
    return str(error.value)


def leave_partial(folder: Path, content: bytes) -> None:
    """What an earlier process left behind."""
    (folder / PART).write_bytes(content)
