"""Writing more than a disk may hold."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from robustlens.console import log
from robustlens.errors import RobustlensError


@contextlib.contextmanager
def filling(folder: Path, needed: int, later: int = 0) -> Iterator[None]:
    """At least `needed` bytes are written to files in `folder` while the block runs, and up to `later` afterwards.

    Only to files, because a memory map that outgrows its disk ends the process silently (SIGBUS).
    Raises RobustlensError, with the folder and how much is needed, where there is too little room from the start, and
    where the disk is full before the end; where there is too little for `later`, it is a warning.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RobustlensError(
            f"{folder}: at least {_size(needed)} are needed there, {_size(needed - free)} more than are free; free "
            "space, then run the same command again"
        )
    if needed + later > free:
        log.warning(
            "%s: %s are free; %s are needed now and up to %s afterwards: unless only a part of the images is to be "
            "prepared, stop here and free space",
            folder,
            _size(free),
            _size(needed),
            _size(later),
        )
    try:
        yield
    except OSError as error:
        raise RobustlensError(
            f"{folder}: could not be written ({error.strerror or error}); at least {_size(needed)} are needed there: "
            "free space or make the folder writable, then run the same command again"
        ) from error


def _size(count: int) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"
