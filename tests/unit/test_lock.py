"""The lock that keeps two processes from one result."""

import errno
import fcntl
import os

import pytest

from robustlens.errors import RobustlensError
from robustlens.lock import take


def test_a_file_is_locked_until_it_is_closed(tmp_path):
    first = take(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        take(tmp_path / "lock")
    first.close()
    take(tmp_path / "lock").close()


def test_a_lock_ends_with_its_process(tmp_path):
    child = os.fork()
    if child == 0:
        take(tmp_path / "lock")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    take(tmp_path / "lock").close()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_nothing_is_done_without(number, tmp_path, monkeypatch):
    def none(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(RobustlensError, match=r"lock: can't be locked \(.+\); .* on a file system with locks"):
        take(tmp_path / "lock")


def test_a_file_that_can_not_be_written_is_an_error_of_its_own(tmp_path):
    (tmp_path / "folder").write_text("no folder")
    with pytest.raises(NotADirectoryError):
        take(tmp_path / "folder" / "lock")
