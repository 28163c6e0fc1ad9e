"""A real browser for tests: headless Chromium by its debugging pipe, which needs no other package."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

NAME = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")
PAPER = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": True, "printBackground": False}


class Browser:
    """One page of a Chromium of its own; to be used in a `with` statement. profile: a folder that it may fill."""

    def __init__(self, profile: Path):
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()

        def as_3_and_4() -> None:
            spare = [os.dup(pipe) for pipe in (to_browser, from_browser)]
            for pipe, number in zip(spare, (3, 4), strict=True):
                os.dup2(pipe, number)

        self._process = subprocess.Popen(
            [NAME, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=as_3_and_4,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._waiting, self._asked, self._session = b"", 0, None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        self.ask("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._to)
        os.close(self._from)

    def ask(self, method: str, **parameters: object) -> dict:
        """A command of the DevTools protocol and its answer."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._asked:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                return told["result"]

    def _next(self) -> dict:
        while b"\0" not in self._waiting:
            part = os.read(self._from, 1 << 20)
            if not part:
                raise RuntimeError("the browser has gone")
            self._waiting += part
        message, self._waiting = self._waiting.split(b"\0", 1)
        return json.loads(message)

    def open(self, page: str, width: int = 1280, height: int = 800, scripts: bool = True, dark: bool = False) -> None:
        """Show a page in a window of this many CSS pixels, and wait until it is loaded."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.ask("Page.navigate", url=page)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def value(self, expression: str) -> object:
        """What an expression of JavaScript (or the promise that it gives) comes to on the page."""
        told = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in told:
            raise RuntimeError(told["exceptionDetails"]["exception"].get("description", told))
        return told["result"].get("value")

    def press(self, *keys: str) -> None:
        """Keys by their names, such as "Tab" and "Enter"."""
        for key in keys:
            codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
            facts = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
            text = {"Enter": {"text": "\r"}, " ": {"text": " "}}.get(key, {})
            self.ask("Input.dispatchKeyEvent", type="keyDown", **facts, **text)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **facts)

    def click(self, selector: str) -> None:
        """The middle of the first element that a selector finds, scrolled to."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{place}.scrollIntoView({{block: 'center'}})")
        x, y = self.value(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({place}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Into what has the focus."""
        self.ask("Input.insertText", text=text)

    def print(self, pdf: Path) -> None:
        pdf.write_bytes(base64.b64decode(self.ask("Page.printToPDF", **PAPER)["data"]))

    def picture(self, png: Path, whole: bool = False) -> None:
        """Of the window or, `whole`, of all of the page."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        png.write_bytes(base64.b64decode(shot["data"]))
