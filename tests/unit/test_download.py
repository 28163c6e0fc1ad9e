"""Archives: what arrives however badly it is served, what is refused, and what a user is told."""

import contextlib
import gzip
import hashlib
import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import yaml
from processes import REPOSITORY, until
from serving import Page, _Handler, certificate, serving

from robustlens.configuration import CATALOGUE
from robustlens.data import download
from robustlens.data.download import count_images, fetch, receipt
from robustlens.data.verification import known_checksum, verify
from robustlens.errors import RobustlensError

BODY = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(10_000))  # 320 000 bytes
OTHER = BODY[::-1]
PART, FILE = ".data.tar.gz.part", "data.tar.gz"


def entry(*urls: str, body: bytes = BODY, **more: object) -> dict:
    known = {"bytes": len(body), "md5": hashlib.md5(body).hexdigest()}
    return {"file": FILE, "urls": list(urls), **known, **more}


@pytest.fixture(autouse=True)
def pauses(monkeypatch) -> list[float]:
    """The seconds that were waited between attempts, which pass at once. Nothing goes through a proxy."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    waited: list[float] = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waited.append, monotonic=time.monotonic))
    return waited


@pytest.fixture
def site():
    with serving() as it:
        yield it


@pytest.fixture
def sealed(tmp_path):
    """A folder that this process can't write to, if it respects permissions at all."""
    folder = tmp_path / "sealed"
    folder.mkdir()
    folder.chmod(0o500)
    yield folder
    folder.chmod(0o700)


def failure(archive: dict, folder: Path) -> str:
    with pytest.raises(RobustlensError) as error:
        fetch(archive, folder)
    return str(error.value)


def leave_partial(folder: Path, content: bytes) -> None:
    """What an earlier process left behind."""
    (folder / PART).write_bytes(content)


# It arrives -------------------------------------------------------------------------------------------------------


