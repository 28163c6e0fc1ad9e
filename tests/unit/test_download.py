"""Archives arrive however badly they are served, and what can't be fetched is told with what to do."""

import gzip
import hashlib
import re

import pytest
from downloading import BODY, FILE, ONLY, OTHER, PART, entry, failure, leave_partial
from serving import Page, _Handler, serving

from robustlens.data import download
from robustlens.data.download import fetch, receipt

pytestmark = pytest.mark.usefixtures("pauses")


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
        "Run the same command again once that is fixed, or put this file in place by hand:",
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
