"""Archives in place are verified, and what can't be trusted is refused."""

import hashlib

import pytest
import requests
import yaml
from downloading import BODY, FILE, ONLY, OTHER, entry, failure
from serving import Page, certificate, serving

from robustlens.configuration import CATALOGUE
from robustlens.data import download
from robustlens.data.download import fetch, receipt
from robustlens.data.verification import known_checksum, verify
from robustlens.errors import RobustlensError

pytestmark = pytest.mark.usefixtures("pauses")


@pytest.fixture
def sealed(tmp_path):
    """A folder that this process can't write to, if it respects permissions at all."""
    folder = tmp_path / "sealed"
    folder.mkdir()
    folder.chmod(0o500)
    yield folder
    folder.chmod(0o700)


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
