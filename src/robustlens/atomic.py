"""Files that appear whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from robustlens.errors import RobustlensError


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path`; what was written there becomes `path` by rename when the block ends well.

    The data are on disk before the rename, so that a power cut leaves the old file or the new one. A full disk or
    a folder that can't be written ends in a RobustlensError, any failure removes the temporary file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise RobustlensError(
            f"{path}: could not be written ({error.strerror or error}); "
            "free space or make the folder writable, then run the same command again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
