"""No setting of the environment and no certificate of another host gets around the verification of TLS."""

import hashlib
import os
from pathlib import Path

import pytest
from serving import Page, certificate, serving

from robustlens.data import download
from robustlens.errors import RobustlensError

BODY = b"an archive"
UNVERIFYING = [{name: value} for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") for value in ("", "0", "false")]
UNVERIFYING += [
    {"PYTHONHTTPSVERIFY": "0"},
    {"SSL_CERT_FILE": ""},
    {"SSL_VERIFY": "0"},
    {"PIP_TRUSTED_HOST": "127.0.0.1"},
]


@pytest.fixture
def direct(monkeypatch) -> pytest.MonkeyPatch:
    """No proxy between this process and this machine, and no waiting between attempts."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(download, "BACKOFF", 0.0)
    return monkeypatch


def refused(url: str, folder: Path) -> str:
    with pytest.raises(RobustlensError) as error:
        download.fetch({"file": "a.tgz", "sha256": hashlib.sha256(BODY).hexdigest(), "urls": [url]}, folder)
    assert not (folder / "a.tgz").exists()
    return str(error.value)


@pytest.mark.parametrize("variables", UNVERIFYING, ids=str)
def test_no_variable_of_the_environment_switches_verification_off(variables, tmp_path, direct):
    file = certificate(tmp_path, "IP:127.0.0.1")
    for name, value in variables.items():
        direct.setenv(name, value)
    with serving(file) as site:
        site.pages["/a"] = Page(BODY)
        message = refused(f"{site.url}/a", tmp_path / "downloads")
        assert "CERTIFICATE_VERIFY_FAILED" in message or "TLS CA certificate bundle" in message, message
        assert site.requests == []


def test_a_trusted_certificate_of_another_host_is_refused(tmp_path, direct):
    file = certificate(tmp_path, "DNS:mirror.invalid")
    direct.setenv("REQUESTS_CA_BUNDLE", str(file))
    with serving(file) as site:
        site.pages["/a"] = Page(BODY)
        message = refused(f"{site.url}/a", tmp_path / "downloads")
        assert "CERTIFICATE_VERIFY_FAILED" in message and "127.0.0.1" in message and site.requests == []
