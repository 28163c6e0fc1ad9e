"""A web server of this machine that does what tests ask of it: good archives, broken connections, odd answers."""

import contextlib
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class Page:
    """What is at a path.

    answers: (status, headers) of the first requests, which get no body. cuts: after how many bytes of the body the
    connection ends, one for each of the requests after those. stall: it does not end there, but falls silent.
    """

    body: bytes = b""
    ranges: bool = True
    says_length: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    stall: bool = False


@dataclass
class Site:
    """pages: by path, or by URL when the site is used as a proxy. requests: (path, headers), in their order."""

    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def asked(self, path: str, header: str = "Range") -> list[str | None]:
        """That header of all requests for a path."""
        return [headers.get(header) for where, headers in self.requests if where == path]


@contextlib.contextmanager
def serving(certificate: Path | None = None) -> Iterator[Site]:
    """A site while the block runs; certificate: a PEM file with key, for https."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site = server.site = Site(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}")
    server.daemon_threads, server.block_on_close, server.handle_error = True, False, lambda *_: None
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.site.requests.append((self.path, dict(self.headers)))
        page = self.server.site.pages.get(self.path)
        if page is None:
            self._begin(404, {})
        elif page.answers:
            self._begin(*page.answers.pop(0))
        else:
            self._send(page)

    def _send(self, page: Page) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and page.ranges else 0
        size = len(page.body)
        headers = dict(page.headers)
        if start >= size > 0:
            self._begin(416, {"Content-Range": f"bytes */{size}"})
            return
        if start:
            headers["Content-Range"] = page.headers.get("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if page.says_length:
            headers["Content-Length"] = str(size - start)
        self._begin(206 if start else 200, headers)
        rest = page.body[start:]
        if page.cuts:
            rest = rest[: page.cuts.pop(0)]
            self.wfile.write(rest)
            if page.stall:
                self.wfile.flush()
                self.server.site.released.wait(30)
        else:
            self.wfile.write(rest)

    def _begin(self, status: int, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def certificate(folder: Path, host: str) -> Path:
    """A certificate of that host that no one has signed, with its key."""
    if not shutil.which("openssl"):  # on a user's machine; `.ci/run` installs it, and fails where a test is skipped
        pytest.skip("openssl is not there to make a certificate")
    file, key = folder / "certificate.pem", folder / "key.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=host", "-addext", f"subjectAltName={host}"]
    command = ["openssl", "req", "-x509", *curve, *name, "-keyout", key, "-out", file]
    subprocess.run(command, check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + key.read_bytes())
    return file
