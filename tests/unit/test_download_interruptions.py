"""Downloads that meet a full disk, an interrupt or each other."""

import contextlib
import re
import resource
import threading

import pytest
from downloading import BODY, FILE, PART, entry, failure
from serving import Page

from robustlens.data.download import fetch

pytestmark = pytest.mark.usefixtures("pauses")


@contextlib.contextmanager
def largest_file(size: int):
    """No file may exceed `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_what_has_arrived_is_kept(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    with largest_file(200_000):
        message = failure(entry(f"{site.url}/a"), tmp_path)
    assert message.startswith(f"{tmp_path / FILE}: could not be written (File too large); free space")
    assert (tmp_path / PART).read_bytes() == BODY[:200_000]
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.asked("/a") == [None, "bytes=200000-"]


def test_a_folder_that_can_t_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    message = failure(entry("https://never.invalid/asked"), tmp_path / "file" / "folder")
    assert re.search(r"could not be written \(.*directory.*\); free space or make the folder writable", message)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_a_part_that_goes_on(ending, site, tmp_path):
    def interrupt(done: int, whole: int | None) -> None:
        assert whole == 320_000
        if done >= 100_000:
            raise ending

    site.pages["/a"] = Page(BODY)
    with pytest.raises(ending):
        fetch(entry(f"{site.url}/a"), tmp_path, interrupt)
    size = (tmp_path / PART).stat().st_size
    assert 100_000 <= size < 320_000 and not (tmp_path / FILE).exists()
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.asked("/a") == [None, f"bytes={size}-"]


def test_of_two_at_once_one_downloads_and_the_other_waits(site, tmp_path):
    site.pages["/a"] = Page(BODY, cuts=[320_000], stall=True, says_length=False)
    archive, found = entry(f"{site.url}/a"), []
    threads = [threading.Thread(target=lambda: found.append(fetch(archive, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    threads[0].join(0.3)
    assert found == [] and len(site.requests) == 1
    site.released.set()
    for thread in threads:
        thread.join(10)
    assert found == [tmp_path / FILE] * 2 and len(site.requests) == 1
