"""Files that one process has at a time."""

import fcntl
from pathlib import Path
from typing import TextIO

from robustlens.errors import RobustlensError


def take(path: Path) -> TextIO:
    """Lock a file until it is closed. The lock is the operating system's: it ends with its process, however that ends,
    so that none is ever stale. (Where the file system has no locks, filelock falls back to a file that stays.)

    Raises BlockingIOError where another process has it, OSError where the file can't be written, and RobustlensError
    where the file system has no locks.
    """
    file = open(path, "a")  # noqa: SIM115 - the caller closes it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    except OSError as error:
        file.close()
        raise RobustlensError(
            f"{path}: can't be locked ({error.strerror}); two jobs could compute the same and spoil it: put results/ "
            "on a file system with locks (on Lustre: mounted with `flock`)"
        ) from error
    return file
