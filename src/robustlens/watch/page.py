"""The page of a run, and the server that shows it on this machine alone."""

import re
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from robustlens.status import FAILURES_SHOWN
from robustlens.watch.standing import Curves, Standing, Watched

REFRESH = 5  # seconds
TIMES_THE_COST = 20  # where looking takes long, it is done no more often than this makes it
WIDTH, HEIGHT = 260, 130  # of the area of a plot
STEP = re.compile(r" (?P<done>\d+)/(?P<total>\d+), ETA ")
HOSTS = ("127.0.0.1", "localhost")
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def fragment(standing: Standing) -> str:
    """What changes on the page."""
    plots = {
        "Trainings that run": [_drawn(curves) for curves in standing.training],
        "Last finished trainings": [_drawn(curves) for curves in standing.finished],
    }
    parts = {path: STEP.search(log.says) for path, log in standing.running.items()}
    facts = {"plots": plots, "parts": parts, "shown": FAILURES_SHOWN, "width": WIDTH, "height": HEIGHT}
    return TEMPLATES.get_template("now.html").render(now=standing, **facts)


def _drawn(curves: Curves) -> dict:
    """The lines of a plot as points of SVG, and their last values in percent."""
    epoch = curves.points[-1][0] if curves.points else 0
    epochs = max(curves.epochs, epoch, 1)
    lines = {}
    for name, number in (("natural", 2), ("robust", 1)):
        known = [(point[0], point[number]) for point in curves.points if 0 <= point[number] <= 1]  # no NaN
        places = [(round(WIDTH * at / epochs, 1), round(HEIGHT * (1 - value), 1)) for at, value in known]
        if places:
            lines[name] = {"points": places, "last": f"{100 * known[-1][1]:.1f}"}
    return {"name": curves.name, "epoch": epoch, "epochs": epochs, "lines": lines}


class Server(ThreadingHTTPServer):
    """Answers GET of `/` (the page) and `/now` (what changes of it). port: 0 for any that is free.

    Raises OSError for a port that can't be had.
    """

    daemon_threads = True

    def __init__(self, watched: Watched, port: int):
        super().__init__(("127.0.0.1", port), _Handler)
        self.watched, self.looking, self.due, self.text = watched, threading.Lock(), 0.0, ""

    def now(self) -> str:
        """The fragment, the same one for all who ask within some seconds."""
        with self.looking:
            started = time.monotonic()
            if started >= self.due:
                self.text = fragment(self.watched.standing())
                took = time.monotonic() - started
                self.due = started + max(REFRESH - 1, TIMES_THE_COST * took)
            return self.text


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        nonce = secrets.token_urlsafe()
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in HOSTS:  # another site's name for this machine
            self._send(403, "This page is for 127.0.0.1 and localhost only.", "text/plain", nonce)
        elif self.path == "/now":
            self._send(200, self.server.now(), "text/html", nonce)
        elif self.path == "/":
            facts = {"scale": self.server.watched.scale, "now": self.server.now(), "every": REFRESH, "nonce": nonce}
            self._send(200, TEMPLATES.get_template("page.html").render(**facts), "text/html", nonce)
        else:
            self._send(404, "There is only one page: /", "text/plain", nonce)

    def _send(self, status: int, text: str, kind: str, nonce: str) -> None:
        body = text.encode(errors="replace")
        allowed = f"style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'"
        try:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", f"default-src 'none'; {allowed}")
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            pass  # the reader has left

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""