def test_an_archive_is_downloaded_verified_and_named(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    path = fetch(entry(f"{site.url}/a"), tmp_path / "new" / "cifar10")
    assert path == tmp_path / "new" / "cifar10" / FILE and path.read_bytes() == BODY
    assert {file.name for file in path.parent.iterdir()} - {f".{FILE}.lock"} == {FILE, f".{FILE}.origin.json"}
    assert site.asked("/a") == [None] and site.asked("/a", "Accept-Encoding") == ["identity"]


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_every_kind_of_checksum_counts(algorithm, site, tmp_path):
    site.pages |= {"/good": Page(BODY), "/bad": Page(OTHER)}
    right = {algorithm: hashlib.new(algorithm, BODY).hexdigest()}
    archive = {"file": FILE, "urls": [f"{site.url}/bad", f"{site.url}/good"], **right}
    assert fetch(archive, tmp_path).read_bytes() == BODY
    assert receipt(archive, tmp_path) == {"file": FILE, "bytes": 320_000, **right, "source": f"{site.url}/good"}


def test_a_broken_connection_is_resumed_where_it_broke(site, tmp_path):
    site.pages["/a"] = Page(BODY, cuts=[100_000, 150_000])
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.asked("/a") == [None, "bytes=100000-", "bytes=250000-"]


def test_attempts_that_get_further_are_not_counted(site, tmp_path, pauses):
    site.pages["/a"] = Page(BODY, cuts=[30_000] * 10)
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert len(site.requests) == 11 and pauses == [1.0] * 10


def test_attempts_that_begin_anew_each_time_come_to_an_end(site, tmp_path):
    site.pages["/a"] = Page(BODY, ranges=False, cuts=[100_000] * 10)
    assert "5 times in a row" in failure(entry(f"{site.url}/a"), tmp_path)
    assert len(site.requests) == 5


def test_a_server_without_ranges_sends_all_of_it_again(site, tmp_path):
    site.pages["/a"] = Page(BODY, ranges=False, cuts=[100_000, 90_000])
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.asked("/a") == [None, "bytes=100000-", "bytes=90000-"]


def test_a_body_of_unknown_length_that_ends_early_is_resumed(site, tmp_path):
    site.pages["/a"] = Page(BODY, says_length=False, cuts=[100_000])
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.asked("/a") == [None, "bytes=100000-"]


def test_a_server_that_falls_silent_is_asked_again(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (5, 0.2))
    site.pages["/a"] = Page(BODY, cuts=[200_000], stall=True)
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert len(site.requests) == 2 and re.fullmatch(r"bytes=1\d{5}-", site.asked("/a")[1])


def test_a_part_of_an_earlier_process_that_spoils_the_whole_is_not_blamed_on_the_server(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    leave_partial(tmp_path, OTHER[:100_000])
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.asked("/a") == ["bytes=100000-", None]


@pytest.mark.parametrize("known_size", [True, False])
def test_a_file_that_changes_on_the_server_between_two_pieces_ends_right(known_size, site, tmp_path, monkeypatch):
    page = site.pages["/a"] = Page(OTHER if known_size else OTHER[:200_000], cuts=[100_000, 50_000, 70_000])

    def change(seconds: float) -> None:
        page.body = BODY

    monkeypatch.setattr(download.time, "sleep", change)
    archive = entry(f"{site.url}/a")
    if not known_size:
        del archive["bytes"]
    assert fetch(archive, tmp_path).read_bytes() == BODY
    # The pieces up to 100,000 and 150,000, and the rest, don't fit; begun anew, it is resumed after 70,000.
    assert site.asked("/a") == [None, "bytes=100000-", "bytes=150000-", "bytes=220000-", None]


def test_pieces_that_are_wrong_once_more_are_refused(site, tmp_path):
    site.pages["/a"] = Page(OTHER, cuts=[100_000, 220_000, 60_000])
    leave_partial(tmp_path, BODY[:1000])
    message = failure(entry(f"{site.url}/a"), tmp_path)
    assert f"{site.url}/a: md5 {hashlib.md5(OTHER).hexdigest()}, expected" in message
    assert site.asked("/a") == ["bytes=1000-", "bytes=101000-", None, "bytes=60000-"]
    assert not (tmp_path / PART).exists()


def test_a_server_that_answers_whole_requests_in_part_is_blamed_for_wrong_contents(site, tmp_path, monkeypatch):
    """An answer 206 from byte 0 that nobody asked for."""
    began = _Handler._begin
    place = {"Content-Range": "bytes 0-319999/320000"}
    monkeypatch.setattr(_Handler, "_begin", lambda self, status, headers: began(self, 206, headers | place))
    site.pages |= {"/bad": Page(OTHER), "/good": Page(BODY)}
    message = failure(entry(f"{site.url}/bad"), tmp_path)
    assert f"{site.url}/bad: md5 {hashlib.md5(OTHER).hexdigest()}, expected" in message
    assert site.asked("/bad") == [None]
    assert fetch(entry(f"{site.url}/good"), tmp_path).read_bytes() == BODY


def test_a_server_that_always_resumes_at_another_place_comes_to_an_end(site, tmp_path):
    site.pages["/a"] = Page(BODY, cuts=[100_000] * 99, headers={"Content-Range": "bytes 5-9/320000"})
    assert "5 times in a row" in failure(entry(f"{site.url}/a"), tmp_path)
    # Each second answer is thrown away, with what had arrived: no beginning gets further than the first one.
    assert site.asked("/a") == [None, "bytes=100000-", None, "bytes=100000-", None]


def test_a_download_of_an_earlier_process_goes_on(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    leave_partial(tmp_path, BODY[:319_999])
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.asked("/a") == ["bytes=319999-"]


def test_a_mirror_finishes_what_another_one_began(site, tmp_path):
    site.pages["/first"] = Page(BODY, cuts=[200_000, *[0] * 9])
    site.pages["/second"] = Page(BODY)
    assert fetch(entry(f"{site.url}/first", f"{site.url}/second"), tmp_path).read_bytes() == BODY
    assert site.asked("/second") == ["bytes=200000-"]


def test_a_complete_part_is_not_asked_for_again(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    leave_partial(tmp_path, BODY)
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.requests == []


def test_of_a_complete_part_of_unknown_size_the_server_has_no_more(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    leave_partial(tmp_path, BODY)
    archive = entry(f"{site.url}/a")
    del archive["bytes"]
    assert fetch(archive, tmp_path).read_bytes() == BODY
    assert site.asked("/a") == ["bytes=320000-"]


@pytest.mark.parametrize("known_size", [True, False])
def test_a_part_that_is_too_long_starts_anew(known_size, site, tmp_path):
    site.pages["/a"] = Page(BODY)
    leave_partial(tmp_path, BODY + b"more")
    archive = entry(f"{site.url}/a")
    if not known_size:
        del archive["bytes"]
    assert fetch(archive, tmp_path).read_bytes() == BODY
    assert site.asked("/a") == ["bytes=320004-", None]


def test_a_server_that_resumes_at_another_place_starts_anew(site, tmp_path):
    site.pages["/a"] = Page(BODY, cuts=[100_000], headers={"Content-Range": "bytes 5-9/320000"})
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.asked("/a") == [None, "bytes=100000-", None]


def test_a_gzip_encoding_is_not_undone(site, tmp_path):
    """Some servers call a .tar.gz a gzip-encoded tar; its checksum is that of the file."""
    packed = gzip.compress(BODY, mtime=0)
    site.pages["/a"] = Page(packed, headers={"Content-Encoding": "gzip"})
    assert fetch(entry(f"{site.url}/a", body=packed), tmp_path).read_bytes() == packed


def test_a_file_url_is_copied(tmp_path):
    source = tmp_path / "my files" / "a b.tgz"
    source.parent.mkdir()
    source.write_bytes(BODY)
    archive = entry((tmp_path / "none").as_uri(), source.as_uri())
    path = fetch(archive, tmp_path / "downloads")
    assert path.read_bytes() == BODY and not path.is_symlink() and path.stat().st_ino != source.stat().st_ino
    assert receipt(archive, tmp_path / "downloads")["source"] == source.as_uri()


def test_a_file_url_is_copied_whole_or_refused_at_once(tmp_path):
    source, short = tmp_path / "a.tgz", tmp_path / "short.tgz"
    source.write_bytes(BODY)
    short.write_bytes(BODY[:-1])
    leave_partial(tmp_path, BODY[:1000])
    message = failure(entry(short.as_uri(), tmp_path.as_uri()), tmp_path)
    assert "short.tgz: the file there has 319999 bytes, not 320000\n" in message
    assert f"{tmp_path.as_uri()}: Is a directory\n" in message
    assert (tmp_path / PART).stat().st_size == 1000
    assert fetch(entry(source.as_uri()), tmp_path).read_bytes() == BODY
    assert source.read_bytes() == BODY


# Servers that are busy, and mirrors -------------------------------------------------------------------------------


def test_a_busy_server_is_asked_again_later_each_time(site, tmp_path, pauses):
    site.pages["/a"] = Page(BODY, answers=[(503, {}), (500, {}), (429, {}), (502, {})])
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert pauses == [1, 2, 4, 8]


def test_a_server_says_how_long_to_wait_within_reason(site, tmp_path, pauses):
    site.pages["/a"] = Page(BODY, answers=[(503, {"Retry-After": seconds}) for seconds in ("7", "1", "86400", "soon")])
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert pauses == [7, 2, 60, 8]


def test_what_a_server_does_not_have_a_mirror_gives_at_once(site, tmp_path, pauses):
    site.pages["/mirror"] = Page(BODY)
    archive = entry(f"{site.url}/gone", f"{site.url}/mirror", f"{site.url}/unused")
    assert fetch(archive, tmp_path).read_bytes() == BODY
    assert [path for path, _ in site.requests] == ["/gone", "/mirror"] and pauses == []
    assert receipt(archive, tmp_path)["source"] == f"{site.url}/mirror"


def test_wrong_contents_are_deleted_and_a_mirror_is_asked_for_all_of_it(site, tmp_path):
    site.pages |= {"/bad": Page(OTHER), "/mirror": Page(BODY)}
    assert fetch(entry(f"{site.url}/bad", f"{site.url}/mirror"), tmp_path).read_bytes() == BODY
    assert site.asked("/bad") == [None] and site.asked("/mirror") == [None]


def test_a_page_of_another_size_is_not_loaded_and_does_not_cost_what_has_arrived(site, tmp_path):
    """The page of a captive portal, say, with status 200."""
    leave_partial(tmp_path, BODY[:100_000])
    site.pages["/a"] = Page(b"<html>Please log in</html>", ranges=False)
    message = failure(entry(f"{site.url}/a"), tmp_path)
    assert f"{site.url}/a: the file there has 26 bytes, not 320000" in message
    assert (tmp_path / PART).read_bytes() == BODY[:100_000]


def test_a_body_without_end_is_cut_off(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (5, 0.5))  # who waited for the end would hear nothing any more
    site.pages["/a"] = Page(BODY + BODY, says_length=False, cuts=[640_000] * 9, stall=True)
    assert "/a: it sends more than 320000 bytes" in failure(entry(f"{site.url}/a"), tmp_path)
    assert not (tmp_path / PART).exists()


def test_when_all_fail_every_reason_is_told_and_what_to_do_by_hand(site, tmp_path, pauses):
    with serving() as closed:
        nobody = closed.url  # nothing listens there any more
    site.pages |= {"/bad": Page(OTHER), "/busy": Page(answers=[(503, {})] * 9)}
    pages = [f"{site.url}/gone", f"{site.url}/bad", f"{site.url}/busy", f"{nobody}/x", "ftp://host/a", "file:///no/a"]
    message = failure(entry(*pages, "file://host/a", by_hand="ask the authors"), tmp_path)
    lines = message.split("\n")
    right, wrong = (hashlib.md5(body).hexdigest() for body in (BODY, OTHER))
    assert lines[0] == "data.tar.gz: could not be downloaded:"
    assert lines[1] == f"  {site.url}/gone: HTTP 404 Not Found"
    assert lines[2] == f"  {site.url}/bad: md5 {wrong}, expected {right} (320000 bytes, expected 320000)"
    assert lines[3] == f"  {site.url}/busy: HTTP 503 Service Unavailable, 5 times in a row"
    assert lines[4].startswith(f"  {nobody}/x: ") and lines[4].endswith("Connection refused, 5 times in a row")
    assert lines[5] == f"  ftp://host/a: {ONLY}"
    assert lines[6] == "  file:///no/a: No such file or directory"
    assert lines[7] == "  file://host/a: a file URL names a file of this machine: file:///host/a"
    assert lines[8:] == [
        "Run the same command again when that is mended, or put this file in place by hand:",
        f"  {tmp_path / FILE}",
        f"  320000 bytes, md5 {right}",
        "  how to get it: ask the authors",
    ]
    assert pauses == [1, 2, 4, 8] * 2 and len(site.asked("/busy")) == 5


def test_an_archive_without_urls_says_what_to_put_where(tmp_path):
    message = failure({**entry(by_hand="sign the form"), "urls": []}, tmp_path)
    assert message.startswith("data.tar.gz: no URL gives it: put this file in place by hand:\n")
    assert str(tmp_path / FILE) in message and message.endswith("how to get it: sign the form")


def test_what_has_arrived_stays_when_all_fail(site, tmp_path):
    site.pages["/a"] = Page(BODY, cuts=[150_000, *[0] * 9])
    message = failure(entry(f"{site.url}/a"), tmp_path)
    assert re.search(r"/a: Connection broken: IncompleteRead\(0 bytes read, 170000 more expected\), 5 times", message)
    assert (tmp_path / PART).read_bytes() == BODY[:150_000]
    site.pages["/a"].cuts = []
    assert fetch(entry(f"{site.url}/a"), tmp_path).read_bytes() == BODY
    assert site.asked("/a")[-1] == "bytes=150000-"


# What is in place -------------------------------------------------------------------------------------------------


def test_a_right_file_in_place_is_used_even_where_nothing_can_be_written(sealed, tmp_path):
    sealed.chmod(0o700)
    (sealed / FILE).write_bytes(BODY)
    sealed.chmod(0o500)
    archive = entry("https://never.invalid/asked")
    assert fetch(archive, sealed) == sealed / FILE
    assert [path.name for path in sealed.iterdir()] == [FILE]
    assert receipt(archive, sealed)["source"] == "in place"


def test_a_wrong_file_in_place_is_never_deleted(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    (tmp_path / FILE).write_bytes(OTHER[:50])
    message = failure(entry(f"{site.url}/a"), tmp_path)
    right, wrong = hashlib.md5(BODY).hexdigest(), hashlib.md5(OTHER[:50]).hexdigest()
    assert message.startswith(
        f"{tmp_path / FILE}: md5 {wrong}, expected {right} (50 bytes, expected 320000); it is incomplete, damaged"
    )
    assert "delete it and run the same command again" in message
    assert (tmp_path / FILE).read_bytes() == OTHER[:50] and site.requests == []


def test_a_link_in_place_counts_and_a_dangling_one_is_not_written_through(site, tmp_path):
    (tmp_path / "elsewhere").write_bytes(BODY)
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    assert fetch(entry(), tmp_path).is_symlink()
    (tmp_path / "elsewhere").unlink()
    site.pages["/a"] = Page(BODY)
    assert failure(entry(f"{site.url}/a"), tmp_path).startswith(f"{tmp_path / FILE}: missing; put this file in place")
    assert not (tmp_path / "elsewhere").exists()


def test_a_reader_s_caller_can_verify(tmp_path):
    (tmp_path / FILE).write_bytes(BODY)
    bare = {"file": FILE, "sha256": hashlib.sha256(BODY).hexdigest()}  # neither size nor URLs
    verify(tmp_path / FILE, bare)
    verify(tmp_path / FILE, {**bare, "sha256": bare["sha256"].upper()})
    with pytest.raises(RobustlensError, match=r"sha256 .*, expected 0000.* delete it"):
        verify(tmp_path / FILE, {**bare, "sha256": "0" * 64})
    with pytest.raises(RobustlensError, match=r"missing; put this file in place by hand:\n  /.*none\n  sha256 "):
        verify(tmp_path / "none", bare)
    with pytest.raises(RobustlensError, match=r"can't be read \(Is a directory\); make it"):
        verify(tmp_path, bare)


def test_a_receipt_names_a_url_only_for_the_file_that_came_from_it(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    archive = entry(f"{site.url}/a")
    fetch(archive, tmp_path)
    fetch(archive, tmp_path)  # in place by now, but it is known where from: the receipt stays the same
    assert receipt(archive, tmp_path)["source"] == f"{site.url}/a"
    (tmp_path / FILE).write_bytes(OTHER)
    other = entry(f"{site.url}/a", body=OTHER)
    fetch(other, tmp_path)
    assert receipt(other, tmp_path)["source"] == "in place"


# What is refused --------------------------------------------------------------------------------------------------


def test_nothing_without_a_checksum_is_asked_for_or_accepted(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    archive = {"file": FILE, "urls": [f"{site.url}/a"], "md5": None, "sha1": None, "sha256": None}
    for _ in range(2):
        message = failure(archive, tmp_path)
        assert "data.tar.gz: no checksum is known" in message and "`sha256` of this archive in the config" in message
        (tmp_path / FILE).write_bytes(BODY)
    assert site.requests == []


def test_tls_is_verified_and_no_redirect_leaves_it(site, tmp_path, monkeypatch):
    unsigned = certificate(tmp_path, "IP:127.0.0.1")
    site.pages["/a"] = Page(BODY)
    with serving(unsigned) as secure:
        secure.pages["/a"] = Page(BODY)
        secure.pages["/moved"] = Page(answers=[(302, {"Location": "/a"})])
        secure.pages["/down"] = Page(answers=[(302, {"Location": f"{site.url}/a"})])
        assert "CERTIFICATE_VERIFY_FAILED" in failure(entry(f"{secure.url}/a"), tmp_path)
        assert secure.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(unsigned))  # as if an authority had signed it
        message = failure(entry(f"{secure.url}/down"), tmp_path)
        assert f"/down: redirected to {site.url}/a, which is not followed" in message
        assert site.requests == []
        assert fetch(entry(f"{secure.url}/moved"), tmp_path).read_bytes() == BODY


def test_authorities_that_are_not_there_are_told_and_not_done_without(tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    message = failure(entry("https://never.invalid/a"), tmp_path)
    said = "https://never.invalid/a: Could not find a suitable TLS CA certificate bundle, invalid path: "
    assert f"{said}{tmp_path / 'none.pem'}" in message


def test_a_redirect_from_tls_to_any_other_scheme_is_refused():
    answer = requests.Response()
    answer.url, answer.status_code = "https://host/a", 301
    for target in ("https://other/a", "//other/a", "/a", "a", "HTTPS://other/a"):
        answer.headers["location"] = target
        assert download._Session().get_redirect_target(answer) == target
    for target in ("http://host/a", "HTTP://host/a", "http://localhost/a", "file:///a", "ftp://host/a"):
        answer.headers["location"] = target
        with pytest.raises(download._Refused, match=r"redirected to .*, which is not followed"):
            download._Session().get_redirect_target(answer)


def test_a_redirect_from_this_machine_leads_to_tls_or_stays(site, tmp_path):
    site.pages["/away"] = Page(answers=[(302, {"Location": "http://mirror.invalid/a"})])
    message = failure(entry(f"{site.url}/away"), tmp_path)
    assert f"{site.url}/away: redirected to http://mirror.invalid/a, which is not followed" in message
    answer = requests.Response()
    answer.url, answer.status_code = "http://127.0.0.1:80/a", 301
    for target in ("https://other/a", "/b", "http://localhost/a"):
        answer.headers["location"] = target
        assert download._Session().get_redirect_target(answer) == target


def test_redirects_are_followed_and_a_circle_is_told(site, tmp_path):
    site.pages["/a"] = Page(BODY)
    site.pages["/moved"] = Page(answers=[(301, {"Location": f"{site.url}/a"})])
    site.pages["/circle"] = Page(answers=[(302, {"Location": "/circle"})] * 50)
    assert "/circle: Exceeded 30 redirects" in failure(entry(f"{site.url}/circle"), tmp_path)
    assert fetch(entry(f"{site.url}/moved"), tmp_path).read_bytes() == BODY


ONLY = "only https and file URLs are fetched, and http ones of this machine (localhost)"


@pytest.mark.parametrize(
    "host", ["mirror.invalid", "localhost.invalid", "127.0.0.1.invalid", "localhost@mirror.invalid"]
)
def test_plain_http_to_another_machine_is_refused(host, site, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url)  # whatever is asked for would be asked here
    assert f"\n  http://{host}/a: {ONLY}\n" in failure(entry(f"http://{host}/a"), tmp_path)
    assert site.requests == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST"])
def test_plain_http_to_this_machine_is_fetched_and_passes_no_proxy(host, site, tmp_path, monkeypatch):
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        site.pages |= {"/a": Page(BODY), "/moved": Page(answers=[(301, {"Location": "/a"})])}
        url = f"{site.url}/moved".replace("127.0.0.1", host)
        assert fetch(entry(url), tmp_path).read_bytes() == BODY
        assert proxy.requests == []
    assert download._stays_here("http://[::1]:8000/a")


def test_the_catalogue_asks_for_nothing_over_plain_http():
    for path in CATALOGUE.glob("*.yaml"):
        for archive in yaml.safe_load(path.read_text())["archives"]:
            assert all(url.startswith("https://") for url in archive["urls"]), path
            assert known_checksum(archive), path


# Ends that were not planned ---------------------------------------------------------------------------------------


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


# The script -------------------------------------------------------------------------------------------------------


def command(spec: dict, folder: Path) -> list[str]:
    script = REPOSITORY / "scripts" / "download.py"
    files = ["--folder", folder, "--receipt", folder / "receipt.json", "--log", folder / "download.log"]
    return [sys.executable, str(script), "--spec", json.dumps(spec), *map(str, files)]


def script(spec: dict, folder: Path) -> tuple[int, str]:
    done = subprocess.run(command(spec, folder), capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_leaves_a_part_that_goes_on(number, site, tmp_path):
    folder = tmp_path / "cifar10"
    site.pages["/a"] = Page(BODY, cuts=[200_000], stall=True)
    spec = {"archives": [entry(f"{site.url}/a")]}
    process = subprocess.Popen(command(spec, folder), stderr=subprocess.DEVNULL)
    until(lambda: (folder / PART).exists() and (folder / PART).stat().st_size >= 131_072)
    process.send_signal(number)
    assert process.wait(10) == -number
    assert not (folder / "receipt.json").exists() and not (folder / FILE).exists()
    size = (folder / PART).stat().st_size
    code, said = script(spec, folder)
    assert code == 0 and (folder / FILE).read_bytes() == BODY
    assert said == f"[download cifar10] {FILE}: downloading from {site.url}/a, going on after {size} bytes\n"
    assert site.asked("/a")[-1] == f"bytes={size}-"
    md5 = hashlib.md5(BODY).hexdigest()
    archives = [{"file": FILE, "bytes": 320_000, "md5": md5, "source": f"{site.url}/a"}]
    assert json.loads((folder / "receipt.json").read_text()) == {"archives": archives, "folder": None}


def test_the_script_says_why_in_one_message_and_writes_no_receipt(tmp_path):
    archive = entry("file:///no/such/file")
    code, said = script({"archives": [archive], "code": "0123"}, tmp_path / "stl10")
    assert code == 1 and "Traceback" not in said and not (tmp_path / "stl10" / "receipt.json").exists()
    assert "[download stl10] FAILED: data.tar.gz: could not be downloaded:\n  file:///no/such/file: No such" in said


def images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_a_dataset_that_is_a_folder_is_counted(tmp_path):
    spec = {"archives": [], "folder": {"name": "imagenet", "layout": "train/<class>/*.JPEG"}}
    images(
        tmp_path / "imagenet", "train/a/1.JPEG", "train/a/2.jpg", "train/b/1.PNG", "train/b/list.txt", "train/x.JPEG"
    )
    images(tmp_path / "imagenet", "val/a/1.JPEG", "val/b/1.JPEG", "val/c/1.JPEG")
    code, said = script(spec, tmp_path)
    assert (code, said) == (0, "")
    splits = {"train": {"classes": 2, "images": 3}, "val": {"classes": 3, "images": 3}}
    assert json.loads((tmp_path / "receipt.json").read_text())["folder"] == {"name": "imagenet"} | splits


def test_a_folder_that_is_not_there_or_has_no_images_is_told(tmp_path):
    folder = tmp_path / "imagenet"
    where = re.escape(f"put it, or a link to it, at {folder} (as the authors do)")
    with pytest.raises(RobustlensError, match=f"train: No such file or directory; .*{where}"):
        count_images(folder, "as the authors do")
    images(folder, "train/a/1.JPEG", "val/1.JPEG", "val/a/labels.txt")
    with pytest.raises(RobustlensError, match=f"val: no folders with images in it; .*{where}"):
        count_images(folder, "as the authors do")


# Progress ---------------------------------------------------------------------------------------------------------


def test_a_line_every_ten_seconds_says_how_far_how_fast_and_how_long(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = [0.0]
    monkeypatch.setattr(download.time, "monotonic", lambda: now[0])
    meter = download._Meter("a.tar")
    for second, done in ((0, 40), (5, 50), (10, 60), (19, 70), (20, 80), (31, 0), (35, 1), (41, 1)):  # anew at 31 s
        now[0] = float(second)
        meter(done * 10**6, 200 * 10**6)
    now[0] = 51.0
    meter(21 * 10**6, None)
    assert caplog.messages == [
        "a.tar: 30% of 200.0 MB, 2.00 MB/s, ETA 0:01:10",  # 20 MB in 10 s, 140 left
        "a.tar: 40% of 200.0 MB, 2.00 MB/s, ETA 0:01:00",
        "a.tar: 0% of 200.0 MB, 0.10 MB/s, ETA 0:33:10",  # 1 MB in 10 s, 199 left
        "a.tar: 21.0 MB, 2.00 MB/s",
    ]
    assert all(record.terminal for record in caplog.records)
